"""River's HDDM_A and HDDM_W on many repetitions at once, looking for a rise: a twentieth of the time.

The recursions are those of the papers as river has written them; a test holds the alarms to river's, one by one.

References
----------
Frias-Blanco et al., "Online and non-parametric drift detection methods based on Hoeffding's bounds" (2014).
"""

import math
from typing import Final

import numpy as np

from detectors.arrays import FloatArray
from detectors.evaluate.e_detector import BoolArray

LAMBDA: Final = 0.05
"""Weight of a new event in HDDM_W's running means: river's default."""


def hddm_a_alarms(values: FloatArray, confidence: float) -> BoolArray:
    """Return HDDM_A's alarms.

    Parameters
    ----------
    values
        Shape (R, T), in [0, 1].
    confidence
        `drift_confidence`, in (0, 1).

    Returns
    -------
    numpy.ndarray
        Shape (R, T). A repetition starts afresh after each alarm.
    """
    alarms = np.zeros(values.shape, dtype=np.bool_)
    n, total = np.zeros(len(values)), np.zeros(len(values))
    n_low, mean_low = np.zeros(len(values)), np.zeros(len(values))
    bound, test = math.log(1.0 / confidence) / 2.0, math.log(2.0 / confidence) / 2.0
    for t, x in enumerate(values.T):
        n += 1.0
        total += x
        mean = total / n
        n_or_now = np.where(n_low > 0.0, n_low, n)
        mean_or_now = np.where(n_low > 0.0, mean_low, mean)
        is_lower = mean_or_now + np.sqrt(bound / n_or_now) >= mean + np.sqrt(bound / n)
        n_low, mean_low = np.where(is_lower, n, n_or_now), np.where(is_lower, mean, mean_or_now)
        hit = (n_low < n) & (mean - mean_low >= np.sqrt((n - n_low) / n_low / n * test))
        if hit.any():
            alarms[hit, t] = True
            n[hit] = total[hit] = n_low[hit] = mean_low[hit] = 0.0
    return alarms


def hddm_w_alarms(values: FloatArray, confidence: float) -> BoolArray:
    """Return HDDM_W's alarms; parameters and result as for `hddm_a_alarms`."""
    alarms = np.zeros(values.shape, dtype=np.bool_)
    size = len(values)
    total, total_ibc, is_new = np.zeros(size), np.ones(size), np.ones(size, dtype=np.bool_)
    low, low_ibc, cut = np.zeros(size), np.ones(size), np.full(size, np.inf)
    since, since_ibc, is_empty = np.zeros(size), np.ones(size), np.ones(size, dtype=np.bool_)
    half = math.log(1.0 / confidence) / 2.0
    for t, x in enumerate(values.T):
        total = np.where(is_new, x, LAMBDA * x + (1.0 - LAMBDA) * total)
        total_ibc = LAMBDA**2 + (1.0 - LAMBDA) ** 2 * total_ibc
        is_new[:] = False
        edge = total + np.sqrt(total_ibc * half)
        is_lower = edge < cut
        cut = np.where(is_lower, edge, cut)
        low, low_ibc = np.where(is_lower, total, low), np.where(is_lower, total_ibc, low_ibc)
        since = np.where(is_empty, x, LAMBDA * x + (1.0 - LAMBDA) * since)
        since_ibc = np.where(is_lower, 1.0, LAMBDA**2 + (1.0 - LAMBDA) ** 2 * since_ibc)
        is_empty = is_lower
        hit = ~is_empty & (since - low > np.sqrt((low_ibc + since_ibc) * half))
        if hit.any():
            alarms[hit, t] = True
            total_ibc[hit] = low_ibc[hit] = since_ibc[hit] = 1.0
            cut[hit] = np.inf
            is_new[hit] = is_empty[hit] = True
    return alarms
