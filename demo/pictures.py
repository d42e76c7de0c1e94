"""The report's pictures, as SVG: the year, the days around the rollback, and what drifted."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure

from demo.journal import Journal, WindowSeen
from demo.simulator import Simulator
from demo.traffic import GOOD_VERSION, NEW_VERSION
from schemas.rollbacks import RollbackState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#1f2a37"
MUTED: Final = "#6b7785"
GRID: Final = "#e6e9ee"
COLOURS: Final = {GOOD_VERSION: "#1b6e78", NEW_VERSION: "#c8501e"}
PAGE: Final = "#b3261e"
TICKET: Final = "#c79a2b"
GOOD: Final = "#3b7d4f"
_STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": GRID, "axes.labelcolor": MUTED,
    "axes.titlecolor": INK, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "xtick.color": MUTED, "ytick.color": MUTED, "text.color": INK, "axes.grid": True, "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "svg.hashsalt": "plumbline",
    "axes.axisbelow": True, "xtick.major.size": 0, "ytick.major.size": 0,
}  # fmt: skip
_DAY_MS: Final = 86_400_000


def _svg(figure: Figure, words: str) -> str:
    with io.StringIO() as out:
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        text = out.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', rf'<svg role="img" aria-label="{words}" \1', text, count=1)


def year(simulator: Simulator) -> str:
    """Accuracy by day and version, held against the real arrivals; below it the alerts and the world."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 5.4), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(5, 1.1, 2))
        days, right, n, late = _daily(simulator)
        for version, colour in COLOURS.items():
            served = n[version] >= 20
            rate = np.where(served, right[version] / np.maximum(n[version], 1), np.nan)
            top.plot(days, rate, ".", color=colour, markersize=3, alpha=0.35)
            smooth = _smooth(right[version], n[version]) if version == GOOD_VERSION else rate
            top.plot(days, smooth, color=colour, linewidth=2, label=version, marker="o" if n[version].sum() < 5_000 else "", markersize=4)
        top.set_title("Accuracy by day" + " " * 2)
        top.set_ylim(0.4, 1)
        top.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        top.legend(frameon=False, loc="lower right", ncols=2)
        _mark_steps(top, simulator)
        _alert_strip(middle, simulator.journal)
        _share_of_late(bottom, days, late)
        for axes in (top, middle, bottom):
            axes.xaxis.set_major_locator(mdates.MonthLocator())
            axes.xaxis.set_major_formatter(mdates.DateFormatter("%b"))
        figure.align_ylabels()
        return _svg(figure, "Accuracy by day and version, alerts, and the share of late flights")


def _daily(simulator: Simulator) -> tuple[Any, dict[str, Any], dict[str, Any], Any]:
    """Days, right answers and answers by version, and the share of late flights."""
    traffic = simulator.traffic
    flights = traffic.flights
    known = flights.has_label
    day = flights.departure_ms // _DAY_MS
    first, size = int(day[0]), int(day[-1] - day[0]) + 1
    days = (day[0] + np.arange(size)).astype("datetime64[D]")
    right, n = {}, {}
    for version in COLOURS:
        chosen = known & (traffic.served == version)
        hit = traffic.called_late(version)[chosen] == flights.is_late[chosen]
        n[version] = np.bincount(day[chosen] - first, minlength=size)
        right[version] = np.bincount(day[chosen] - first, weights=hit, minlength=size)
    n_known = np.bincount(day[known] - first, minlength=size)
    late = np.bincount(day[known] - first, weights=flights.is_late[known], minlength=size)
    return days, right, n, _smooth(late, n_known)


def _smooth(hits: Any, n: Any, days: int = 7) -> Any:
    window = np.ones(days)
    total = np.convolve(n, window, mode="same")
    return np.where((total >= 100) & (n > 0), np.convolve(hits, window, mode="same") / np.maximum(total, 1), np.nan)


def _mark_steps(axes: Axes, simulator: Simulator) -> None:
    """Vertical lines where v2 went out and where it was taken back."""
    succeeded = simulator.journal.first_status(RollbackState.SUCCEEDED)
    if simulator.deployed is not None:
        axes.axvline(simulator.deployed.at, color=COLOURS[NEW_VERSION], linewidth=1, linestyle=(0, (4, 3)))
        _note(axes, simulator.deployed.at, "v2 deployed ", COLOURS[NEW_VERSION], side="right")
    if succeeded is not None:
        axes.axvline(succeeded[0].reported_at, color=GOOD, linewidth=1.2)
        _note(axes, succeeded[0].reported_at, " rolled back to v1", GOOD, side="left")


def _note(axes: Axes, at: datetime, words: str, colour: str, *, side: str) -> None:
    where = axes.get_xaxis_transform()
    axes.text(at, 0.02, words, color=colour, ha=side, va="bottom", fontsize=8.5, transform=where)


def _alert_strip(axes: Axes, journal: Journal) -> None:
    rows = {"page": (1.0, PAGE, "v"), "ticket": (0.0, TICKET, "|")}
    for severity, (height, colour, marker) in rows.items():
        at = [story.first.starts_at for story in journal.fired() if story.severity == severity]
        axes.plot(at, [height] * len(at), marker, color=colour, markersize=8, markeredgewidth=1.6)
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks([0, 1], ["tickets", "pages"])
    axes.grid(visible=False, axis="y")


def _share_of_late(axes: Axes, days: Any, late: Any) -> None:
    axes.fill_between(days, late, color="#9fb3c8", alpha=0.55, linewidth=0)
    axes.set_ylim(0, 0.6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("The world: share of flights that arrive late (7 days)")


def rollback(simulator: Simulator) -> str:
    """The days around the deployment: the miss rate by window, and the evidence since the deployment."""
    deployed = simulator.deployed
    if deployed is None:
        return ""
    start, end = deployed.at - timedelta(days=7), deployed.at + timedelta(days=14)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2.4))
        _miss_rate(top, [w for w in simulator.journal.windows if start <= w.window_start < end])
        _evidence(bottom, simulator.journal)
        for axes in (top, bottom):
            _steps(axes, simulator, label=axes is top)
            axes.set_xlim(start, end)
            axes.xaxis.set_major_locator(mdates.DayLocator(interval=3))
            axes.xaxis.set_major_formatter(mdates.DateFormatter("%d %b"))
        return _svg(figure, "Miss rate by window and evidence since the deployment")


def _miss_rate(axes: Axes, windows: list[WindowSeen]) -> None:
    for version, colour in COLOURS.items():
        mine = sorted(
            {
                w.window_start: w
                for w in windows
                if w.kind == "outcomes" and w.model_version == version and w.values.get("miss_rate") is not None
            }.values(),
            key=lambda w: w.window_start,
        )
        if mine:
            middle = [w.window_start + (w.window_end - w.window_start) / 2 for w in mine]
            sizes = [8 + w.n_labels / 8 for w in mine]
            rates = [w.values["miss_rate"] for w in mine]
            axes.plot(middle, rates, color=colour, linewidth=0.8, alpha=0.4)
            axes.scatter(middle, rates, s=sizes, color=colour, label=version, alpha=0.85, linewidths=0)
    axes.set_ylim(-0.03, 1.05)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title("Late flights that were not announced, by 6-hour window (size: labels)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="center right")


def _evidence(axes: Axes, journal: Journal) -> None:
    points = sorted({(e.generation, e.as_of): e for e in journal.evidence}.items())
    for generation in sorted({e.generation for _, e in points if e.generation > 1}):
        mine = [e for _, e in points if e.generation == generation]
        colour = COLOURS.get(mine[0].model_version, INK)
        values = [min(max(e.e_value, 1e-3), 1e12) for e in mine]
        axes.plot([e.as_of for e in mine], values, color=colour, linewidth=1.8, marker="o", markersize=3)
    if points:
        axes.axhline(points[-1][1].threshold, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        axes.set_yscale("log")
    axes.set_title("Evidence against the deployed version (e-value; dotted: 1/alpha)")


def _steps(axes: Axes, simulator: Simulator, *, label: bool) -> None:
    journal = simulator.journal
    ordered, verified = journal.ordered(), journal.first(RollbackState.VERIFIED)
    succeeded = journal.first_status(RollbackState.SUCCEEDED)
    page = next(iter(journal.pages(NEW_VERSION)), None)
    marks = {
        "v2 deployed": (simulator.deployed.at if simulator.deployed else None, COLOURS[NEW_VERSION]),
        "page": (page.seen.at if page else None, PAGE),
        "command": (ordered[0][1].at if ordered else None, INK),
        "executed": (succeeded[1].at if succeeded else None, GOOD),
        "verified": (verified[1].at if verified else None, GOOD),
    }
    together: dict[datetime, list[tuple[str, str]]] = defaultdict(list)
    for name, (at, colour) in marks.items():
        if at is not None:
            together[at].append((name, colour))
    for at, names in together.items():
        axes.axvline(at, color=names[-1][1], linewidth=1, alpha=0.8)
        if label:
            words = " " + ", ".join(name for name, _ in names)
            where = axes.get_xaxis_transform()
            axes.text(at, 1.0, words, color=names[-1][1], fontsize=8, va="top", transform=where)


def drift(simulator: Simulator) -> str:
    """How far each input stood from its reference, by week: the log of statistic over threshold."""
    weekly: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(lambda: -np.inf))
    for window in simulator.journal.windows:
        week = int(window.window_start.timestamp() // (7 * 86_400))
        for verdict in window.verdicts:
            is_input = verdict.signal == "feature_drift" and verdict.feature and verdict.segment == "__all__"
            if is_input and verdict.statistic is not None and verdict.threshold:
                ratio = float(np.log10(max(verdict.statistic, 1e-9) / verdict.threshold))
                cell = weekly[str(verdict.feature)]
                cell[week] = max(cell[week], ratio)
    if not weekly:
        return ""
    features = sorted(weekly, key=lambda name: -max(weekly[name].values()))
    weeks = range(min(map(min, weekly.values())), max(map(max, weekly.values())) + 1)
    table = np.array([[weekly[name].get(week, np.nan) for week in weeks] for name in features])
    with mpl.rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(11, 0.9 + 0.27 * len(features)), layout="constrained")
        axes = figure.subplots()
        edges = [datetime.fromtimestamp(week * 7 * 86_400, tz=simulator.now.tzinfo) for week in [*weeks, weeks[-1] + 1]]
        colours = mpl.colormaps["YlOrBr"].with_extremes(bad="white")
        mesh = axes.pcolormesh(edges, np.arange(len(features) + 1), table, cmap=colours, vmin=-3, vmax=2)
        axes.set_yticks(np.arange(len(features)) + 0.5, features)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(mdates.MonthLocator())
        axes.xaxis.set_major_formatter(mdates.DateFormatter("%b"))
        axes.set_title("Input drift by week: statistic over its threshold, powers of ten")
        figure.colorbar(mesh, ax=axes, pad=0.01, aspect=12).outline.set_visible(False)  # type: ignore[operator]
        return _svg(figure, "Drift of each input by week")


def skew(simulator: Simulator) -> str:
    """What v2's pipeline sent as `dep_delay`, beside what v1's sent in the two weeks before."""
    deployed = simulator.deployed
    if deployed is None:
        return ""
    traffic = simulator.traffic
    at = int(deployed.at.timestamp() * 1000)
    before = traffic.rows(at - 14 * _DAY_MS, at)
    after = np.flatnonzero(traffic.served == NEW_VERSION)
    sent = {
        GOOD_VERSION: [traffic.prediction_event(row, GOOD_VERSION).features["dep_delay"] for row in range(before.start, before.stop)],
        NEW_VERSION: [traffic.prediction_event(int(row), NEW_VERSION).features["dep_delay"] for row in after],
    }
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 2.1), layout="constrained")
        axes = figure.subplots()
        bins = np.linspace(-20, 60, 81)
        for version, values in sent.items():
            if values:
                weights = np.full(len(values), 1 / len(values))
                axes.hist(values, bins=bins, weights=weights, color=COLOURS[version], alpha=0.55, label=version)
        axes.set_title("dep_delay as it was sent: v1 in the two weeks before, v2 while it served")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.legend(frameon=False)
        return _svg(figure, "Distribution of dep_delay as sent by both versions")
