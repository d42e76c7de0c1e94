"""One budget of false alarms for many series, and the list of series an alert names.

Each series' `ShiryaevRoberts.statistic` M_s has E[M_s at tau] <= E[tau], so their weighted sum has as well:
alarming when it reaches H / pages keeps the whole monitor to that many false alarms in H windows. It
dominates single alarms at H / (pages w_s).

References
----------
Shin, Ramdas, Rinaldo, "E-detectors" (2022); Wang, Ramdas, "False discovery rate control with e-values"
(2022).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from detectors.arrays import check_between

_WEIGHT_SLACK: Final = 1e-9


def weighted_statistic(statistics: Sequence[float], weights: Sequence[float]) -> float:
    """Return sum_s w_s M_s, the statistic of all series that share one budget of false alarms.

    Parameters
    ----------
    statistics
        Length S: the `ShiryaevRoberts.statistic` of each series.
    weights
        Length S, not negative, with a sum of at most 1.

    Returns
    -------
    float
        Compare it with `budget_threshold`. 0 without series.

    Raises
    ------
    ValueError
        If the lengths differ, or the weights are negative or sum to more than 1.
    """
    m = np.asarray(statistics, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    if m.shape != w.shape or m.ndim != 1:
        raise ValueError(f"weights: shape {w.shape} given, expected that of statistics, {m.shape}")
    if not m.size:
        return 0.0
    if not (w.min() >= 0.0 and float(w.sum()) <= 1.0 + _WEIGHT_SLACK):
        raise ValueError(
            f"weights: sum {w.sum()}, minimum {w.min()} given, expected a sum of at most 1 and none negative"
        )
    return float(m @ w)


def budget_threshold(n_windows_in_period: float, n_alarms: float) -> float:
    """Return the threshold c = H / pages that keeps a budget of false alarms.

    Parameters
    ----------
    n_windows_in_period
        H, the windows in the budget's period (30 days of 6-hour windows: 120).
    n_alarms
        False alarms allowed in the period; may be below 1.

    Returns
    -------
    float
        The average run length that the threshold guarantees, in windows.

    Raises
    ------
    ValueError
        If one of the two is not a positive finite number.
    """
    check_between("n_windows_in_period", n_windows_in_period, 0.0, math.inf)
    check_between("n_alarms", n_alarms, 0.0, math.inf)
    return n_windows_in_period / n_alarms


def e_benjamini_hochberg(e_values: Sequence[float], alpha: float) -> list[int]:
    """Choose the e-values that are discoveries at a false discovery rate of alpha, under any dependence.

    Parameters
    ----------
    e_values
        Length K, each with an expectation of at most 1 under its null.
    alpha
        The false discovery rate, in (0, 1).

    Returns
    -------
    list of int
        Positions of the k largest e-values, largest first, for the largest k with e_(k) >= K / (alpha k);
        ties keep their order. Empty without e-values.

    Raises
    ------
    ValueError
        If alpha is out of range or an e-value is negative or NaN.
    """
    check_between("alpha", alpha, 0.0, 1.0)
    e = np.asarray(e_values, dtype=np.float64)
    if e.size and not e.min() >= 0.0:
        raise ValueError(f"e_values: minimum {e.min()} given, expected none negative or NaN")
    order = np.argsort(-e, kind="stable")
    needed = e.size / (alpha * np.arange(1, e.size + 1))
    passing = np.flatnonzero(e[order] >= needed)
    return [int(i) for i in order[: passing[-1] + 1]] if passing.size else []
