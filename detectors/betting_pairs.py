"""A sequential test of whether two groups are treated alike, on pairs of one event from each.

References
----------
Chugg, Cortes-Gomez, Wilder, Ramdas, "Auditing fairness by betting" (NeurIPS 2023).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts, check_at_least
from detectors.sequential import LOG_CAP, MEAN_GRID, log_mean_exp

_PAYOFFS: Final = np.array([[0.0, -1.0], [1.0, 0.0]])
"""y_A - y_B for each cell of a table of pairs."""


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
