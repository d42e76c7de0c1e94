"""Tickets on inputs from the flights: how many v1 raises in its year, and how soon the skewed v2 raises one.

    python -m benchmarks.input_tickets [--write]

Readings, weights, thresholds and resets are the evaluator's (`read_window`, `weights`, `watch`), no broker: the series
of `feature_drift` and `prediction_drift` in the demo's monitors.yaml, each with the weight that it has there. v1 serves
from 22 February to the end of the year; v2 begins on 42 Mondays with fresh evidence.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.placebo import FIRST_MONDAY, N_MONDAYS, SEED, WATCHED
from benchmarks.statistics_page import markdown, show, wants_writing
from demo import setup
from demo.flights import CATEGORICAL, NUMERIC, Flights, load_flights
from demo.model import Scores, Served, as_hours, score
from detectors.binning import NumericBins
from schemas.base import milliseconds
from schemas.identifiers import ALL_SEGMENT
from schemas.models import ModelSpec
from schemas.monitors import ModelEntry
from schemas.signals import INPUT_DRIFT_SIGNALS
from streams.control import layout as sections
from streams.control.plan import Plan, make_plan
from streams.evaluator.reading import read_window
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.series import Reading, Series, expand
from streams.evaluator.signals import Counted
from streams.evaluator.state import SeriesState
from streams.evaluator.watch import watch, weights

Readings = dict[int, dict[str, Reading]]


def counted_cells(plan: Plan, flights: Flights, numeric: NDArray[np.float64], scores: Scores) -> dict[int, Counted]:
    """Counts of features and scores in each cell, as the profiler would send them."""
    length = plan.cell_ms
    starts, cell = np.unique(flights.departure_ms // length * length, return_inverse=True)
    counts = np.zeros((len(starts), plan.layout.width), dtype=np.int64)

    def put(section: str, codes: NDArray[Any]) -> None:
        np.add.at(counts, (cell, plan.layout.offsets[section] + codes.astype(np.int64)), 1)

    for bins in plan.bins:
        if isinstance(bins, NumericBins):
            put(sections.feature_section(bins.name), bins.encode(numeric[:, NUMERIC.index(bins.name)]))
        elif bins.name in CATEGORICAL:
            put(sections.feature_section(bins.name), bins.encode(getattr(flights, bins.name).tolist()))
    put(sections.SCORE, np.minimum((scores * sections.N_SCORE_BINS).astype(np.int64), sections.N_SCORE_BINS - 1))
    return {int(start): Counted(plan, plan.layout, row) for start, row in zip(starts, counts, strict=True)}


def readings(series: list[Series], cells: dict[int, Counted], view: ReferenceView, n_series: int) -> Readings:
    """What each series sees in each cell."""
    return {
        start: dict(
            read_window(series, lambda _, own=counted: own, view, counted.plan, cell_start_ms=start, n_series=n_series)
        )
        for start, counted in cells.items()
    }


def tickets(series: list[Series], share: dict[str, float], seen: Readings, spec: ModelSpec) -> list[tuple[int, str]]:
    """Alarms in the order of time: start of the cell, and the leading series."""
    states: dict[str, SeriesState] = {}
    found: list[tuple[int, str]] = []
    for start in sorted(seen):
        here = seen[start]
        watched = watch(
            series=series, share=share, closing=series, read=lambda _, here=here: here.items(), states=states,
            model_version="v", spec=spec,
        )  # fmt: skip
        found += [(start, alarm.leading.series.key) for alarm in watched.alarms]
    return found


def measured(entry: ModelEntry, cache: Path, *, seed: int) -> tuple[list[tuple[int, str]], list[float | None]]:
    """v1's tickets over the year, and v2's days to its first ticket, Monday by Monday."""
    flights = load_flights(cache)
    scores = score(flights, seed=seed)
    served = Served(numeric=flights.numeric, scores=scores.minutes)
    reference = setup.recorded_reference(flights, served, entry, seed=seed)
    plan = make_plan(entry.spec(), reference, entry.owned_monitors())
    view = ReferenceView(reference, plan)
    every = expand(entry.owned_monitors(), plan)
    share = weights(every)
    chosen = [s for s in every if s.monitor.signal in INPUT_DRIFT_SIGNALS and s.segment == ALL_SEGMENT]
    first_ms = milliseconds(setup.REFERENCE_UNTIL)
    sound = counted_cells(plan, flights, flights.numeric, scores.minutes)
    skewed = counted_cells(plan, flights, as_hours(flights.numeric), scores.hours)
    of_v1, of_v2 = (
        readings(chosen, {c: n for c, n in cells.items() if c >= first_ms}, view, len(every))
        for cells in (sound, skewed)
    )
    days: list[float | None] = []
    for week in range(N_MONDAYS):
        start = milliseconds(FIRST_MONDAY + timedelta(weeks=week))
        # The new version's own first cell begins with it.
        mine = {c: r for c, r in of_v2.items() if start - plan.cell_ms < c < start + milliseconds(WATCHED)}
        raised = tickets(chosen, share, mine, entry.spec())
        days.append((raised[0][0] + plan.cell_ms - start) / milliseconds(timedelta(days=1)) if raised else None)
    return tickets(chosen, share, of_v1, entry.spec()), days


def input_tickets() -> str:
    """The table."""
    entry = setup.load_entry(Path("demo/monitors.yaml"))
    year, days = measured(entry, Path("build/demo-cache"), seed=SEED)
    budget = entry.spec().false_alarm_budget
    served = datetime(2014, 1, 1, 5, tzinfo=setup.REFERENCE_UNTIL.tzinfo) - setup.REFERENCE_UNTIL
    allowed = budget.tickets * served / budget.per
    found = np.array([day for day in days if day is not None])
    shown = [f"{x:.2f}" for x in (np.median(found), np.quantile(found, 0.9), found.max())] if len(found) else [""] * 3
    led_by = ", ".join(f"{n} by {name.rpartition('|')[2]}" for name, n in Counter(name for _, name in year).items())
    header = ["v1's tickets", "allowed", "skewed v2 found", "median days", "p90", "most"]
    count = f"{len(year)} in {served.days} days" + (f" ({led_by})" if led_by else "")
    return markdown(header, [[count, f"{allowed:.1f}", f"{len(found)} of {N_MONDAYS}", *shown]])


def main() -> None:
    show({"input-tickets": input_tickets()}, write=wants_writing("Tickets on the inputs of the flights."))


if __name__ == "__main__":
    main()
