"""The terminal: a live view where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.journal import AlertStory
from demo.simulator import Simulator

_PLAIN_EVERY_SECONDS: Final = 5.0
_DAY: Final = timedelta(days=1)


class View:
    """`with View() as view`: `say` what happens, `show` where the run stands."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True)
        self._live: Live | None = None
        self._started = time.monotonic()
        self._streaming_since: float | None = None
        self._shown = 0.0
        self._n_alerts = 0
        self._n_ended = 0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            spinner = Spinner("dots", style="cyan")  # until there is something to count
            self._live = Live(spinner, console=self.console, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, what: str, at: datetime | None = None) -> None:
        """Add a line; on a terminal it scrolls by above the panel, so that nothing is lost."""
        clock = f"{at:%Y-%m-%d %H:%M}" if at is not None else " " * 16
        if self.console.is_terminal:
            line = Table.grid(padding=(0, 2))  # so that what does not fit goes on under itself
            line.add_row(Text(clock, style="dim"), Text(what))
            self.console.print(line, soft_wrap=False)
        else:
            self.console.print(Text(f"{clock}  {what}"))

    def show(self, simulator: Simulator) -> None:
        """Say new alerts and those that ended, and show where the run stands."""
        self._streaming_since = self._streaming_since or time.monotonic()
        fired = sorted(simulator.journal.fired(), key=lambda story: story.seen.n_events)
        for story in fired[self._n_alerts :]:
            self.say(_alert_line(story), story.seen.at)
        self._n_alerts = len(fired)
        ended = sorted(
            ((story.ended, story) for story in fired if story.ended is not None),
            key=lambda each: (each[0].n_events, each[1].first.alert_id),
        )
        for moment, story in ended[self._n_ended :]:
            self.say(_end_line(story), moment.at)
        self._n_ended = len(ended)
        rate = simulator.n_events / max(time.monotonic() - self._streaming_since, 0.5)
        if self._live is not None:
            self._live.update(_panel(simulator, rate))
        elif time.monotonic() - self._shown > _PLAIN_EVERY_SECONDS:
            self._shown = time.monotonic()
            serves = simulator.registry.alias.version
            self.say(f"{simulator.n_events:,} events, {rate:,.0f}/s, {serves} serves", simulator.now)


def _alert_line(story: AlertStory) -> str:
    return f"{story.severity} on {story.version}: {story.name}: {story.cause}"


def _end_line(story: AlertStory) -> str:
    latest = story.latest
    why = f" ({latest.resolution.value.replace('_', ' ')})" if latest.resolution is not None else ""
    lasted = f" after {(latest.ends_at - story.first.starts_at) / _DAY:.1f} d" if latest.ends_at is not None else ""
    return f"{story.severity} on {story.version}: {story.name} has ended{lasted}{why}"


def _panel(simulator: Simulator, rate: float) -> Panel:
    alias, journal = simulator.registry.alias, simulator.journal
    begin, end = simulator.options.start_at, simulator.options.until_at
    done = min(1.0, (simulator.now - begin) / (end - begin))
    firing = [story for story in journal.fired() if story.latest.status.value == "firing"]
    steps = [command.state.value for command, _ in journal.commands]
    table = Table.grid(padding=(0, 2))
    rows = {
        "event time": f"{simulator.now:%a %d %b %Y %H:%M} UTC   {done:4.0%}",
        "events": f"{simulator.n_events:,}   {rate:,.0f}/s",
        "serving": f"{alias.version}   generation {alias.generation}"
        + (f", {alias.traffic_ratio:.0%}; the rest {alias.holdback_version}" if alias.holdback_version else ""),
        "alerts": f"{len(journal.fired())} so far, {len(firing)} firing",
        "rollback": " > ".join(dict.fromkeys(steps)) or "none",
        "dead letters": f"{len(journal.dead_letters)}",
    }
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return Panel(table, title="Plumbline: a year of flights", title_align="left", border_style="cyan", expand=False)
