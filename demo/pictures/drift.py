"""What drifted: the value that v2's pipeline sent, and every input against its reference through the year.

A distance is drawn in multiples of what chance exceeds once in a thousand windows, since that is what makes inputs
comparable: weather is the same for all flights of an hour, and a window of it says little.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from demo.flights import NUMERIC
from demo.model import MINUTES_PER_HOUR, SKEWED
from demo.pictures.style import COLOURS, MUTED, drawing, months, percent, to_svg
from demo.scenarios import GOOD_VERSION, NEW_VERSION
from demo.simulator import Simulator

_WEEK_SECONDS: Final = 7 * 86_400
_FORTNIGHT_MS: Final = 2 * _WEEK_SECONDS * 1_000
_SIGNAL: Final = "feature_drift"
_DISTANCE: Final = "hellinger"
_DARKEST: Final = 1.0
"""Multiples of a distance's threshold from which on the colour is the same."""

Weeks = dict[int, float]


def skew(simulator: Simulator) -> str:
    """Draw `dep_delay` as both versions' pipelines sent it; empty where nothing was deployed."""
    deployed = simulator.deployed
    if deployed is None:
        return ""
    traffic = simulator.traffic
    at = round(deployed.at.timestamp() * 1000)
    delay = traffic.flights.numeric[:, SKEWED]
    sent = {
        GOOD_VERSION: delay[traffic.rows(at - _FORTNIGHT_MS, at)],
        NEW_VERSION: delay[traffic.served == NEW_VERSION] / MINUTES_PER_HOUR,
    }
    with drawing(2.2) as figure:
        axes: Any = figure.subplots()
        bins = np.linspace(-20, 60, 81)
        for version, values in sent.items():
            weights = np.full(len(values), 1 / max(1, len(values)))
            axes.hist(values, bins=bins, weights=weights, color=COLOURS[version], alpha=0.6, label=version)
        axes.set_title(f"{NUMERIC[SKEWED]} as it was sent: v1 in the two weeks before, v2 while it served")
        percent(axes)
        axes.legend(frameon=False)
        return to_svg(figure, "Distribution of dep_delay as sent by both versions")


def drift(simulator: Simulator) -> str:
    """Draw how far each input stood from its reference, by week, and while v2 served; empty where nothing is known."""
    weekly, of_new = _distances(simulator)
    if not weekly:
        return ""
    names = sorted(weekly, key=lambda name: (-of_new.get(name, 0.0), name))
    weeks = range(min(map(min, weekly.values())), max(map(max, weekly.values())) + 1)
    table = np.array([[weekly[name].get(week, np.nan) for week in weeks] for name in names])
    edges: Any = [datetime.fromtimestamp(week * _WEEK_SECONDS, tz=UTC) for week in (*weeks, weeks[-1] + 1)]
    with drawing(0.9 + 0.27 * len(names), grid=False) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(30, 1.6))
        mesh = _heat(
            left, edges, table, f"Inputs, {GOOD_VERSION}, by week: Hellinger distance, 1 is the limit of chance"
        )
        _heat(right, [0, 1], np.array([[of_new.get(name, np.nan)] for name in names]), NEW_VERSION)
        left.set_yticks(np.arange(len(names)) + 0.5, names)
        left.invert_yaxis()
        months(left)
        right.set_xticks([])
        bar: Any = figure.colorbar(mesh, ax=right, pad=0.3, aspect=14, fraction=0.9, extend="max")
        bar.set_label("multiples of what chance exceeds once in 1,000", color=MUTED, fontsize=8)
        bar.outline.set_visible(False)
        return to_svg(figure, "Distance of each input from its reference, by week, and while v2 served")


def _heat(axes: Any, edges: Any, table: Any, title: str) -> Any:
    colours = mpl.colormaps["YlOrBr"].with_extremes(bad="white")
    axes.set_title(title)
    return axes.pcolormesh(edges, np.arange(len(table) + 1), table, cmap=colours, vmin=0, vmax=_DARKEST)


def _distances(simulator: Simulator) -> tuple[dict[str, Weeks], dict[str, float]]:
    """For every input its mean distance by week under v1, and under v2; windows weigh as much as their events."""
    sums: dict[tuple[str, int | None], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for window in simulator.journal.windows:
        week = int(window.window_start.timestamp() // _WEEK_SECONDS) if window.model_version == GOOD_VERSION else None
        for verdict in window.verdicts:
            distance = verdict.distance(_DISTANCE) if verdict.signal == _SIGNAL else None
            if verdict.feature is not None and distance is not None:
                total = sums[verdict.feature, week]
                total[0] += distance * verdict.n
                total[1] += verdict.n
    weekly: dict[str, Weeks] = defaultdict(dict)
    of_new: dict[str, float] = {}
    for (feature, week), (weighted, n) in sums.items():
        if n and week is None:
            of_new[feature] = weighted / n
        elif n and week is not None:
            weekly[feature][week] = weighted / n
    return weekly, of_new
