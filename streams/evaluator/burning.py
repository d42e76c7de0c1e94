"""Burn rates of a version's ratios: what each window spends of an error budget, and whether that is too fast."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from detectors.burn_rate import Burn, BurnPair, Spent, budget_left, burns
from schemas.base import from_milliseconds, milliseconds
from schemas.burn import BurnRate, BurnWindows
from schemas.metrics import BurnShown, BurnStatus
from schemas.monitors import Monitor
from streams.evaluator.lifecycle import Condition
from streams.evaluator.signals import LOWER_IS_WORSE, Counted, rate_pair
from streams.evaluator.state import BurnHistory

N_BUCKETS: Final = 100
"""Of the budget's period, beyond the longest window of an alert, hundredths are kept and not every cell."""


def burn_status(history: BurnHistory, monitor: Monitor, counted: Counted, *, cell_ms: int, end_ms: int) -> BurnStatus:
    """Take a closed window into a monitor's history, and say how fast the budget burns.

    Parameters
    ----------
    history
        What was spent so far; changed in place.
    monitor
        With `burn_rate`.
    counted
        The window's counts over all events.
    cell_ms, end_ms
        The window, in milliseconds of event time.
    """
    terms = monitor.burn_terms
    n_bad, n = _spent(monitor, counted)
    history.cells.append((cell_ms, n_bad, n))
    _fold(history, terms, monitor.burn_windows, end_ms)
    spent = [Spent(*each) for each in history.cells]
    pairs = [BurnPair(w.factor, milliseconds(w.long), milliseconds(w.short)) for w in monitor.burn_windows]
    found = burns(spent, pairs, now=end_ms, objective=terms.objective, min_events=monitor.min_samples)
    whole = [*history.folded, *history.cells]
    left = budget_left(sum(bad for _, bad, _ in whole), sum(n for _, _, n in whole), terms.objective)
    return BurnStatus(
        monitor_id=monitor.monitor_id,
        objective=terms.objective,
        n_bad=n_bad,
        n=n,
        budget_left_ratio=left,
        windows=[_shown(each) for each in found],
        since=from_milliseconds(min(start for start, _, _ in whole)),
    )


def burn_condition(status: BurnStatus, min_samples: int) -> Condition:
    """What a window says about the alert: a breach where any pair burns, no data where no long window has enough."""
    if any(each.is_burning for each in status.windows):
        return Condition.BREACH
    enough = any(each.n_long >= min_samples for each in status.windows)
    return Condition.CLEAR if enough else Condition.NO_DATA


def leading(status: BurnStatus) -> BurnShown:
    """Return the pair that exceeds its factor furthest, or comes nearest to it."""
    return max(status.windows, key=lambda each: min(each.long_rate or 0.0, each.short_rate or 0.0) / each.factor)


def _spent(monitor: Monitor, counted: Counted) -> tuple[int, int]:
    feature = monitor.features[0] if monitor.features else None
    n1, n = rate_pair(monitor.signal, counted, monitor=monitor, feature=feature)
    hits, total = int(n1), int(n)
    return (total - hits if monitor.signal in LOWER_IS_WORSE else hits), total


def _fold(history: BurnHistory, terms: BurnRate, windows: Iterable[BurnWindows], end_ms: int) -> None:
    """Keep every cell of the longest window; what is older goes into hundredths of the period, and then goes."""
    longest = max(milliseconds(each.long) for each in windows)
    period = milliseconds(terms.period)
    size = max(1, period // N_BUCKETS)
    buckets = {start: (bad, n) for start, bad, n in history.folded}
    for start, bad, n in history.cells:
        if start < end_ms - longest:
            place = start - start % size
            before = buckets.get(place, (0, 0))
            buckets[place] = (before[0] + bad, before[1] + n)
    history.cells = [each for each in history.cells if each[0] >= end_ms - longest]
    history.folded = [(s, *buckets[s]) for s in sorted(buckets) if s >= end_ms - period]


def _shown(burn: Burn) -> BurnShown:
    return BurnShown(
        factor=burn.pair.factor,
        long=timedelta(milliseconds=burn.pair.long),
        short=timedelta(milliseconds=burn.pair.short),
        long_rate=burn.long_rate,
        short_rate=burn.short_rate,
        n_long=int(burn.n_long),
        is_burning=burn.is_burning,
    )
