"""Metrics from arrays, without bins: for notebooks, recordings and checks. The worker has counts alone."""

import numpy as np
import numpy.typing as npt
from scipy import stats


def exact_auc(actual: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Return the area under the ROC curve; a tie counts half.

    Parameters
    ----------
    actual
        Shape (n,): 1 or True where positive.
    scores
        Shape (n,), finite.

    Returns
    -------
    float or None
        In [0, 1]; None where a class has no event.

    Raises
    ------
    ValueError
        If the shapes differ, a label is neither 0 nor 1, or a score is not finite.

    Examples
    --------
    >>> exact_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    y, s = np.asarray(actual, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or y.shape != s.shape:
        raise ValueError(f"scores: shape {s.shape} given, expected that of actual, {y.shape}, with one axis")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("actual: expected 0 or 1 in every row")
    if not np.isfinite(s).all():
        raise ValueError("scores: expected a finite number in every row")
    n_positive = float(y.sum())
    pairs = n_positive * (y.size - n_positive)
    if not pairs:
        return None
    return float((stats.rankdata(s)[y == 1.0].sum() - n_positive * (n_positive + 1.0) / 2.0) / pairs)
