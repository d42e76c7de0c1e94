"""Calibration of scores from counts: the probability of the positive class in each score bin, never falling.

The state is a table of counts (actual by score bin), so it merges by addition and takes a stream as it comes; the fit
is a function of the sum. It costs O(bins).

References
----------
Ayer et al., "An empirical distribution function for sampling with incomplete information" (1955): pool adjacent
violators.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(positive) per score bin.

    Attributes
    ----------
    probability
        Shape (B,), not decreasing.
    block
        Shape (B,): the pooled block each bin is in; bins of one block share their error.
    n
        Shape (B,): reference events of the bin's block.

    Examples
    --------
    >>> fit_calibration([[8, 3, 1], [2, 4, 2]]).probability.round(3).tolist()
    [0.2, 0.571, 0.667]
    >>> fit_calibration([[4, 4], [6, 4]]).probability.round(3).tolist()
    [0.556, 0.556]
    """

    probability: FloatArray
    block: npt.NDArray[np.int64]
    n: FloatArray

    @property
    def variance(self) -> FloatArray:
        """Shape (B,): squared standard error of `probability`; a block with one class alone is not taken for sure."""
        padded = (self.probability * self.n + 0.5) / (self.n + 1.0)
        return np.asarray(padded * (1.0 - padded) / (self.n + 1.0), dtype=np.float64)


def fit_calibration(outcome_counts: npt.ArrayLike) -> Calibration:
    """Fit the isotonic calibration.

    Parameters
    ----------
    outcome_counts
        Shape (2, B): labelled reference events, actual negative and positive, by score bin. A bin without events takes
        the value between its neighbours.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If the shape is wrong, a count is negative, or one of the two classes has no event.
    """
    counts = as_counts(outcome_counts, name="outcome_counts", ndim=2)
    if counts.shape[0] != 2 or not counts.shape[1]:
        raise ValueError(f"outcome_counts: shape {counts.shape} given, expected (2, bins)")
    if not counts.sum(axis=1).all():
        given = counts.sum(axis=1).tolist()
        raise ValueError(f"outcome_counts: {given} negatives and positives given, expected events of both classes")
    n = counts.sum(axis=0)
    seen = np.flatnonzero(n)
    totals: list[float] = []
    positives: list[float] = []
    sizes: list[int] = []
    for at in seen:
        totals.append(float(n[at]))
        positives.append(float(counts[1, at]))
        sizes.append(1)
        while len(sizes) > 1 and positives[-2] * totals[-1] >= positives[-1] * totals[-2]:
            for values in (totals, positives):
                values[-2:] = [values[-2] + values[-1]]
            sizes[-2:] = [sizes[-2] + sizes[-1]]
    bins = np.arange(n.size)
    fitted = np.repeat(np.divide(positives, totals), sizes)
    nearest = seen[np.abs(bins[:, None] - seen).argmin(axis=1)]
    block = np.repeat(np.arange(len(sizes)), sizes)[np.searchsorted(seen, nearest)]
    return Calibration(np.interp(bins, seen, fitted), block, np.asarray(totals)[block])
