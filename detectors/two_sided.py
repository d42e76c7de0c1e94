"""Algorithm A on both sides at once: whether a bounded mean has left what the reference allows, up or down.

`either` puts the bets of both sides into one mixture. Its mean is half the sum of the two, so an alarm at c is at
least as early as two detectors at 2c each, and the average run length of c holds as for any mixture. `both` is the test
that clears such an alarm: its null says that the mean lies outside on one of the sides, and it bets the smaller of the
two bets, which is fair whichever side that is.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors" (2022).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.bounded_mean import BoundedMean


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSidedMean:
    """Bets on two sides of a mean; the same methods as `BoundedMean`.

    Parameters
    ----------
    sides
        One test for each side.
    joined
        "either": one mixture of all bets. "both": the smaller bet at each lambda.

    Raises
    ------
    ValueError
        If there are not two sides, one upper and one lower, or `joined` is neither.
    """

    sides: tuple[BoundedMean, BoundedMean]
    joined: Literal["either", "both"] = "either"

    def __post_init__(self) -> None:
        if sorted(test.side for test in self.sides) != ["lower", "upper"]:
            raise ValueError(f"sides: {[t.side for t in self.sides]} given, expected one 'upper' and one 'lower'")
        if self.joined not in ("either", "both"):
            raise ValueError(f"joined: {self.joined!r} given, expected 'either' or 'both'")

    def mirrored(self) -> "TwoSidedMean":
        """Return the test that clears an alarm: sure once the mean is within both bounds."""
        first, second = self.sides
        return TwoSidedMean(sides=(first.mirrored(), second.mirrored()), joined="both")

    def log_bets(self, values: npt.ArrayLike, counts: npt.ArrayLike) -> FloatArray:
        """Return the log-bets of one window, as `BoundedMean.log_bets` does.

        Parameters
        ----------
        values
            Shape (B,), each in [0, 1].
        counts
            Shape (B,), at least 0.

        Returns
        -------
        numpy.ndarray
            Shape (16,) for `either`, (8,) for `both`.

        Raises
        ------
        ValueError
            If shapes differ or a value lies outside [0, 1].
        """
        first, second = (test.log_bets(values, counts) for test in self.sides)
        return self._join(first, second)

    def bernoulli_log_bets(self, n1: float, n0: float) -> FloatArray:
        """Return the log-bets of a window with `n1` events of x = 1 and `n0` of x = 0.

        Parameters
        ----------
        n1, n0
            Counts of x itself, at least 0.

        Returns
        -------
        numpy.ndarray
            Shape (16,) for `either`, (8,) for `both`.

        Raises
        ------
        ValueError
            If a count is negative or not finite.
        """
        first, second = (test.bernoulli_log_bets(n1, n0) for test in self.sides)
        return self._join(first, second)

    def _join(self, first: FloatArray, second: FloatArray) -> FloatArray:
        return np.concatenate([first, second]) if self.joined == "either" else np.minimum(first, second)


MeanTest = BoundedMean | TwoSidedMean


def mean_test(
    direction: Literal["rise", "fall", "both"],
    *,
    upper: float,
    lower: float,
    tolerance: float,
    inflation: float = 1.0,
) -> MeanTest | None:
    """Return the test of a mean against its baseline's bounds.

    Parameters
    ----------
    direction
        Which way the mean must go to raise an alarm.
    upper, lower
        Confidence bounds of the baseline mean, in [0, 1].
    tolerance
        Move that is of no practical interest, in the unit of the mean, at least 0.
    inflation
        v >= 1.

    Returns
    -------
    BoundedMean, TwoSidedMean or None
        With "both", a side on which bound and tolerance leave no room is left out. None where no side is left.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """
    if direction not in ("rise", "fall", "both"):
        raise ValueError(f"direction: {direction!r} given, expected 'rise', 'fall' or 'both'")
    sides: list[BoundedMean] = []
    if direction != "fall" and upper + tolerance < 1.0:
        sides.append(BoundedMean.for_upper(upper, tolerance, inflation))
    if direction != "rise" and lower - tolerance > 0.0:
        sides.append(BoundedMean.for_lower(lower, tolerance, inflation))
    if len(sides) == 2:
        return TwoSidedMean(sides=(sides[0], sides[1]))
    return sides[0] if sides else None
