"""Fairness of a window: selection and true-positive rates per group, from counts."""

from __future__ import annotations

from detectors.fairness import GroupCounts, group_rates
from schemas.signals import Signal
from streams.control import layout as sections
from streams.evaluator.signals import Counted


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


def rate_difference(counted: Counted, group: str, signal: Signal) -> tuple[float | None, int]:
    """Largest difference of a rate between two values of a group, and the events of the smaller side.

    None with fewer than two values that have enough events; rates on too few are hidden.
    """
    name = "selection_rate" if signal is Signal.SELECTION_RATE_DIFFERENCE else "true_positive_rate"
    rates = [group_rates(counts)[name] for counts in group_counts(counted, group).values()]
    shown = [rate for rate in rates if rate.value is not None]
    if len(shown) < 2:
        return None, 0
    values = [rate.value for rate in shown if rate.value is not None]
    return max(values) - min(values), int(min(rate.n for rate in shown))
