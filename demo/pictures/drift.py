"""What drifted: the value that v2's pipeline sent, and every input against its reference through the year."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from demo.flights import NUMERIC
from demo.model import MINUTES_PER_HOUR, SKEWED
from demo.pictures.style import COLOURS, MUTED, drawing, months, percent, to_svg
from demo.simulator import Simulator
from demo.traffic import GOOD_VERSION, NEW_VERSION

_WEEK_SECONDS: Final = 7 * 86_400
_FORTNIGHT_MS: Final = 2 * _WEEK_SECONDS * 1_000
_SIGNAL: Final = "feature_drift"

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
    """Draw each input's statistic over its threshold, by week; empty where no window had one."""
    weekly = _by_week(simulator)
    if not weekly:
        return ""
    names = sorted(weekly, key=lambda name: -max(weekly[name].values()))
    weeks = range(min(map(min, weekly.values())), max(map(max, weekly.values())) + 1)
    table = np.array([[weekly[name].get(week, np.nan) for week in weeks] for name in names])
    edges: Any = [datetime.fromtimestamp(week * _WEEK_SECONDS, tz=UTC) for week in (*weeks, weeks[-1] + 1)]
    with drawing(0.9 + 0.27 * len(names), grid=False) as figure:
        axes = figure.subplots()
        colours = mpl.colormaps["YlOrBr"].with_extremes(bad="white")
        mesh = axes.pcolormesh(edges, np.arange(len(names) + 1), table, cmap=colours, vmin=-4, vmax=2)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.invert_yaxis()
        months(axes)
        axes.set_title("Input drift by week")
        bar: Any = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=10)
        bar.set_label("log10 of statistic / threshold", color=MUTED, fontsize=8)
        bar.outline.set_visible(False)
        return to_svg(figure, "Drift of each input by week")


def _by_week(simulator: Simulator) -> dict[str, Weeks]:
    """For every input its largest statistic of each week, as the log of its ratio to the threshold."""
    weekly: dict[str, Weeks] = defaultdict(dict)
    for window in simulator.journal.windows:
        week = int(window.window_start.timestamp() // _WEEK_SECONDS)
        for verdict in window.verdicts:
            if verdict.signal == _SIGNAL and verdict.feature and verdict.statistic is not None and verdict.threshold:
                ratio = float(np.log10(max(verdict.statistic, 1e-9) / verdict.threshold))
                of_feature = weekly[verdict.feature]
                of_feature[week] = max(of_feature.get(week, -np.inf), ratio)
    return weekly
