"""Quality of a regression from mergeable sums, and signed residuals in symmetric logarithmic bins."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import CodeArray, FloatArray, as_counts, check_at_least, check_between, code_dtype
from detectors.latency import LogBins

_ROUNDING: Final = 1e-12
"""A variance below this share of the mean square is taken for rounding: the actual values are constant."""


def regression_metrics(
    n: float, sum_abs_error: float, sum_squared_error: float, sum_actual: float, sum_actual_squared: float
) -> dict[str, float | None]:
    """Return MAE, RMSE and R2 from sums over labelled events.

    Parameters
    ----------
    n
        Labelled events.
    sum_abs_error, sum_squared_error
        Sums of |error| and of error squared.
    sum_actual, sum_actual_squared
        Sums of the actual values and of their squares.

    Returns
    -------
    dict
        "mae" and "rmse" in the unit of the target, "r2"; None where undefined: without events, and R2 of a
        constant target.

    Raises
    ------
    ValueError
        If a count or a sum of squares is negative or not finite.
    """
    check_at_least("n", n, 0.0)
    check_at_least("sum_abs_error", sum_abs_error, 0.0)
    check_at_least("sum_squared_error", sum_squared_error, 0.0)
    check_at_least("sum_actual_squared", sum_actual_squared, 0.0)
    if not n:
        return {"mae": None, "rmse": None, "r2": None}
    total = sum_actual_squared - sum_actual**2 / n
    varies = total > _ROUNDING * sum_actual_squared
    return {
        "mae": sum_abs_error / n,
        "rmse": float(np.sqrt(sum_squared_error / n)),
        "r2": 1.0 - sum_squared_error / total if varies else None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualBins:
    """Slots of a signed residual: negative ones (mirrored `LogBins`), zero, positive ones, missing.

    Ranked slots run from the most negative (negative overflow) to the most positive, so algorithm B can bet
    on them.

    Parameters
    ----------
    minimum
        Magnitudes up to here count as zero; positive, in the unit of the target.
    maximum
        Magnitudes above the last bin overflow.
    gamma
        Growth of the bins, above 1; quantiles are within (gamma - 1) / (gamma + 1).

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    minimum: float = 1e-6
    maximum: float = 1e6
    gamma: float = 1.3

    def __post_init__(self) -> None:
        LogBins(minimum=self.minimum, maximum=self.maximum, gamma=self.gamma)

    @property
    def magnitudes(self) -> LogBins:
        """The bins of |residual|."""
        return LogBins(minimum=self.minimum, maximum=self.maximum, gamma=self.gamma)

    @property
    def zero_slot(self) -> int:
        """The slot of residuals with a magnitude up to `minimum`."""
        return self.magnitudes.overflow_slot

    @property
    def missing_slot(self) -> int:
        """The slot of NaN."""
        return 2 * self.zero_slot + 1

    @property
    def n_ranked(self) -> int:
        """Slots that have a rank: all but the missing one."""
        return self.missing_slot

    @property
    def n_slots(self) -> int:
        """All slots."""
        return self.missing_slot + 1

    @property
    def edges(self) -> FloatArray:
        """Ends between ranked slots, increasing, shape (n_ranked - 1,)."""
        ends = self.minimum * self.gamma ** np.arange(self.magnitudes.n_log_bins + 1)
        return np.concatenate([-ends[::-1], ends])

    def encode(self, residuals: npt.ArrayLike) -> CodeArray:
        """Return the slot of each residual.

        Parameters
        ----------
        residuals
            Shape (n,): predicted minus actual; NaN is missing, infinities overflow.

        Returns
        -------
        numpy.ndarray
            Shape (n,), uint8, or uint16 with more than 256 slots.
        """
        x = np.asarray(residuals, dtype=np.float64)
        slots = self.magnitudes.encode(np.abs(x)).astype(np.int64)
        codes = self.zero_slot + np.where(x < 0.0, -slots, slots)
        return np.where(np.isnan(x), self.missing_slot, codes).astype(code_dtype(self.n_slots))

    def fold(self, counts: npt.ArrayLike) -> FloatArray:
        """Return the counts of |residual|, for `magnitudes` (its exceedance, its quantiles).

        Parameters
        ----------
        counts
            Shape (n_slots,).

        Returns
        -------
        numpy.ndarray
            Shape (magnitudes.n_slots,).

        Raises
        ------
        ValueError
            If the shape is wrong.
        """
        n = self._checked(counts)
        above = n[self.zero_slot : self.missing_slot].copy()
        above[1:] += n[: self.zero_slot][::-1]
        return np.append(above, n[self.missing_slot])

    def quantile(self, counts: npt.ArrayLike, q: float) -> float | None:
        """Return the lower q-quantile of the residuals.

        Parameters
        ----------
        counts
            Shape (n_slots,).
        q
            In (0, 1).

        Returns
        -------
        float or None
            In the unit of the target; None without residuals.

        Raises
        ------
        ValueError
            If the shape or q is wrong.
        """
        check_between("q", q, 0.0, 1.0)
        cumulated = np.cumsum(self._checked(counts)[: self.missing_slot])
        if not cumulated[-1] > 0.0:
            return None
        rank = min(max(1.0, float(np.ceil(q * cumulated[-1]))), float(cumulated[-1]))
        offset = int(np.searchsorted(cumulated, rank)) - self.zero_slot
        magnitude = float(self.magnitudes.representatives()[abs(offset)])
        return -magnitude if offset < 0 else magnitude

    def _checked(self, counts: npt.ArrayLike) -> FloatArray:
        n = as_counts(counts, name="counts")
        if n.size != self.n_slots:
            raise ValueError(f"counts: shape {n.shape} given, expected ({self.n_slots},)")
        return n
