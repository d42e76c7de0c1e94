"""Calibration of scores from counts: the probability of the positive class in each score bin, never falling.

The state is a table of counts (actual by score bin), so it merges by addition and takes a stream as it comes; the fit
is a function of the sum. It costs O(bins).

Where probability falls from one bin to the next, the fit pools them: it believes that the score orders events at least
as well as it should. So an area under the curve made of it is too large: on the reference itself it is that of the ROC
curve's convex hull. By how much is found by cross-validation: each event gets its probability from a fit that has not
seen it.

References
----------
Ayer et al., "An empirical distribution function for sampling with incomplete information" (1955): pool adjacent
violators. Fawcett, Niculescu-Mizil, "PAV and the ROC convex hull" (2007).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts

N_FOLDS: Final = 10
N_REPEATS: Final = 4
"""The folds are drawn anew so often; their number and this one were chosen on simulated streams."""


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
    auc_optimism
        By how much an expected area under the ROC curve is too large, by cross-validation on the reference.

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
    auc_optimism: float = 0.0

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
    probability, block, n = _pooled(counts)
    return Calibration(probability, block, n, _auc_optimism(counts))


def expected_auc(positives: FloatArray, negatives: FloatArray) -> float | None:
    """Return the area under the ROC curve of counts by score bin, which may be expected ones.

    Parameters
    ----------
    positives, negatives
        Shape (B,) each; a pair in one bin counts half.

    Returns
    -------
    float or None
        In [0, 1]; None where a class has no event.
    """
    pairs = float(positives.sum() * negatives.sum())
    if pairs <= 0.0:
        return None
    return float(positives @ (np.cumsum(negatives) - 0.5 * negatives)) / pairs


def _pooled(counts: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64], FloatArray]:
    """Probability, block and events of the block, per bin."""
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
    return np.interp(bins, seen, fitted), block, np.asarray(totals)[block]


def _auc_optimism(counts: FloatArray) -> float:
    """Expected less realised area on the reference, each fold's events calibrated by the others.

    The folds are drawn from the counts, which is all there is; seeded, so that the same counts give the same fit.
    """
    whole = counts.astype(np.int64)
    realised = expected_auc(counts[1], counts[0])
    if realised is None or (whole != counts).any() or (whole.sum(axis=1) < N_FOLDS).any():
        return 0.0
    rng = np.random.default_rng(0)
    found = []
    for _ in range(N_REPEATS):
        left, positives = whole.copy(), np.zeros(counts.shape[1])
        for n_left in range(N_FOLDS, 0, -1):
            fold = rng.binomial(left, 1.0 / n_left)
            left -= fold
            rest = (whole - fold).astype(np.float64)
            if rest.sum(axis=1).all():
                positives += fold.sum(axis=0) * _pooled(rest)[0]
            else:
                positives += fold[1]
        expected = expected_auc(positives, counts.sum(axis=0) - positives)
        found.append(realised if expected is None else expected)
    return float(np.mean(found)) - realised
