"""Two arms that serve at the same time: a confidence sequence for how much worse one is than the other.

Bad events of a candidate and of the version that it is to replace are paired at random within each cell, so that both
sides of a pair come from the same time: a base rate that rises moves both. A pair's difference z is -1, 0 or 1. For
each possible difference d the capital

    K(d) = mean over stakes s of prod (1 + s (z - d))

is a non-negative martingale if the mean of z is d, and a supermartingale if it is less. The differences whose capital
stays below 2 / alpha, on either side, are a confidence sequence: it holds the true difference at all times at once with
probability 1 - alpha, however often one looks and whenever one stops. Only the three counts of z enter, so cells merge
in any order. Bets are divided by the inflation of the signal, as everywhere.

References
----------
Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting" (2024).
Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, check_at_least, check_between

STAKES: Final[FloatArray] = np.geomspace(0.01, 0.9, 12)
"""Of what may be lost at most, for each direction."""
STAKES.setflags(write=False)
_N_HALVINGS: Final = 40


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pairs by what the candidate did and the other one did not."""

    n_worse: int = 0
    """The candidate's event was bad, the other's was not."""
    n_equal: int = 0
    n_better: int = 0

    @property
    def n(self) -> int:
        """All pairs."""
        return self.n_worse + self.n_equal + self.n_better

    @property
    def difference(self) -> float | None:
        """Mean of the candidate's less the other's; None without pairs."""
        return (self.n_worse - self.n_better) / self.n if self.n else None

    def __add__(self, other: "PairCounts") -> "PairCounts":
        """Merge."""
        return PairCounts(self.n_worse + other.n_worse, self.n_equal + other.n_equal, self.n_better + other.n_better)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What the difference lies in, at all times at once; a larger one is more harm."""

    lower: float
    upper: float


def paired(n_bad: int, n: int, other_bad: int, other_n: int, rng: np.random.Generator) -> PairCounts:
    """Pair as many events of one cell as both arms have, at random.

    Parameters
    ----------
    n_bad, n
        Of the candidate.
    other_bad, other_n
        Of the version that it is held against.
    rng
        Seeded by the cell, so that a replay pairs alike.

    Raises
    ------
    ValueError
        If a count is negative, or bad events are more than all.
    """
    for name, bad, total in (("n_bad", n_bad, n), ("other_bad", other_bad, other_n)):
        if not 0 <= bad <= total:
            raise ValueError(f"{name}: {bad} of {total} given, expected 0 to all")
    size = min(n, other_n)
    if not size:
        return PairCounts()
    mine = int(rng.hypergeometric(n_bad, n - n_bad, size))
    theirs = int(rng.hypergeometric(other_bad, other_n - other_bad, size))
    both = int(rng.hypergeometric(mine, size - mine, theirs)) if theirs else 0
    return PairCounts(mine - both, size - mine - theirs + 2 * both, theirs - both)


def log_capital(pairs: PairCounts, difference: float, *, inflation: float = 1.0, rises: bool = True) -> float:
    """Return log K: evidence that the mean difference is above (or below) a value.

    Parameters
    ----------
    pairs
        Counts so far.
    difference
        The value, in (-1, 1).
    inflation
        v, at least 1.
    rises
        Whether it bets on more, or on less.
    """
    d = difference if rises else -difference
    up, down = (pairs.n_worse, pairs.n_better) if rises else (pairs.n_better, pairs.n_worse)
    stakes = STAKES / (1.0 + d)  # z - d is at least -1 - d
    logs = (
        up * np.log1p(stakes * (1.0 - d)) + pairs.n_equal * np.log1p(-stakes * d) + down * np.log1p(-stakes * (1.0 + d))
    )
    scaled = logs / inflation
    return float(special.logsumexp(scaled) - math.log(len(STAKES)))


def confidence_sequence(pairs: PairCounts, alpha: float, *, inflation: float = 1.0) -> Interval:
    """Return the differences that are still possible.

    Parameters
    ----------
    pairs
        Counts so far.
    alpha
        Probability that the true difference ever lies outside, in (0, 1).
    inflation
        v of the signal, at least 1.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    check_at_least("inflation", inflation, 1.0)
    if not pairs.n:
        return Interval(lower=-1.0, upper=1.0)
    bound = math.log(2.0 / alpha)
    return Interval(
        lower=_edge(pairs, bound, inflation, rises=True), upper=-_edge(pairs, bound, inflation, rises=False)
    )


def _edge(pairs: PairCounts, bound: float, inflation: float, *, rises: bool) -> float:
    """Largest value that is refuted on one side: capital falls as the value rises to the mean."""
    mean = (pairs.n_worse - pairs.n_better) / pairs.n * (1.0 if rises else -1.0)
    low, high = -1.0 + 1e-9, mean
    sign = 1.0 if rises else -1.0
    if log_capital(pairs, sign * low, inflation=inflation, rises=rises) < bound:
        return -1.0
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (low + high)
        if log_capital(pairs, sign * middle, inflation=inflation, rises=rises) >= bound:
            low = middle
        else:
            high = middle
    return low


def log_ratio_mismatch(n: int, other_n: int, ratio: float, *, concentration: float = 200.0) -> float:
    """Return log evidence that a candidate's share of the traffic is not what was announced.

    A beta-binomial mixture around the announced ratio against that ratio itself: at least log(1/alpha) with probability
    alpha at most, however often one looks.

    Parameters
    ----------
    n, other_n
        Events of the candidate, and of all others.
    ratio
        Announced share, in (0, 1).
    concentration
        Of the mixture: large ones look for small mismatches.

    Raises
    ------
    ValueError
        If the ratio is out of range.

    References
    ----------
    Lindon, Malek, "Anytime-valid inference for multinomial count data" (2022).
    """
    check_between("ratio", ratio, 0.0, 1.0)
    a, b = concentration * ratio, concentration * (1.0 - ratio)
    mixture: npt.NDArray[np.float64] | float = special.betaln(a + n, b + other_n) - special.betaln(a, b)
    return float(mixture) - n * math.log(ratio) - other_n * math.log1p(-ratio)
