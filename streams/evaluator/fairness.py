"""Fairness of a window: how far the rates of a group's values lie apart, from counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

from detectors.fairness import GroupCounts, group_rates, newcombe_difference
from schemas.metrics import FairnessStatus
from schemas.models import TaskKind
from schemas.signals import FAIRNESS_SIGNALS, OUTCOME_SIGNALS, Signal
from streams.control import layout as sections
from streams.evaluator.signals import Counted

_LEVEL: Final = 0.05
"""Error probability of an interval, shared among the pairs of a group's values."""
RATES: Final[Mapping[Signal, tuple[str, ...]]] = {
    Signal.SELECTION_RATE_DIFFERENCE: ("selection_rate",),
    Signal.SELECTION_RATE_RATIO: ("selection_rate",),
    Signal.TRUE_POSITIVE_RATE_DIFFERENCE: ("true_positive_rate",),
    Signal.FALSE_POSITIVE_RATE_DIFFERENCE: ("false_positive_rate",),
    Signal.EQUALISED_ODDS_DIFFERENCE: ("true_positive_rate", "false_positive_rate"),
    Signal.PREDICTIVE_PARITY_DIFFERENCE: ("precision",),
}
"""Of several rates the one that lies furthest apart counts."""


def group_counts(counted: Counted, group: str) -> dict[str, GroupCounts]:
    """Counts per value of a group, in a window of shape (width,)."""
    values = counted.plan.group_values[group]
    served = counted.section(sections.group_section(group)).reshape(len(values), 2)
    name = sections.group_outcome_section(group)
    outcomes = counted.section(name).reshape(len(values), 2, 2) if name in counted.layout else None
    result = {}
    for index, value in enumerate(values):
        table = None if outcomes is None else outcomes[index]
        result[value] = GroupCounts(
            n=int(served[index, 0]),
            selected=int(served[index, 1]),
            actual_positive=0 if table is None else int(table[1].sum()),
            true_positive=0 if table is None else int(table[1, 1]),
            actual_negative=0 if table is None else int(table[0].sum()),
            false_positive=0 if table is None else int(table[0, 1]),
        )
    return result


def fairness_of(counted: Counted, group: str, signal: Signal) -> FairnessStatus:
    """Say how far apart the values of a group are.

    Parameters
    ----------
    counted
        Counts of a window, shape (width,).
    group
        One of the model's groups.
    signal
        A fairness signal.

    Returns
    -------
    FairnessStatus
        `value` is None with fewer than two values that have enough events; those with too few are named.
    """
    counts = {value: of for value, of in group_counts(counted, group).items() if of.n}
    found = [one for rate in RATES[signal] if (one := _apart(counts, rate)) is not None]
    few = sorted({value for rate in RATES[signal] for value in _too_few(counts, rate)})
    if len(found) < len(RATES[signal]):
        return FairnessStatus(too_few=few, n=min((_events(counts, RATES[signal][0])), default=0))
    widest = max(found, key=lambda one: one.value or 0.0)
    if signal is Signal.SELECTION_RATE_RATIO:
        widest = _as_ratio(counts, widest)
    return widest.model_copy(update={"too_few": few})


def _apart(counts: Mapping[str, GroupCounts], rate: str) -> FairnessStatus | None:
    """The two values of a group whose rates lie furthest apart, with Newcombe's interval; None without two."""
    shown = {value: one for value, of in counts.items() if (one := group_rates(of)[rate]).value is not None}
    if len(shown) < 2:
        return None
    highest = max(shown, key=lambda value: (shown[value].value or 0.0, value))
    lowest = min(shown, key=lambda value: (shown[value].value or 0.0, value))
    n_pairs = len(list(combinations(shown, 2)))
    parts = [((shown[v].value or 0.0) * shown[v].n, shown[v].n) for v in (highest, lowest)]
    lower, upper = newcombe_difference(*_whole(*parts[0]), *_whole(*parts[1]), _LEVEL / n_pairs)
    return FairnessStatus(
        value=(shown[highest].value or 0.0) - (shown[lowest].value or 0.0),
        lower=max(lower, 0.0),
        upper=upper,
        n=int(min(one.n for one in shown.values())),
        highest=highest,
        lowest=lowest,
    )


def _whole(k: float, n: float) -> tuple[float, float]:
    """A count that came out of a rate, without what rounding left of it."""
    return min(round(k), n), n


def _as_ratio(counts: Mapping[str, GroupCounts], widest: FairnessStatus) -> FairnessStatus:
    """The lowest selection rate over the highest; 1 where nobody is selected."""
    rates = {value: group_rates(of)["selection_rate"] for value, of in counts.items()}
    low, high = rates[widest.lowest].value or 0.0, rates[widest.highest].value or 0.0
    bounds = (
        rates[widest.lowest].lower,
        rates[widest.highest].upper,
        rates[widest.lowest].upper,
        rates[widest.highest].lower,
    )
    return widest.model_copy(
        update={
            "value": low / high if high else 1.0,
            "lower": (bounds[0] or 0.0) / bounds[1] if bounds[1] else 0.0,
            "upper": min(1.0, (bounds[2] or 0.0) / bounds[3]) if bounds[3] else 1.0,
        }
    )


def _too_few(counts: Mapping[str, GroupCounts], rate: str) -> list[str]:
    return [value for value, of in counts.items() if group_rates(of)[rate].value is None]


def _events(counts: Mapping[str, GroupCounts], rate: str) -> Iterator[int]:
    return (int(group_rates(of)[rate].n) for of in counts.values())


def rate_difference(counted: Counted, group: str, signal: Signal) -> tuple[float | None, int]:
    """The value of `fairness_of`, and the events of the smallest side that has enough."""
    found = fairness_of(counted, group, signal)
    return found.value, found.n if found.value is not None else 0


def all_fairness(counted: Counted, *, outcomes: bool) -> dict[str, FairnessStatus]:
    """Every fairness signal of every group, `signal:group`, as far as this kind of window knows it."""
    if counted.plan.spec.task is not TaskKind.BINARY:
        return {}
    return {
        f"{signal.value}:{group}": fairness_of(counted, group, signal)
        for group in counted.plan.group_values
        for signal in sorted(FAIRNESS_SIGNALS)
        if (signal in OUTCOME_SIGNALS) is outcomes
    }
