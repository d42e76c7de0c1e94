"""The pictures of a replay's report: metrics with their confidence and alerts, features that moved, label coverage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import matplotlib.dates as mdates
import numpy as np

from detectors.fairness import wilson_interval
from schemas.identifiers import ALL_SEGMENT
from schemas.metrics import SeriesVerdict, WindowMetrics
from schemas.signals import OUTCOME_SIGNALS, Signal
from streams.evaluator.signals import RATE_SIGNALS
from streams.replay.drawing import INK, MUTED, PAGE, TICKET, Axes, drawing, percent, to_svg
from streams.replay.results import Episode

_LINES: Final = ("#1b6e78", "#c8501e", "#5b5ea6", "#8f6a10", "#3b7d4f")
_MOST_METRICS: Final = 12
_MOST_FEATURES: Final = 8
_dates: Any = mdates
Points = list[tuple[datetime, SeriesVerdict]]


def metrics(windows: Sequence[WindowMetrics], episodes: Sequence[Episode]) -> str:
    """Draw each monitor's value over all events by window; empty where no monitor has one.

    A rate has the Wilson interval of its window; the dashed line is the reference, and what the statistic has to reach
    for an alarm is drawn on a scale of its own below.
    """
    found: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    for window in windows:
        for each in window.verdicts:
            if each.segment == ALL_SEGMENT and each.feature is None:
                found[each.monitor_id][window.model_version].append((window.window_start, each))
    shown = sorted(found, key=lambda name: (_order(found[name]), name))[:_MOST_METRICS]
    if not shown:
        return ""
    with drawing(2.6 * len(shown)) as figure:
        grid = np.atleast_1d(figure.subplots(2 * len(shown), 1, sharex=True, height_ratios=[2, 1] * len(shown)))
        for number, name in enumerate(shown):
            top, bottom = grid[2 * number], grid[2 * number + 1]
            _monitor(top, bottom, name, found[name], [e for e in episodes if e.labels.get("monitor_id") == name])
        return to_svg(figure, "Value and evidence of each monitor by window, with its alerts")


def _order(versions: dict[str, Points]) -> int:
    """Outcomes first: they are what a reader asks for."""
    signal = next(iter(versions.values()))[0][1].signal
    return 0 if signal in {each.value for each in OUTCOME_SIGNALS} else 1


def _monitor(top: Axes, bottom: Axes, name: str, versions: dict[str, Points], episodes: Sequence[Episode]) -> None:
    for (version, points), colour in zip(sorted(versions.items()), _LINES * len(versions), strict=False):
        known = [(at, each) for at, each in points if each.value is not None and each.n]
        at = [moment for moment, _ in known]
        top.plot(at, [each.value for _, each in known], color=colour, linewidth=1.2, label=version)
        signal = points[0][1].signal
        if signal in {each.value for each in RATE_SIGNALS}:
            bounds = [wilson_interval(min(e.n, max(0.0, (e.value or 0.0) * e.n)), e.n) for _, e in known]
            top.fill_between(at, [low for low, _ in bounds], [high for _, high in bounds], color=colour, alpha=0.15,
                             linewidth=0)  # fmt: skip
        reference = [(moment, each.reference_value) for moment, each in known if each.reference_value is not None]
        if reference:
            top.plot(*zip(*reference, strict=True), color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        _evidence(bottom, points, colour)
    for episode in episodes:
        _span(top, episode)
        _span(bottom, episode)
    top.set_title(name)
    if len(versions) > 1:
        top.legend(frameon=False, fontsize=8, ncols=4)
    locator = _dates.AutoDateLocator()
    bottom.xaxis.set_major_locator(locator)
    bottom.xaxis.set_major_formatter(_dates.ConciseDateFormatter(locator))


def _evidence(axes: Axes, points: Points, colour: str) -> None:
    known = [(at, each) for at, each in points if each.statistic and each.threshold]
    if not known:
        axes.set_yticks([])
        return
    axes.plot([at for at, _ in known], [max(1e-3, e.statistic or 0.0) for _, e in known], color=colour, linewidth=1)
    axes.plot([at for at, _ in known], [e.threshold for _, e in known], color=PAGE, linewidth=0.8, linestyle="--")
    axes.set_yscale("log")
    axes.set_ylabel("evidence", fontsize=7)


def _span(axes: Axes, episode: Episode) -> None:
    colour = PAGE if episode.severity == "page" else TICKET
    if episode.end is not None:
        axes.axvspan(episode.start, episode.end, color=colour, alpha=0.15, linewidth=0)
    axes.axvline(episode.start, color=colour, linewidth=1.2)


def features(windows: Sequence[WindowMetrics]) -> str:
    """Draw the distance of those features that moved most, by window, with what chance exceeds; empty without any."""
    of_feature: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for window in windows:
        for each in window.verdicts:
            if each.signal == Signal.FEATURE_DRIFT.value and each.segment == ALL_SEGMENT and each.feature:
                statistic, threshold = each.statistic, each.threshold
                if statistic is not None and threshold:
                    of_feature[each.feature].append((window.window_start, statistic / threshold))
    names = sorted(of_feature, key=lambda name: -max(share for _, share in of_feature[name]))[:_MOST_FEATURES]
    if not names:
        return ""
    with drawing(3.2) as figure:
        axes: Any = figure.subplots()
        for name, colour in zip(names, _LINES * 2, strict=False):
            points = of_feature[name]
            shares = [max(1e-4, share) for _, share in points]
            axes.plot([at for at, _ in points], shares, color=colour, linewidth=1, label=name)
        axes.axhline(1, color=PAGE, linewidth=0.8, linestyle="--")
        axes.set_yscale("log")
        axes.set_title("Features that moved most: evidence over what alone raises an alarm (1)")
        axes.legend(frameon=False, fontsize=8, ncols=4)
        return to_svg(figure, "Evidence of drift of the features that moved most")


def distributions(shares: Sequence[tuple[str, list[str], list[float], list[float]]]) -> str:
    """Draw reference against current.

    Parameters
    ----------
    shares
        Feature, its bins' names, the shares of the reference, and those of the windows that speak loudest.
    """
    if not shares:
        return ""
    with drawing(2.0 * len(shares)) as figure:
        grid = np.atleast_1d(figure.subplots(len(shares), 1))
        for axes, (name, labels, before, now) in zip(grid, shares, strict=True):
            at = np.arange(len(labels))
            axes.bar(at - 0.2, before, 0.4, color=MUTED, label="reference")
            axes.bar(at + 0.2, now, 0.4, color=_LINES[1], label="current")
            axes.set_xticks(at, labels, rotation=40, ha="right", fontsize=7, color=INK)
            axes.set_title(name)
            percent(axes)
            axes.legend(frameon=False, fontsize=8)
        return to_svg(figure, "Features that moved: reference against current")


def coverage(windows: Sequence[WindowMetrics]) -> str:
    """Draw the share of predictions that had a label at maturity, by window; empty where none has any."""
    by_version: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for window in windows:
        if window.kind == "outcomes" and window.label_coverage_ratio is not None:
            by_version[window.model_version].append((window.window_start, window.label_coverage_ratio))
    if not by_version:
        return ""
    with drawing(2.0) as figure:
        axes: Any = figure.subplots()
        for (version, points), colour in zip(sorted(by_version.items()), _LINES * len(by_version), strict=False):
            axes.plot(*zip(*sorted(points), strict=True), color=colour, linewidth=1.2, label=version)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title("Label coverage at maturity")
        percent(axes)
        axes.legend(frameon=False, fontsize=8)
        return to_svg(figure, "Label coverage by window")
