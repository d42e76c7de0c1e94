"""Errors of a regression without labels: the errors that the reference has at predictions like these.

Direct loss estimation in a form that merges: the state is a table of sums by bin of the prediction, so the expected
error of a window is its predictions' mean of the bins' mean errors. It sees that the model now answers more often where
it errs more; it sees no error that grows for the same answers (concept drift), and no input that the reference lacks.

The interval is empirical: how far the estimate was off in the reference's own cells, at the size and the mix of the
window; a loss is taken to spread in proportion to its mean.

References
----------
NannyML, "Direct loss estimation" (2022), for the idea; there a second model predicts the loss from the features.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_between

LEAST_CELL: Final = 20
"""Labelled events of a cell before it says how far an estimate is off."""
LEAST_CELLS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLoss:
    """Mean loss by bin of the prediction. Build it with `fit`.

    Parameters
    ----------
    by_bin
        Shape (B,): mean loss; of a bin without events, that of all.
    dispersion
        Variance of a loss over its squared mean, as the reference's cells show it; None where too few have labels.
    """

    by_bin: FloatArray
    dispersion: float | None

    @classmethod
    def fit(cls, sums: npt.ArrayLike, counts: npt.ArrayLike) -> "ExpectedLoss | None":
        """Fit to a reference.

        Parameters
        ----------
        sums
            Shape (cells, B): losses summed by bin of the prediction; a loss is not negative.
        counts
            Shape (cells, B): events that they are of.

        Returns
        -------
        ExpectedLoss or None
            None without a single labelled event.

        Raises
        ------
        ValueError
            If shapes differ, or a count is negative.
        """
        n = as_counts(counts, name="counts", ndim=2)
        total = np.asarray(sums, dtype=np.float64)
        if total.shape != n.shape:
            raise ValueError(f"sums: shape {total.shape} given, expected that of counts, {n.shape}")
        of_bin = n.sum(axis=0)
        if not of_bin.sum():
            return None
        overall = total.sum() / of_bin.sum()
        by_bin = np.where(of_bin > 0, total.sum(axis=0) / np.maximum(of_bin, 1.0), overall)
        of_cell = n.sum(axis=1)
        told = of_cell >= LEAST_CELL
        dispersion = None
        if told.sum() >= LEAST_CELLS:
            off = (total.sum(axis=1) - n @ by_bin)[told]
            expected = (n @ by_bin**2)[told]
            dispersion = float((off**2).sum() / expected.sum()) if expected.any() else 0.0
        return cls(by_bin=by_bin, dispersion=dispersion)

    def estimate(
        self, counts: npt.ArrayLike, *, confidence: float = 0.95
    ) -> tuple[float, float | None, float | None] | None:
        """Estimate the mean loss of unlabelled predictions.

        Parameters
        ----------
        counts
            Shape (B,): predictions by bin.
        confidence
            Of the interval, in (0, 1).

        Returns
        -------
        tuple or None
            (estimate, lower, upper), the bounds None where the reference does not say how far it may be off; None
            without predictions.
        """
        n = as_counts(counts, name="counts")
        check_between("confidence", confidence, 0.0, 1.0)
        if n.shape != self.by_bin.shape:
            raise ValueError(f"counts: shape {n.shape} given, expected {self.by_bin.shape}")
        total = float(n.sum())
        if not total:
            return None
        value = float(n @ self.by_bin) / total
        if self.dispersion is None:
            return value, None, None
        spread = float(np.sqrt(self.dispersion * (n @ self.by_bin**2))) / total
        half = float(special.ndtri(0.5 + confidence / 2.0)) * spread
        return value, max(value - half, 0.0), value + half
