"""Ranks and Legendre scores of binned values: what algorithm B bets on.

The first score sees a shift, the second a spread, the third a skew, the fourth a change of the tails.

References
----------
Neyman, "Smooth test for goodness of fit" (1937).
"""

from typing import Final

import numpy as np
from scipy import special

from detectors.arrays import FloatArray

N_SCORES: Final = 4
N_DIRECTIONS: Final = 2 * N_SCORES
"""A score is bet on to rise and to fall."""

BASELINE_ERROR: Final = 0.01
"""Probability, over all series together, that an estimated reference lies outside the nulls built on it."""
_FLAT: Final = 1e-12


def probabilities(counts: FloatArray) -> FloatArray:
    """Return counts as shares.

    Parameters
    ----------
    counts
        Shape (R,), not negative.

    Returns
    -------
    numpy.ndarray
        Shape (R,), with sum 1; uniform if there is no count at all.
    """
    total = float(counts.sum())
    if total > 0.0:
        return np.asarray(counts / total, dtype=np.float64)
    return np.full(counts.size, 1.0 / max(counts.size, 1))


def shares(counts: FloatArray) -> FloatArray:
    """Return counts as `probabilities` does, for many series at once: shape (..., R), along the last axis."""
    total = counts.sum(axis=-1, keepdims=True)
    uniform = np.full(counts.shape, 1.0 / max(counts.shape[-1], 1))
    return np.asarray(np.divide(counts, total, out=uniform, where=total > 0.0), dtype=np.float64)


def mid_ranks(p: FloatArray) -> FloatArray:
    """Return the rank of the middle of each slot.

    Parameters
    ----------
    p
        Shape (..., R): shares in increasing order of value, with sum 1.

    Returns
    -------
    numpy.ndarray
        Shape (..., R), in [0, 1]. A slot without share sits on the edge between its neighbours.
    """
    return np.asarray(np.cumsum(p, axis=-1) - 0.5 * p, dtype=np.float64)


def legendre_scores(p: FloatArray) -> FloatArray:
    """Return the scores g_1..g_4 of each slot: Legendre polynomials of the mid-rank.

    They are centred under p and then scaled to [-1, 1].

    Parameters
    ----------
    p
        Shape (..., R): shares in increasing order of value, with sum 1.

    Returns
    -------
    numpy.ndarray
        Shape (..., R, 4). A score that is the same in all slots (a single slot) is 0.
    """
    t = 2.0 * mid_ranks(p) - 1.0
    t2 = t * t
    g = np.empty((*p.shape, N_SCORES))
    g[..., 0] = t
    g[..., 1] = 1.5 * t2 - 0.5
    g[..., 2] = (2.5 * t2 - 1.5) * t
    g[..., 3] = (4.375 * t2 - 3.75) * t2 + 0.375
    g -= p[..., None, :] @ g
    peak = np.abs(g).max(axis=-2, initial=0.0, keepdims=True)
    return np.asarray(g * np.divide(1.0, peak, out=np.zeros_like(peak), where=peak > _FLAT), dtype=np.float64)


def score_tolerances(
    p: FloatArray,
    g: FloatArray,
    *,
    n_effective: float | FloatArray,
    n_series: int,
    freedom: float | FloatArray = np.inf,
) -> FloatArray:
    """Return tau_j = t sd(g_j) / sqrt(n_effective), how far the mean of a score may be off by sampling alone.

    Parameters
    ----------
    p
        Shape (..., R): reference shares.
    g
        Shape (..., R, 4): scores, centred under p.
    n_effective
        Independent events that the reference is worth; one number, or shape (..., 4).
    n_series
        S; t is Student's quantile at 1 - .01 / (8 S).
    freedom
        Degrees of freedom that n_effective is known with; one number, or shape (4,). Infinite: t is the normal z.

    Returns
    -------
    numpy.ndarray
        Shape (..., 4); infinite without events.
    """
    n = np.broadcast_to(np.asarray(n_effective, dtype=np.float64), (*p.shape[:-1], N_SCORES))
    known = n > 0.0
    worth = np.where(known, n, 1.0)
    level = BASELINE_ERROR / (N_DIRECTIONS * n_series)
    z = -float(special.ndtri(level))
    df = np.asarray(freedom, dtype=np.float64)
    t = np.where(np.isfinite(df), -special.stdtrit(np.where(np.isfinite(df), df, 1.0), level), z)
    pseudo = 0.25 * z * z
    padded = (p[..., None] * worth[..., None, :] + pseudo) / (worth + pseudo * p.shape[-1])[..., None, :]
    variance = (padded * g * g).sum(axis=-2) - (padded * g).sum(axis=-2) ** 2
    return np.where(known, t * np.sqrt(np.maximum(variance, 0.0) / worth), np.inf)
