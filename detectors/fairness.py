"""How alike groups are treated, from counts per group.

Intervals are Wilson's for a rate and Newcombe's for a difference. A rate with fewer than 30 relevant events
is hidden. The sequential test of a difference is `BettingPairTest`.

References
----------
Wilson, "Probable inference" (1927); Newcombe, "Interval estimation for the difference between independent
proportions" (1998).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scipy import special

from detectors.arrays import check_at_least, check_between
from detectors.betting_pairs import BettingPairTest

__all__ = [
    "MINIMUM_EVENTS",
    "BettingPairTest",
    "Gap",
    "GroupCounts",
    "Rate",
    "compare_groups",
    "equalised_odds_difference",
    "group_rates",
    "newcombe_difference",
    "wilson_interval",
]

MINIMUM_EVENTS: Final = 30
"""Relevant events below which a rate is hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCounts:
    """Mergeable counts of one group.

    Parameters
    ----------
    n
        Predictions.
    selected
        Predictions of the favourable class.
    actual_positive, true_positive
        Labelled events that are positive, and those of them that were selected.
    actual_negative, false_positive
        Labelled events that are negative, and those of them that were selected.

    Raises
    ------
    ValueError
        If a count is negative or a part exceeds its whole.
    """

    n: float
    selected: float
    actual_positive: float = 0
    true_positive: float = 0
    actual_negative: float = 0
    false_positive: float = 0

    def __post_init__(self) -> None:
        for name, part, whole in (
            ("selected", self.selected, self.n),
            ("true_positive", self.true_positive, self.actual_positive),
            ("false_positive", self.false_positive, self.actual_negative),
        ):
            check_at_least(name, part, 0.0)
            if not part <= whole < math.inf:
                raise ValueError(f"{name}: {part} given, expected at most the events it is a part of, {whole}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate with its 95 % Wilson interval; all None where hidden. `n` are the relevant events."""

    value: float | None
    lower: float | None
    upper: float | None
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Two groups' rates compared: `group` less, and over, `reference`.

    `lower` and `upper` are Newcombe's 95 % interval of the difference. All None where one of the rates is
    hidden; the ratio also where the reference's rate is 0.
    """

    metric: str
    group: str
    reference: str
    difference: float | None
    ratio: float | None
    lower: float | None
    upper: float | None


def wilson_interval(k: float, n: float, level: float = 0.05) -> tuple[float, float]:
    """Return Wilson's two-sided interval of a share.

    Parameters
    ----------
    k, n
        Successes and trials.
    level
        Error probability of both sides together, in (0, 1).

    Returns
    -------
    tuple of float
        Within [0, 1]; (0, 1) if n = 0.

    Raises
    ------
    ValueError
        If k is not in [0, n] or the level is out of range.
    """
    check_between("level", level, 0.0, 1.0)
    check_at_least("k", k, 0.0)
    if not k <= n < math.inf:
        raise ValueError(f"k: {k} of n = {n} given, expected k in [0, n] and n finite")
    if not n:
        return 0.0, 1.0
    z = -float(special.ndtri(level / 2.0))
    share = k / n
    centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def newcombe_difference(k1: float, n1: float, k2: float, n2: float, level: float = 0.05) -> tuple[float, float]:
    """Return Newcombe's two-sided interval of the difference of two shares, k1 / n1 - k2 / n2.

    Parameters
    ----------
    k1, n1, k2, n2
        Successes and trials of the two.
    level
        Error probability of both sides together, in (0, 1).

    Returns
    -------
    tuple of float
        Within [-1, 1]; (-1, 1) if one of them has no trial.

    Raises
    ------
    ValueError
        If a k is not in [0, n] or the level is out of range.
    """
    low1, high1 = wilson_interval(k1, n1, level)
    low2, high2 = wilson_interval(k2, n2, level)
    if not n1 or not n2:
        return -1.0, 1.0
    p1, p2 = k1 / n1, k2 / n2
    down = math.hypot(p1 - low1, high2 - p2)
    up = math.hypot(high1 - p1, p2 - low2)
    return max(-1.0, p1 - p2 - down), min(1.0, p1 - p2 + up)


def group_rates(counts: GroupCounts, *, minimum_events: int = MINIMUM_EVENTS) -> dict[str, Rate]:
    """Return a group's rates.

    Parameters
    ----------
    counts
        The group.
    minimum_events
        Relevant events below which a rate is hidden.

    Returns
    -------
    dict
        "selection_rate", "true_positive_rate", "false_positive_rate", "precision" to `Rate`.
    """
    return {name: _rate(k, n, minimum_events) for name, (k, n) in _parts(counts).items()}


def compare_groups(
    groups: Mapping[str, GroupCounts], *, reference: str, minimum_events: int = MINIMUM_EVENTS
) -> list[Gap]:
    """Compare every group's rates with one group's.

    Parameters
    ----------
    groups
        Counts by name.
    reference
        The group that the others are compared with.
    minimum_events
        Relevant events below which a rate is hidden.

    Returns
    -------
    list of Gap
        For each other group, by name: the gaps of "selection_rate" (demographic parity),
        "true_positive_rate" (equal opportunity), "false_positive_rate" (with the one before: equalised
        odds) and "precision" (predictive parity).

    Raises
    ------
    ValueError
        If the reference is not among the groups.
    """
    if reference not in groups:
        raise ValueError(f"reference: {reference!r} given, expected one of {', '.join(sorted(groups))}")
    other = _parts(groups[reference])
    return [
        _gap({"metric": metric, "group": name, "reference": reference}, part, other[metric], minimum_events)
        for name in sorted(groups)
        if name != reference
        for metric, part in _parts(groups[name]).items()
    ]


def equalised_odds_difference(gaps: list[Gap], group: str) -> float | None:
    """Return the larger of a group's differences in true and false positive rate.

    Parameters
    ----------
    gaps
        What `compare_groups` returned.
    group
        The group.

    Returns
    -------
    float or None
        In [0, 1]; None if one of the two is hidden.
    """
    wanted = ("true_positive_rate", "false_positive_rate")
    found = [gap.difference for gap in gaps if gap.group == group and gap.metric in wanted]
    known = [abs(difference) for difference in found if difference is not None]
    return max(known) if len(known) == len(wanted) else None


def _parts(counts: GroupCounts) -> dict[str, tuple[float, float]]:
    return {
        "selection_rate": (counts.selected, counts.n),
        "true_positive_rate": (counts.true_positive, counts.actual_positive),
        "false_positive_rate": (counts.false_positive, counts.actual_negative),
        "precision": (counts.true_positive, counts.true_positive + counts.false_positive),
    }


def _rate(k: float, n: float, minimum_events: int) -> Rate:
    if n < max(minimum_events, 1):
        return Rate(value=None, lower=None, upper=None, n=n)
    lower, upper = wilson_interval(k, n)
    return Rate(value=k / n, lower=lower, upper=upper, n=n)


def _gap(names: Mapping[str, str], part: tuple[float, float], other: tuple[float, float], minimum_events: int) -> Gap:
    if min(part[1], other[1]) < max(minimum_events, 1):
        return Gap(**names, difference=None, ratio=None, lower=None, upper=None)
    rate, base = part[0] / part[1], other[0] / other[1]
    lower, upper = newcombe_difference(*part, *other)
    return Gap(**names, difference=rate - base, ratio=rate / base if base else None, lower=lower, upper=upper)
