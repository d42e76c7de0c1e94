"""Are groups treated alike, from counts per group, and a sequential test of it.

Intervals are Wilson's for a rate and Newcombe's for a difference. A rate with fewer than 30 relevant events
is hidden.

References
----------
Wilson, "Probable inference" (1927); Newcombe, "Interval estimation for the difference between independent
proportions" (1998); Chugg, Cortes-Gomez, Wilder, Ramdas, "Auditing fairness by betting" (NeurIPS 2023).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_at_least, check_between
from detectors.sequential import LOG_CAP, MEAN_GRID, log_mean_exp

MINIMUM_EVENTS: Final = 30
"""Relevant events below which a rate is hidden."""

_PAYOFFS: Final = np.array([[0.0, -1.0], [1.0, 0.0]])
"""y_A - y_B for each cell of a table of pairs."""


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
        "selection_rate", "true_positive_rate", "false_positive_rate" to `Rate`.
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
        "true_positive_rate" (equal opportunity) and "false_positive_rate" (with the one before: equalised
        odds).

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BettingPairTest:
    """Test that two groups' mean decisions differ by at most `delta`, on pairs of one event from each.

    Wealth is multiplied by 1 + lambda (d - delta) / (1 + delta) for d = y_A - y_B, and for d = y_B - y_A,
    over the 8 lambdas of `MEAN_GRID`; the e-value is the mean of the 16. Pairs that are independent make it
    valid at any time, and since lambda is fixed it depends on the table of pairs alone, so tables of
    workers add.

    Parameters
    ----------
    delta
        Difference that is of no interest, in [0, 1).
    inflation
        v >= 1, by which log-bets are divided where pairs are correlated.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    delta: float = 0.0
    inflation: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.delta < 1.0:
            raise ValueError(f"delta: {self.delta!r} given, expected a number of at least 0 and below 1")
        check_at_least("inflation", self.inflation, 1.0)

    def log_bets(self, pairs: npt.ArrayLike) -> FloatArray:
        """Return the log-bets of pairs, for `EProcess.update` or `ShiryaevRoberts.update`.

        Parameters
        ----------
        pairs
            Shape (2, 2): pairs with (y_A, y_B) in row y_A and column y_B.

        Returns
        -------
        numpy.ndarray
            Shape (16,): the 8 lambdas for A above B, then for B above A.

        Raises
        ------
        ValueError
            If the shape is wrong or a count negative.
        """
        table = as_counts(pairs, name="pairs", ndim=2)
        if table.shape != (2, 2):
            raise ValueError(f"pairs: shape {table.shape} given, expected (2, 2)")
        excess = (np.stack([_PAYOFFS, -_PAYOFFS]) - self.delta) / (1.0 + self.delta)
        bets = np.log1p(np.multiply.outer(excess, MEAN_GRID))
        return np.asarray(np.einsum("ij,sijk->sk", table, bets).ravel() / self.inflation, dtype=np.float64)

    def log_e_value(self, pairs: npt.ArrayLike) -> float:
        """Return the log of the e-value of all pairs so far (as for `log_bets`), in nats; 0 without pairs."""
        return log_mean_exp(self.log_bets(pairs))

    def e_value(self, pairs: npt.ArrayLike) -> float:
        """Return the e-value of all pairs so far (as for `log_bets`): reject at 1 / alpha; at most 1e300."""
        return math.exp(min(self.log_e_value(pairs), LOG_CAP))

    def direction(self, pairs: npt.ArrayLike) -> str:
        """Return "a_above_b", "b_above_a" or "", as the mean decisions of the pairs say."""
        table = as_counts(pairs, name="pairs", ndim=2)
        difference = float((table * _PAYOFFS).sum())
        if not difference:
            return ""
        return "a_above_b" if difference > 0.0 else "b_above_a"


def _parts(counts: GroupCounts) -> dict[str, tuple[float, float]]:
    return {
        "selection_rate": (counts.selected, counts.n),
        "true_positive_rate": (counts.true_positive, counts.actual_positive),
        "false_positive_rate": (counts.false_positive, counts.actual_negative),
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
