"""A closed window as all series of a version read it, monitor by monitor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from schemas.monitors import Monitor
from schemas.signals import INPUT_DRIFT_SIGNALS, OUTCOME_SIGNALS, Signal
from streams.control.calendar import cell_of_week
from streams.control.plan import Plan
from streams.evaluator.distributions import read_distributions
from streams.evaluator.rates import LOSSES, read_calibration, read_loss, read_rate
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.series import Reading, Series
from streams.evaluator.signals import Counted

_DAY_MS: Final = 86_400_000


def read_window(
    series: Sequence[Series],
    counted: Callable[[str], Counted],
    view: ReferenceView | None,
    plan: Plan,
    *,
    cell_start_ms: int,
    n_series: int,
) -> Iterator[tuple[str, Reading]]:
    """Read series in one window.

    Parameters
    ----------
    series
        What is watched; all series of a monitor, one after the other.
    counted
        The window's counts of a segment, shape (width,).
    view
        The reference; None while there is none.
    plan
        Under which the window was counted.
    cell_start_ms
        Start of the window, for the cell of the week.
    n_series
        Number of series that share the error of an estimated baseline.

    Yields
    ------
    tuple of str and Reading
        A series' key, and what it sees; in the order of `series` within monitors that read rates.
    """
    for _, group in groupby(series, key=lambda one: one.monitor.monitor_id):
        own = list(group)
        monitor = own[0].monitor
        context = _context(monitor, plan, cell_start_ms)
        if monitor.signal in INPUT_DRIFT_SIGNALS:
            yield from read_distributions(own, counted, view, context, n_series)
            continue
        for one in own:
            window = counted(one.segment)
            if monitor.signal is Signal.ESTIMATOR_UNRELIABLE:
                yield one.key, read_calibration(one, window, view, n_series)
            elif monitor.signal in LOSSES:
                yield one.key, read_loss(one, window, view, n_series)
            else:
                yield one.key, read_rate(one, window, view, context, n_series)


def _context(monitor: Monitor, plan: Plan, cell_start_ms: int) -> int | None:
    chosen = monitor.reference_context
    if chosen is None:
        is_input = monitor.signal not in OUTCOME_SIGNALS
        chosen = "cell_of_week" if is_input and plan.cell_ms < _DAY_MS else "global"
    if chosen == "global":
        return None
    return cell_of_week(cell_start_ms, plan.cell_ms, plan.spec.time_zone)
