"""How complete are the labels of a cohort, and how late do they come.

Everything from counts: labelled and predicted events, and delays in `DELAY_BINS`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from detectors.arrays import check_at_least
from detectors.latency import DELAY_BINS


def coverage(n_labelled: float, n_predicted: float) -> float | None:
    """Return the share of predictions that have their label.

    Parameters
    ----------
    n_labelled
        Labelled predictions of the cohort.
    n_predicted
        All predictions of the cohort.

    Returns
    -------
    float or None
        In [0, 1]; None without predictions.

    Raises
    ------
    ValueError
        If a count is negative or more are labelled than predicted.
    """
    check_at_least("n_labelled", n_labelled, 0.0)
    check_at_least("n_predicted", n_predicted, 0.0)
    if n_labelled > n_predicted:
        raise ValueError(f"n_labelled: {n_labelled} given, expected at most n_predicted, {n_predicted}")
    return n_labelled / n_predicted if n_predicted else None


def delay_quantiles(counts: npt.ArrayLike, quantiles: Sequence[float] = (0.5, 0.9, 0.99)) -> dict[float, float | None]:
    """Return quantiles of the delay from prediction to label.

    Parameters
    ----------
    counts
        Shape (DELAY_BINS.n_slots,): labels per delay slot.
    quantiles
        Each in (0, 1).

    Returns
    -------
    dict
        Quantile to delay in seconds, within 13 %; None without labels.

    Raises
    ------
    ValueError
        If the shape or a quantile is wrong.
    """
    return {q: DELAY_BINS.quantile(counts, q) for q in quantiles}


def share_within(counts: npt.ArrayLike, age_seconds: float) -> float | None:
    """Return the share of labels that come within an age: the delay's distribution function.

    Parameters
    ----------
    counts
        Shape (DELAY_BINS.n_slots,): labels per delay slot, from matured cohorts.
    age_seconds
        Age, at least 0.

    Returns
    -------
    float or None
        In [0, 1]; the bin of the age itself is left out, so the share is never too high. None without labels.

    Raises
    ------
    ValueError
        If the age is negative or the shape wrong.
    """
    check_at_least("age_seconds", age_seconds, 0.0)
    slot = int(DELAY_BINS.encode(np.array([age_seconds]))[0])
    above, below = DELAY_BINS.exceedance(counts, slot)
    return below / (above + below) if above + below else None
