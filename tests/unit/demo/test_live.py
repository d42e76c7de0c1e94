"""The terminal: on one, what is said scrolls by once; without one, lines are plain."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fake_monitor import FakeWire, make_alert
from rich.console import Console

from demo.journal import Moment
from demo.live import View
from demo.simulator import Simulator
from demo.summary import summarise
from schemas import topics
from schemas.alerts import AlertStatus, Resolution
from streams.engine.processor import ListRecord

DAY = timedelta(days=1)
AT = datetime(2013, 6, 10, 6, tzinfo=UTC)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_every_line_is_there_once_and_in_order(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=60, soft_wrap=True)
    with View(console) as view:
        for number in range(40):
            view.say(f"step-{number}.", AT)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert [text.count(f"step-{number}.") for number in range(40)] == [1] * 40
    assert text.index("step-3.") < text.index("step-39.")
    assert text.count("2013-06-10 06:00") == 40
    assert ("\x1b" in text) is is_terminal


def test_what_does_not_fit_goes_on_under_itself_and_no_word_is_cut() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=60, soft_wrap=True)
    with View(console) as view:
        view.say("a long sentence that does not fit into what is left of a line of sixty", AT)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    first = next(i for i, line in enumerate(lines) if "a long sentence" in line)
    assert lines[first].endswith("  a long sentence that does not fit into")
    assert lines[first + 1] == " " * 18 + "what is left of a line of sixty"


def test_an_alert_is_said_as_the_table_at_the_end_has_it_and_so_is_its_end(
    make_simulator: Callable[..., tuple[Simulator, FakeWire]],
) -> None:
    simulator, _ = make_simulator()
    console = Console(file=io.StringIO(), width=160, soft_wrap=True)
    raised = make_alert(AT, 100, version="v1", severity="ticket")
    again = {"sequence": 2, "previous_status": raised.status, "annotations": {"summary": "another segment"}}
    over = {"sequence": 3, "status": AlertStatus.RESOLVED, "resolution": Resolution.RECOVERED}
    told = [raised, raised.model_copy(update=again), raised.model_copy(update={**over, "ends_at": AT + 3 * DAY})]
    with View(console) as view:
        for day, alert in enumerate(told):
            record = ListRecord(topic=topics.ALERTS.name, value=alert.to_bytes())
            simulator.journal.take(topics.ALERTS.name, record, Moment(at=AT + day * DAY, n_events=day))
            view.show(simulator)
            view.show(simulator)
    lines = [line for line in console.file.getvalue().splitlines() if "ticket" in line]  # type: ignore[attr-defined]
    simulator.totals = defaultdict(int)
    found = summarise(simulator, [], guarantee="g", wall_seconds=1.0, stream_seconds=1.0)
    assert found["alerts"][0]["cause"] == raised.annotations["summary"] != "another segment"
    assert lines == [
        f"2013-06-10 06:00  ticket on v1: MissRate: {found['alerts'][0]['cause']}",
        "2013-06-12 06:00  ticket on v1: MissRate has ended after 3.0 d (recovered)",
    ]
