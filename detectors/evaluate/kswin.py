"""River's KSWIN for many repetitions at once: a thousand times faster than half a millisecond an event.

At every event KSWIN draws 30 of the 70 older values of its window of 100 and compares them with the 30 newest by a
Kolmogorov-Smirnov test. The draws depend on the seed alone, so they are the same for every repetition, and the p-value
on the distance alone. The first alarm is exactly river's (a test holds it to that); after an alarm the window has to
fill again, and the draws go on instead of starting anew.
"""

import random
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from detectors.arrays import FloatArray
from detectors.evaluate.e_detector import BoolArray

WINDOW: Final = 100
RECENT: Final = 30
_SMALLEST_DISTANCE: Final = 0.1


def kswin_p_values(values: FloatArray, n_reference: int, *, rises_only: bool = False, seed: int = 0) -> FloatArray:
    """Return the p-value at every watched event, of a detector that was given the reference's last 99 values.

    Parameters
    ----------
    values
        Shape (R, T).
    n_reference
        Events before the watched ones.
    rises_only
        Whether a p-value only counts where the recent mean is above that of the values drawn.
    seed
        KSWIN's.

    Returns
    -------
    numpy.ndarray
        Shape (R, T - n_reference); 1 where a distance is too small for KSWIN or the window is not full.
    """
    rng = random.Random(seed)  # noqa: S311 - the draws that river makes
    table = _p_values_of_distances()
    older = range(WINDOW - RECENT)
    start = max(n_reference - WINDOW + 1, 0)
    p_values = np.ones((values.shape[0], values.shape[1] - n_reference))
    for end in range(start + WINDOW, values.shape[1] + 1):
        window = values[:, end - WINDOW : end]
        drawn, recent = window[:, rng.sample(older, RECENT)], window[:, -RECENT:]
        if end - 1 < n_reference:
            continue
        p = table[_distance(drawn, recent)]
        if rises_only:
            p = np.where(recent.sum(axis=1) > drawn.sum(axis=1), p, 1.0)
        p_values[:, end - 1 - n_reference] = p
    return p_values


def kswin_alarms(p_values: FloatArray, alpha: float) -> BoolArray:
    """Return the alarms at a level; after each one the window keeps its 30 newest values and has to fill again.

    Parameters
    ----------
    p_values
        Shape (R, T).
    alpha
        The level.

    Returns
    -------
    numpy.ndarray
        Shape (R, T).
    """
    alarms = p_values <= alpha
    for row in alarms:
        silent_until = -1
        for t in np.flatnonzero(row).tolist():
            if t < silent_until:
                row[t] = False
            else:
                silent_until = t + WINDOW - RECENT
    return alarms


def _distance(a: FloatArray, b: FloatArray) -> npt.NDArray[np.int64]:
    """Kolmogorov-Smirnov distance of two samples of equal size in each row, in units of 1 / size."""
    pooled = np.concatenate([a, b], axis=1)
    order = np.argsort(pooled, axis=1, kind="stable")
    ordered = np.take_along_axis(pooled, order, axis=1)
    steps = np.cumsum(np.where(order < a.shape[1], 1, -1), axis=1)
    last_of_ties = np.ones(ordered.shape, dtype=np.bool_)
    last_of_ties[:, :-1] = ordered[:, 1:] > ordered[:, :-1]
    return np.asarray(np.abs(np.where(last_of_ties, steps, 0)).max(axis=1))


def _p_values_of_distances() -> FloatArray:
    """Shape (31,): the p-value that scipy gives to each distance; 1 where KSWIN ignores it."""
    table = np.ones(RECENT + 1)
    base = np.arange(RECENT, dtype=np.float64)
    for d in range(RECENT + 1):
        if d / RECENT > _SMALLEST_DISTANCE:
            table[d] = stats.ks_2samp(base, np.concatenate([base[: RECENT - d], base[:d] + 1e6]), method="auto").pvalue
    return table
