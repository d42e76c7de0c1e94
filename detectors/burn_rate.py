"""Burn rates: how fast a ratio uses up its error budget, over a long and a short window at once.

An objective of .99 leaves one event in a hundred to be bad: the error budget. A burn rate of 1 uses it up exactly in
the budget's period; one of 14.4 uses 2 % of a month's in an hour. An alert needs both windows: the long one says that
it matters, the short one that it still goes on, so that it clears soon after the cause is gone.

References
----------
Beyer, Murphy, Rensin, Kawahara, Thorne (eds), "The Site Reliability Workbook" (2018), chapter 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.arrays import check_at_least, check_between


@dataclass(frozen=True, slots=True)
class BurnPair:
    """Two windows, in the unit of the caller's clock, and the burn rate that both must exceed."""

    factor: float
    long: int
    short: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Bad events and all events of an interval that starts at `start`."""

    start: int
    n_bad: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """What a pair says; a rate is None where its window holds no event."""

    pair: BurnPair
    long_rate: float | None
    short_rate: float | None
    n_long: float
    n_short: float
    is_burning: bool


def burn_rate(n_bad: float, n: float, objective: float) -> float | None:
    """Return the share of bad events over the share that the objective allows; None without events.

    Parameters
    ----------
    n_bad, n
        Bad events and all events.
    objective
        Share of events that must be good, in (0, 1).

    Raises
    ------
    ValueError
        If the objective is out of range.

    Examples
    --------
    >>> round(burn_rate(144, 1000, objective=0.99), 6)
    14.4
    """
    check_between("objective", objective, 0.0, 1.0)
    return n_bad / n / (1.0 - objective) if n else None


def budget_left(n_bad: float, n: float, objective: float) -> float:
    """Return the share of the error budget that is left, 1 without events; below 0 where more was spent than there was.

    Examples
    --------
    >>> round(budget_left(5, 1000, objective=0.99), 6)
    0.5
    """
    spent = burn_rate(n_bad, n, objective)
    return 1.0 if spent is None else 1.0 - spent


def burns(
    spent: Sequence[Spent], pairs: Sequence[BurnPair], *, now: int, objective: float, min_events: int
) -> list[Burn]:
    """Say of each pair of windows that end at `now` whether the budget burns.

    Parameters
    ----------
    spent
        Intervals in any order; a window holds those that start within it.
    pairs
        The windows.
    now
        End of the windows.
    objective
        Share of events that must be good, in (0, 1).
    min_events
        Fewer events in the long window decide nothing.

    Returns
    -------
    list of Burn
        One for each pair.

    Raises
    ------
    ValueError
        If the objective or `min_events` is out of range.
    """
    check_at_least("min_events", min_events, 1)
    return [_burn(spent, pair, now, objective, min_events) for pair in pairs]


def _burn(spent: Sequence[Spent], pair: BurnPair, now: int, objective: float, min_events: int) -> Burn:
    long_bad, n_long = _within(spent, now - pair.long, now)
    short_bad, n_short = _within(spent, now - pair.short, now)
    long_rate, short_rate = burn_rate(long_bad, n_long, objective), burn_rate(short_bad, n_short, objective)
    both = long_rate is not None and short_rate is not None
    is_burning = both and n_long >= min_events and min(long_rate or 0.0, short_rate or 0.0) > pair.factor
    return Burn(
        pair=pair,
        long_rate=long_rate,
        short_rate=short_rate,
        n_long=n_long,
        n_short=n_short,
        is_burning=is_burning,
    )


def _within(spent: Sequence[Spent], start: int, end: int) -> tuple[float, float]:
    inside = [each for each in spent if start <= each.start < end]
    return sum(each.n_bad for each in inside), sum(each.n for each in inside)
