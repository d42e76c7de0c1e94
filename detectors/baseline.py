"""Baselines estimated from a reference: confidence bounds, and how over-dispersed its counts are.

Two traps break a sequential guarantee. An estimated mean is off by its sampling error: bounds answer that.
Events of real streams come in correlated batches: an inflation (see `detectors.inflation`) says how few
independent events they are worth.

References
----------
Clopper, Pearson, "The use of confidence or fiducial limits" (1934).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_at_least, check_between
from detectors.inflation import MINIMUM_CELLS, Inflation, distribution_inflation, variance_inflation

__all__ = [
    "MINIMUM_CELLS",
    "Baseline",
    "Inflation",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "distribution_inflation",
    "estimate_baseline",
    "upper_bounds",
    "variance_inflation",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A reference mean and what is known about it.

    Parameters
    ----------
    mean
        The observed share, 0 without events.
    n
        Events.
    n_effective
        Independent events they are worth: n / inflation.
    upper, lower
        Clopper-Pearson bounds at `n_effective`.
    inflation
        The v that log-bets are divided by.
    """

    mean: float
    n: float
    n_effective: float
    upper: float
    lower: float
    inflation: float


def upper_bounds(k: FloatArray, n: float | FloatArray, level: float) -> FloatArray:
    """Return `clopper_pearson_upper` for many counts at once.

    Parameters
    ----------
    k
        Shape (R,): real-valued successes, each in [0, n].
    n
        Real-valued trials, at least 0; one number or shape (R,).
    level
        Error probability of each bound, in (0, 1).

    Returns
    -------
    numpy.ndarray
        Shape (R,), in (0, 1]; 1 where k = n.
    """
    rest = n - k
    inside = rest > 0.0
    bounds = special.betainccinv(k + 1.0, np.where(inside, rest, 1.0), level)
    return np.where(inside, bounds, 1.0)


def clopper_pearson_upper(k: float, n: float, level: float) -> float:
    """Return the exact one-sided upper confidence bound of a share.

    Parameters
    ----------
    k
        Successes, real-valued, in [0, n].
    n
        Trials, real-valued (effective events).
    level
        Error probability, in (0, 1): .01 / (number of series), say.

    Returns
    -------
    float
        In (0, 1]; 1 if n = 0.

    Raises
    ------
    ValueError
        If k is not in [0, n] or the level is out of range.
    """
    _check_trials(k, n, level)
    return float(upper_bounds(np.array([k], dtype=np.float64), n, level)[0])


def clopper_pearson_lower(k: float, n: float, level: float) -> float:
    """Return the exact one-sided lower confidence bound of a share.

    Parameters
    ----------
    k
        Successes, real-valued, in [0, n].
    n
        Trials, real-valued (effective events).
    level
        Error probability, in (0, 1).

    Returns
    -------
    float
        In [0, 1); 0 if n = 0.

    Raises
    ------
    ValueError
        If k is not in [0, n] or the level is out of range.
    """
    _check_trials(k, n, level)
    return float(special.betaincinv(k, n - k + 1.0, level)) if k > 0.0 else 0.0


def estimate_baseline(
    n1: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    level: float,
    default_inflation: float | None = None,
    contexts: npt.ArrayLike | None = None,
    cells_per_cycle: int = 1,
) -> Baseline:
    """Estimate the mean of a rate from a reference's cells, with bounds for its effective size.

    Parameters
    ----------
    n1
        Shape (cells,): events with x = 1 in consecutive cells.
    n
        Shape (cells,): all events.
    level
        Error probability of each bound: .01 / (number of series).
    default_inflation
        v >= 1 for a reference with fewer than 40 cells.
    contexts, cells_per_cycle
        As for `variance_inflation`; mean and bounds are those of all cells together.

    Returns
    -------
    Baseline
        Without events: mean 0 and the bounds 0 and 1.

    Raises
    ------
    ValueError
        If there are fewer than 40 cells with events and no default, or an argument is out of range.
    """
    hits = as_counts(n1, name="n1")
    totals = as_counts(n, name="n")
    found = variance_inflation(hits, totals, contexts=contexts, cells_per_cycle=cells_per_cycle)
    if found is not None:
        inflation = found.upper
    elif default_inflation is not None:
        check_at_least("default_inflation", default_inflation, 1.0)
        inflation = default_inflation
    else:
        cells = int((totals > 0.0).sum())
        raise ValueError(f"n: {cells} cells with events given, expected {MINIMUM_CELLS} or a default_inflation")
    size = float(totals.sum())
    mean = float(hits.sum()) / size if size else 0.0
    n_effective = size / inflation
    k_effective = mean * n_effective
    return Baseline(
        mean=mean,
        n=size,
        n_effective=n_effective,
        upper=clopper_pearson_upper(k_effective, n_effective, level),
        lower=clopper_pearson_lower(k_effective, n_effective, level),
        inflation=inflation,
    )


def _check_trials(k: float, n: float, level: float) -> None:
    check_between("level", level, 0.0, 1.0)
    check_at_least("k", k, 0.0)
    if not k <= n < math.inf:
        raise ValueError(f"k: {k!r} of n = {n!r} given, expected k in [0, n] and n finite")
