"""The year: accuracy by day and version, the alerts below it, and the world that swings."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from demo.journal import Journal
from demo.pictures.style import COLOURS, GOOD, PAGE, PAPER, TICKET, WORLD, Axes, drawing, months, percent, to_svg
from demo.scenarios import GOOD_VERSION, NEW_VERSION
from demo.simulator import Simulator
from schemas.rollbacks import RollbackState

_DAY_MS: Final = 86_400_000
_SMOOTH_DAYS: Final = 7
_FEW: Final = 20
"""A day with fewer answers shows no rate."""

Counts = NDArray[np.float64]


def year(simulator: Simulator) -> str:
    """Draw every answer held against the real arrival, by day."""
    with drawing(5.4) as figure:
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(5, 1.1, 2))
        for version, colour in COLOURS.items():
            _accuracy(top, simulator, version, colour)
        top.set_title("Accuracy by day (v1: line over seven days)")
        top.set_ylim(0.4, 1)
        percent(top)
        top.legend(frameon=False, loc="lower left", ncols=2)
        _mark(top, simulator)
        _alerts(middle, simulator.journal)
        _world(bottom, simulator)
        for axes in (top, middle, bottom):
            months(axes)
        return to_svg(figure, "Accuracy by day and version, alerts, and the share of late flights")


def _days(simulator: Simulator) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
    """For every flight its day, from zero; and the days."""
    day = simulator.traffic.flights.departure_ms // _DAY_MS
    return day - day[0], np.arange(day[0], day[-1] + 1).astype("datetime64[D]")


def _accuracy(axes: Axes, simulator: Simulator, version: str, colour: str) -> None:
    traffic = simulator.traffic
    day, days = _days(simulator)
    chosen = traffic.flights.has_label & (traffic.served == version)
    right = traffic.called_late(version)[chosen] == traffic.flights.is_late[chosen]
    n = np.bincount(day[chosen], minlength=len(days)).astype(float)
    hits = np.bincount(day[chosen], weights=right, minlength=len(days))
    daily = np.where(n >= _FEW, hits / np.maximum(n, 1), np.nan)
    axes.plot(days, daily, ".", color=colour, markersize=3, alpha=0.35)
    if version == GOOD_VERSION:
        axes.plot(days, _smooth(hits, n), color=colour, linewidth=2, label=version)
    elif n.any():
        axes.plot(days, daily, color=colour, linewidth=2, marker="o", markersize=4, label=version)


def _smooth(hits: Any, n: Any) -> Counts:
    window = np.ones(_SMOOTH_DAYS)
    total = np.convolve(n, window, mode="same")[: len(n)]
    rate = np.convolve(hits, window, mode="same")[: len(n)] / np.maximum(total, 1)
    return np.where((total >= _FEW) & (n > 0), rate, np.nan)


def _mark(axes: Axes, simulator: Simulator) -> None:
    succeeded = simulator.journal.first_status(RollbackState.SUCCEEDED)
    if simulator.deployed is not None:
        _line(axes, simulator.deployed.at, "v2 deployed  ", COLOURS[NEW_VERSION], side="right")
    if succeeded is not None:
        _line(axes, succeeded[0].reported_at, "  rolled back to v1", GOOD, side="left")


def _line(axes: Axes, at: datetime, words: str, colour: str, *, side: str) -> None:
    where = axes.get_xaxis_transform()
    axes.axvline(at, color=colour, linewidth=1)
    axes.text(at, 0.03, words, color=colour, ha=side, va="bottom", fontsize=8.5, transform=where, bbox=PAPER)


def _alerts(axes: Axes, journal: Journal) -> None:
    for height, (severity, colour, marker) in enumerate((("ticket", TICKET, "|"), ("page", PAGE, "v"))):
        at = [story.first.starts_at for story in journal.fired() if story.severity == severity]
        axes.plot(at, [height] * len(at), marker, color=colour, markersize=8, markeredgewidth=1.8)
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks([0, 1], ["tickets", "pages"])
    axes.grid(visible=False, axis="y")


def _world(axes: Axes, simulator: Simulator) -> None:
    flights = simulator.traffic.flights
    day, days = _days(simulator)
    known = flights.has_label
    n = np.bincount(day[known], minlength=len(days)).astype(float)
    late = np.bincount(day[known], weights=flights.is_late[known], minlength=len(days))
    axes.fill_between(days, _smooth(late, n), color=WORLD, alpha=0.55, linewidth=0)
    axes.set_ylim(0, 0.6)
    percent(axes)
    axes.set_title("The world: share of flights that arrive late, over seven days")
