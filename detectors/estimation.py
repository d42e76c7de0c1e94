"""Performance without labels: confidence-based performance estimation (CBPE) of a binary classifier, from counts.

With c = P(y = 1) of a score bin, calibrated on the reference, a prediction "positive" is a true positive with
probability c, and so on; every metric of the confusion table follows. It rests on one assumption: that c still holds.
It sees a change of the inputs' mix, and never a change of what the inputs mean (concept drift). While inputs drift
beyond what the reference has seen, it must be called unreliable.

The interval holds two errors: the labels' own chance given c, and the calibration's, shared by the bins that were
pooled. It does not hold a wrong assumption. An isotonic fit makes the area under the curve look too large; what
cross-validation on the reference finds of that is taken off.

References
----------
Bialek et al., "Estimating model performance under covariate shift without labels" (2024).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_between
from detectors.calibration import Calibration

METRICS: Final = ("accuracy", "precision", "recall", "f1", "specificity", "auc", "brier")
CONFUSION: Final = ("true_negatives", "false_positives", "false_negatives", "true_positives")
Estimates = dict[str, tuple[float, float, float]]


def split_scores(score_counts: npt.ArrayLike, n_predicted_positive: float) -> FloatArray:
    """Return counts by predicted class and score bin, for a model that cuts its score at *some* threshold.

    The positives are then the highest scores, whatever the threshold; a profile needs no joint section for it.

    Parameters
    ----------
    score_counts
        Shape (B,): predictions by score bin.
    n_predicted_positive
        How many of them were predicted positive.

    Returns
    -------
    numpy.ndarray
        Shape (2, B): predicted negative, predicted positive.

    Raises
    ------
    ValueError
        If a count is negative, or more are positive than there are predictions.
    """
    counts = as_counts(score_counts, name="score_counts")
    if not 0.0 <= n_predicted_positive <= counts.sum():
        raise ValueError(f"n_predicted_positive: {n_predicted_positive} given, expected 0 to {counts.sum():g}")
    above = np.cumsum(counts[::-1])[::-1] - counts
    positive = np.clip(n_predicted_positive - above, 0.0, counts)
    return np.stack([counts - positive, positive])


def estimate_classification(
    counts: npt.ArrayLike, calibration: Calibration, *, values: npt.ArrayLike | None = None, confidence: float = 0.95
) -> Estimates:
    """Estimate the metrics of unlabelled predictions.

    Parameters
    ----------
    counts
        Shape (2, B): unlabelled predictions by predicted class and score bin.
    calibration
        Fitted on the reference, with the same B bins.
    values
        Shape (2, 2): what one event is worth, actual by predicted; gives `business_value`, the mean per event.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    dict
        Metric to (estimate, lower, upper); confusion counts are in events, all else as its metric. A metric that has
        no value (precision without positives) is left out; none has one without predictions.

    Raises
    ------
    ValueError
        If a shape, a count, a value or the confidence is wrong.
    """
    table = as_counts(counts, name="counts", ndim=2)
    c = calibration.probability
    if table.shape != (2, c.size):
        raise ValueError(f"counts: shape {table.shape} given, expected {(2, c.size)}")
    check_between("confidence", confidence, 0.0, 1.0)
    worth = None if values is None else np.asarray(values, dtype=np.float64)
    if worth is not None and (worth.shape != (2, 2) or not np.isfinite(worth).all()):
        raise ValueError(f"values: {values!r} given, expected 2 x 2 finite numbers, actual by predicted")
    if not table.sum():
        return {}
    z = float(special.ndtri(0.5 + confidence / 2.0))
    midpoints = (np.arange(c.size) + 0.5) / c.size

    def of(positive: FloatArray) -> dict[str, FloatArray]:
        return _metrics(table, positive, midpoints, worth)

    expected = table * c
    errors = _standard_errors(of, table, expected, calibration)
    found = {name: float(value) for name, value in of(expected).items()}
    if "auc" in found:
        found["auc"] = min(max(found["auc"] - calibration.auc_optimism, 0.0), 1.0)
    return {name: _interval(name, value, z * errors[name]) for name, value in found.items()}


def _metrics(
    table: FloatArray, positive: FloatArray, scores: FloatArray, worth: FloatArray | None
) -> dict[str, FloatArray]:
    """Metrics where `positive`, shape (..., 2, B), of `table` (predicted by bin) are truly positive: shape (...)."""
    fn, tp = positive.sum(axis=-1)[..., 0], positive.sum(axis=-1)[..., 1]
    n_negative, n_positive = table.sum(axis=1)
    tn, fp, n = n_negative - fn, n_positive - tp, n_negative + n_positive
    by_bin = positive.sum(axis=-2)
    others = table.sum(axis=0) - by_bin
    pairs = (tp + fn) * (tn + fp)
    concordant = (by_bin * (np.cumsum(others, axis=-1) - 0.5 * others)).sum(axis=-1)
    ratios = {
        "accuracy": (tp + tn, n),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2.0 * tp, 2.0 * tp + fp + fn),
        "specificity": (tn, tn + fp),
        "auc": (concordant, pairs),
        "brier": (by_bin @ (1.0 - scores) ** 2 + others @ scores**2, n),
    }
    if worth is not None:
        ratios["business_value"] = (worth[0, 0] * tn + worth[0, 1] * fp + worth[1, 0] * fn + worth[1, 1] * tp, n)
    found = {name: above / below for name, (above, below) in ratios.items() if np.all(below > 0.0)}
    return found | dict(zip(CONFUSION, (tn, fp, fn, tp), strict=True))


def _standard_errors(
    of: Callable[[FloatArray], dict[str, FloatArray]], table: FloatArray, expected: FloatArray, calibration: Calibration
) -> dict[str, float]:
    """Delta method: one gradient per slot that holds events, by a difference of a tenth of a per mille of them."""
    sides, bins = np.nonzero(table)
    n, c = table[sides, bins], calibration.probability[bins]
    step = np.where(c < 0.5, 1e-4, -1e-4) * n
    moved = np.broadcast_to(expected, (len(n), *expected.shape)).copy()
    moved[np.arange(len(n)), sides, bins] += step
    at, changed = of(expected), of(moved)
    variance = np.zeros(int(calibration.block.max()) + 1)
    variance[calibration.block] = calibration.variance
    errors = {}
    for name, value in at.items():
        slope = (changed[name] - value) / step if name in changed else np.zeros(len(n))
        own = float((slope**2 * n * c * (1.0 - c)).sum())
        shared = np.bincount(calibration.block[bins], weights=slope * n, minlength=variance.size)
        errors[name] = float(np.sqrt(own + shared**2 @ variance))
    return errors


def _interval(name: str, value: float, half: float) -> tuple[float, float, float]:
    """An interval within what the metric can be."""
    if name == "business_value":
        return value, value - half, value + half
    top = np.inf if name in CONFUSION else 1.0
    return value, max(value - half, 0.0), float(min(value + half, top))
