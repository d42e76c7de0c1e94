"""Tests on numbers: how far apart are two distribution functions.

References
----------
Scholz, Stephens, "K-sample Anderson-Darling tests" (1987); Székely, Rizzo, "Energy statistics" (2013).
"""

import warnings
from typing import Final

import numpy as np
from scipy import stats

from detectors.arrays import FloatArray
from detectors.brownian import N_STEPS, absolute_bridges

Finding = tuple[float, float | None, float | None]
"""Statistic, threshold and p-value."""

_PERMUTED_UP_TO: Final = 2_000
"""Values of both samples up to which labels are permuted; beyond them the bridges are as good."""
_N_PERMUTATIONS: Final = 1_999
_AT_ONCE: Final = 100


def ks(reference: FloatArray, current: FloatArray, alpha: float, seed: int) -> Finding:
    """Kolmogorov-Smirnov: the largest gap; arguments of all tests here: sorted values, level, seed."""
    del alpha, seed
    found = stats.ks_2samp(reference, current)
    return float(found.statistic), None, float(found.pvalue)


def cramer_von_mises(reference: FloatArray, current: FloatArray, alpha: float, seed: int) -> Finding:
    """Cramér-von Mises: the mean squared gap over the pooled sample."""
    del alpha, seed
    found = stats.cramervonmises_2samp(reference, current)
    return float(found.statistic), None, float(min(max(found.pvalue, 0.0), 1.0))


def anderson_darling(reference: FloatArray, current: FloatArray, alpha: float, seed: int) -> Finding:
    """Anderson-Darling for ties: the mean squared gap, weighted for the tails; tabled from .25 to .001."""
    del seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a p-value lies beyond the table; the threshold decides here
        found = stats.anderson_ksamp([reference, current])
    levels = np.log([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25])
    threshold = float(np.interp(np.log(alpha), levels, found.critical_values[::-1]))
    return float(found.statistic), threshold, None


def wasserstein(reference: FloatArray, current: FloatArray, alpha: float, seed: int) -> Finding:
    """Wasserstein's first distance: the area between the distribution functions."""
    return _area(reference, current, alpha, seed, squared=False)


def energy(reference: FloatArray, current: FloatArray, alpha: float, seed: int) -> Finding:
    """Energy distance: the root of twice the area of the squared gap."""
    return _area(reference, current, alpha, seed, squared=True)


def _area(reference: FloatArray, current: FloatArray, alpha: float, seed: int, *, squared: bool) -> Finding:
    pooled = np.sort(np.concatenate([reference, current]))
    scale = float(max(abs(pooled[0]), abs(pooled[-1])))
    unit = pooled / scale  # what is squared or added up stays finite
    gap = np.searchsorted(reference, pooled, side="right") / reference.size
    gap = np.abs(gap - np.searchsorted(current, pooled, side="right") / current.size)[:-1]
    statistic = _distance(gap, np.diff(unit), squared=squared)
    if pooled.size <= _PERMUTED_UP_TO:
        null = _permuted(unit, reference.size, seed, squared=squared)
    else:
        null = _bridged(unit, 1.0 / reference.size + 1.0 / current.size, squared=squared)
    threshold = float(np.quantile(null, 1.0 - alpha, method="higher"))
    p_value = (1.0 + float((null >= statistic).sum())) / (1.0 + null.size)
    back = np.sqrt(scale) if squared else scale
    largest = float(np.finfo(np.float64).max)
    return min(float(statistic * back), largest), min(threshold * float(back), largest), p_value


def _distance(gap: FloatArray, steps: FloatArray, *, squared: bool) -> FloatArray:
    """Area between two distribution functions, from gaps of shape (..., n) and the steps between the values, (n,)."""
    return np.asarray(np.sqrt(2.0 * (gap * gap) @ steps) if squared else gap @ steps, dtype=np.float64)


def _permuted(pooled: FloatArray, n_reference: int, seed: int, *, squared: bool) -> FloatArray:
    rng = np.random.default_rng(seed)
    labels = np.zeros(pooled.size)
    labels[:n_reference] = 1.0
    below = np.arange(1.0, pooled.size + 1.0)
    # Gaps count where the value changes: between equal ones there is no area.
    found = []
    for start in range(0, _N_PERMUTATIONS, _AT_ONCE):
        drawn = np.tile(labels, (min(_AT_ONCE, _N_PERMUTATIONS - start), 1))
        first = rng.permuted(drawn, axis=1).cumsum(axis=1)
        gap = np.abs(first / n_reference - (below - first) / (pooled.size - n_reference))[:, :-1]
        found.append(_distance(gap, np.diff(pooled), squared=squared))
    return np.concatenate(found)


def _bridged(pooled: FloatArray, s: float, *, squared: bool) -> FloatArray:
    """The null of large samples: the gap is about sqrt(s) times a Brownian bridge at the pooled ranks."""
    places = np.linspace(0, pooled.size - 1, N_STEPS + 1).round().astype(np.int64)
    steps = np.diff(pooled[places])
    gap = absolute_bridges()[1:].T * np.sqrt(s)
    return _distance(gap, steps, squared=squared)
