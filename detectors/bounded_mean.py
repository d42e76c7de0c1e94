"""Algorithm A: whether the mean of a bounded quantity has risen above what the reference allows.

The null says E[x_t | past] <= m0 for x in [0, 1]: an error rate, a miss rate, a scaled loss, the share of
requests above the reference's p95. Bets lambda_k = MEAN_GRID / m0 keep 1 + lambda (x - m0) positive. No
model of x is needed beyond its range.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors" (2022); Waudby-Smith, Ramdas, "Estimating means of bounded random
variables by betting" (2024).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts, check_at_least, check_between
from detectors.sequential import MEAN_GRID

Side = Literal["upper", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedMean:
    """Bets against a bound on a mean.

    With `side="upper"` the tested variable is y = x; with `side="lower"` it is y = 1 - x, and **`m0` is
    given for y**: the null is E[y] <= m0 in both cases, so a lower test of E[x] >= a has m0 = 1 - a. Values
    and counts are always given for x; the flip happens here.

    Parameters
    ----------
    m0
        The largest mean of y under the null, in (0, 1).
    inflation
        v >= 1, by which log-bets are divided: the variance inflation of the counts per cell.
    side
        Which side of x is tested.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    m0: float
    inflation: float = 1.0
    side: Side = "upper"

    def __post_init__(self) -> None:
        check_between("m0", self.m0, 0.0, 1.0)
        check_at_least("inflation", self.inflation, 1.0)
        if self.side not in ("upper", "lower"):
            raise ValueError(f"side: {self.side!r} given, expected 'upper' or 'lower'")

    @classmethod
    def for_upper(cls, ucb: float, tolerance: float, inflation: float = 1.0) -> "BoundedMean":
        """Test for a rise of E[x] above the baseline's upper confidence bound and a practical tolerance.

        Parameters
        ----------
        ucb
            Upper confidence bound of the baseline mean of x, in [0, 1].
        tolerance
            Rise that is of no practical interest, in the unit of x, at least 0.
        inflation
            v >= 1.

        Returns
        -------
        BoundedMean
            With m0 = ucb + tolerance.

        Raises
        ------
        ValueError
            If ucb + tolerance >= 1: nothing could ever be found.
        """
        check_at_least("tolerance", tolerance, 0.0)
        if not ucb + tolerance < 1.0:
            raise ValueError(f"tolerance: {tolerance} given with upper bound {ucb}, expected a sum below 1")
        return cls(m0=ucb + tolerance, inflation=inflation)

    @classmethod
    def for_lower(cls, lcb: float, tolerance: float, inflation: float = 1.0) -> "BoundedMean":
        """Test for a fall of E[x] below the baseline's lower confidence bound and a practical tolerance.

        Parameters
        ----------
        lcb
            Lower confidence bound of the baseline mean of x, in [0, 1].
        tolerance
            Fall that is of no practical interest, in the unit of x, at least 0.
        inflation
            v >= 1.

        Returns
        -------
        BoundedMean
            With m0 = 1 - lcb + tolerance, for the flipped variable.

        Raises
        ------
        ValueError
            If lcb - tolerance <= 0: nothing could ever be found.
        """
        check_at_least("tolerance", tolerance, 0.0)
        if not lcb - tolerance > 0.0:
            raise ValueError(f"tolerance: {tolerance} given with lower bound {lcb}, expected less than the bound")
        return cls(m0=1.0 - lcb + tolerance, inflation=inflation, side="lower")

    def mirrored(self, level: float | None = None) -> "BoundedMean":
        """Return the opposite test, with which an alarm is cleared: its null is E[y] >= level.

        Parameters
        ----------
        level
            In (0, 1), for the same variable y as `m0` (flipped when `side` is "lower"); `m0` itself if not
            given.

        Returns
        -------
        BoundedMean
            Betting on the other side, with the same inflation.

        Raises
        ------
        ValueError
            If the level is out of range.
        """
        chosen = self.m0 if level is None else level
        check_between("level", chosen, 0.0, 1.0)
        other: Side = "lower" if self.side == "upper" else "upper"
        return BoundedMean(m0=1.0 - chosen, inflation=self.inflation, side=other)

    def log_bets(self, values: npt.ArrayLike, counts: npt.ArrayLike) -> FloatArray:
        """Return the log-bets of one window in which x took `values[b]` `counts[b]` times.

        Parameters
        ----------
        values
            Shape (B,), each in [0, 1].
        counts
            Shape (B,), at least 0.

        Returns
        -------
        numpy.ndarray
            Shape (8,): one for each lambda, divided by the inflation; zeros without events.

        Raises
        ------
        ValueError
            If shapes differ or a value lies outside [0, 1].
        """
        x = np.asarray(values, dtype=np.float64)
        n = as_counts(counts, name="counts")
        if x.shape != n.shape:
            raise ValueError(f"values: shape {x.shape} given, expected that of counts, {n.shape}")
        if x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
            raise ValueError(f"values: {x.min()} to {x.max()} given, expected all in [0, 1]")
        y = x if self.side == "upper" else 1.0 - x
        bets = np.log1p(np.multiply.outer(y / self.m0 - 1.0, MEAN_GRID))
        return np.asarray(n @ bets / self.inflation, dtype=np.float64)

    def bernoulli_log_bets(self, n1: float, n0: float) -> FloatArray:
        """Return the log-bets of a window with `n1` events of x = 1 and `n0` of x = 0.

        Parameters
        ----------
        n1, n0
            Counts of x itself on both sides (not flipped), at least 0.

        Returns
        -------
        numpy.ndarray
            Shape (8,), the same as `log_bets([1, 0], [n1, n0])`.

        Raises
        ------
        ValueError
            If a count is negative or not finite.
        """
        check_at_least("n1", n1, 0.0)
        check_at_least("n0", n0, 0.0)
        hits, rest = (n1, n0) if self.side == "upper" else (n0, n1)
        gain = np.log1p(MEAN_GRID * (1.0 / self.m0 - 1.0))
        return np.asarray((hits * gain + rest * np.log1p(-MEAN_GRID)) / self.inflation, dtype=np.float64)
