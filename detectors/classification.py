"""Quality of a classifier from two mergeable tables: the confusion matrix and 101 score bins per class.

Score bin b holds scores in [b/101, (b+1)/101), the last one 1 as well; its midpoint stands for it. So Brier
score and log loss are those of scores rounded by at most 1/202, and AUC counts pairs in one bin as half.

References
----------
Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning" (2015), for ECE.
"""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts

N_SCORE_BINS: Final = 101
SCORE_MIDPOINTS: Final[FloatArray] = (np.arange(N_SCORE_BINS) + 0.5) / N_SCORE_BINS
SCORE_MIDPOINTS.setflags(write=False)

LOG_LOSS_CAP: Final = float(-np.log(SCORE_MIDPOINTS[0]))
"""The largest log loss an event can have, 5.3 nats: that of the outermost bin's midpoint."""

N_CALIBRATION_GROUPS: Final = 10
"""Score bins are pooled for ECE, because its bias grows with the number of bins."""

Metrics = dict[str, float | None]


def encode_scores(scores: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Return the score bin of each score.

    Parameters
    ----------
    scores
        Shape (n,): probabilities of the positive class, in [0, 1].

    Returns
    -------
    numpy.ndarray
        Shape (n,), uint8 in 0..100.

    Raises
    ------
    ValueError
        If a score is NaN or outside [0, 1].
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
        raise ValueError(f"scores: {x.min()} to {x.max()} given, expected all in [0, 1]")
    return np.minimum(x * N_SCORE_BINS, N_SCORE_BINS - 1).astype(np.uint8)


def classification_metrics(
    confusion: npt.ArrayLike, positive: int | None = None, score_counts: npt.ArrayLike | None = None
) -> Metrics:
    """Return the metrics of a classifier.

    Parameters
    ----------
    confusion
        Shape (C, C), C >= 2: rows are actual classes, columns predicted ones.
    positive
        Index of the positive class; 1 if not given and C = 2. With more than two classes precision, recall
        and F1 are macro averages over the classes that occur, and the two rates are those of `positive`
        against the rest.
    score_counts
        Shape (2, 101): labelled events per score bin, row 0 negatives, row 1 positives.

    Returns
    -------
    dict
        "accuracy", "error_rate", "balanced_accuracy", "precision", "recall", "f1", "false_positive_rate"
        and "miss_rate"; with scores "log_loss" (nats), "brier", "auc" and "ece" too. None where undefined
        (recall without positives, all of them without events).

    Raises
    ------
    ValueError
        If a shape is wrong, a count negative, or the positive class out of range.
    """
    table = as_counts(confusion, name="confusion", ndim=2)
    n_classes = table.shape[0]
    if table.shape != (n_classes, n_classes) or n_classes < 2:
        raise ValueError(f"confusion: shape {table.shape} given, expected (C, C) with C >= 2")
    if positive is not None and not 0 <= positive < n_classes:
        raise ValueError(f"positive: {positive} given, expected a class in 0..{n_classes - 1}")
    index = 1 if positive is None and n_classes == 2 else positive
    accuracy = _ratio(float(np.trace(table)), float(table.sum()))
    metrics: Metrics = {
        "accuracy": accuracy,
        "error_rate": None if accuracy is None else 1.0 - accuracy,
        "balanced_accuracy": _mean_where(np.diag(table), table.sum(axis=1)),
    }
    metrics |= _one_against_rest(table, index) if index is not None and n_classes == 2 else _macro(table, index)
    return metrics if score_counts is None else metrics | score_metrics(score_counts)


def score_metrics(score_counts: npt.ArrayLike) -> Metrics:
    """Return log loss, Brier score, AUC and ECE from score bins.

    Parameters
    ----------
    score_counts
        Shape (2, 101): labelled events per score bin, row 0 negatives, row 1 positives.

    Returns
    -------
    dict
        "log_loss" (nats, capped at 5.3), "brier", "auc" (ties count half), "ece" (10 groups of bins); None
        where undefined.

    Raises
    ------
    ValueError
        If the shape is wrong or a count negative.
    """
    counts = as_counts(score_counts, name="score_counts", ndim=2)
    if counts.shape != (2, N_SCORE_BINS):
        raise ValueError(f"score_counts: shape {counts.shape} given, expected (2, {N_SCORE_BINS})")
    total = float(counts.sum())
    log_loss = float((score_loss_table("log_loss") * counts).sum()) * LOG_LOSS_CAP
    return {
        "log_loss": _ratio(log_loss, total),
        "brier": _ratio(float((score_loss_table("brier") * counts).sum()), total),
        "auc": _area_under_curve(counts),
        "ece": _calibration_error(counts),
    }


def score_loss_table(kind: Literal["brier", "log_loss"]) -> FloatArray:
    """Return the loss of one event in each score bin, in [0, 1], for `BoundedMean.log_bets`.

    Parameters
    ----------
    kind
        "brier", or "log_loss", which is divided by its cap of 5.3 nats.

    Returns
    -------
    numpy.ndarray
        Shape (2, 101): row 0 for negatives, row 1 for positives.

    Raises
    ------
    ValueError
        If the kind is neither.
    """
    if kind == "brier":
        return np.stack([SCORE_MIDPOINTS**2, (1.0 - SCORE_MIDPOINTS) ** 2])
    if kind == "log_loss":
        losses = -np.log(np.stack([1.0 - SCORE_MIDPOINTS, SCORE_MIDPOINTS])) / LOG_LOSS_CAP
        return np.asarray(np.clip(losses, 0.0, 1.0), dtype=np.float64)
    raise ValueError(f"kind: {kind!r} given, expected 'brier' or 'log_loss'")


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None


def _mean_where(part: FloatArray, whole: FloatArray) -> float | None:
    """Mean ratio over the entries with a positive denominator."""
    there = whole > 0.0
    return float((part[there] / whole[there]).mean()) if there.any() else None


def _one_against_rest(table: FloatArray, index: int) -> Metrics:
    hit = float(table[index, index])
    miss = float(table[index].sum()) - hit
    false_alarm = float(table[:, index].sum()) - hit
    return {
        "precision": _ratio(hit, hit + false_alarm),
        "recall": _ratio(hit, hit + miss),
        "f1": _ratio(2.0 * hit, 2.0 * hit + miss + false_alarm),
        "false_positive_rate": _ratio(false_alarm, float(table.sum()) - hit - miss),
        "miss_rate": _ratio(miss, hit + miss),
    }


def _macro(table: FloatArray, index: int | None) -> Metrics:
    """Averages over the classes that occur; one that is never predicted has precision 0."""
    hits, actual, predicted = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    there = actual + predicted > 0.0
    hits, actual, predicted = hits[there], actual[there], predicted[there]
    rates = _one_against_rest(table, index) if index is not None else {}
    return {
        "precision": float((hits / np.maximum(predicted, 1.0)).mean()) if there.any() else None,
        "recall": float((hits / np.maximum(actual, 1.0)).mean()) if there.any() else None,
        "f1": _mean_where(2.0 * hits, actual + predicted),
        "false_positive_rate": rates.get("false_positive_rate"),
        "miss_rate": rates.get("miss_rate"),
    }


def _area_under_curve(counts: FloatArray) -> float | None:
    negatives, positives = counts
    below = np.cumsum(negatives) - 0.5 * negatives
    return _ratio(float(positives @ below), float(positives.sum() * negatives.sum()))


def _calibration_error(counts: FloatArray) -> float | None:
    starts = (np.arange(N_CALIBRATION_GROUPS) * N_SCORE_BINS) // N_CALIBRATION_GROUPS
    events = counts.sum(axis=0)
    surplus = np.add.reduceat(counts[1] - events * SCORE_MIDPOINTS, starts)
    return _ratio(float(np.abs(surplus).sum()), float(events.sum()))
