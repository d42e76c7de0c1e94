"""Ranks and Legendre scores of binned values: what algorithm B bets on.

The first score sees a shift, the second a spread, the third a skew, the fourth a change of the tails.

References
----------
Neyman, "Smooth test for goodness of fit" (1937).
"""

from typing import Final

import numpy as np

from detectors.arrays import FloatArray

N_SCORES: Final = 4
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


def mid_ranks(p: FloatArray) -> FloatArray:
    """Return the rank of the middle of each slot.

    Parameters
    ----------
    p
        Shape (R,): shares in increasing order of value, with sum 1.

    Returns
    -------
    numpy.ndarray
        Shape (R,), in [0, 1]. A slot without share sits on the edge between its neighbours.
    """
    return np.asarray(np.cumsum(p) - 0.5 * p, dtype=np.float64)


def legendre_scores(p: FloatArray) -> FloatArray:
    """Return the scores g_1..g_4 of each slot: Legendre polynomials of the mid-rank.

    They are centred under p and then scaled to [-1, 1].

    Parameters
    ----------
    p
        Shape (R,): shares in increasing order of value, with sum 1.

    Returns
    -------
    numpy.ndarray
        Shape (R, 4). A score that is the same in all slots (a single slot) is 0.
    """
    t = 2.0 * mid_ranks(p) - 1.0
    t2 = t * t
    g = np.empty((p.size, N_SCORES))
    g[:, 0] = t
    g[:, 1] = 1.5 * t2 - 0.5
    g[:, 2] = (2.5 * t2 - 1.5) * t
    g[:, 3] = (4.375 * t2 - 3.75) * t2 + 0.375
    g -= p @ g
    peak = np.abs(g).max(axis=0, initial=0.0)
    return np.asarray(g * np.divide(1.0, peak, out=np.zeros(N_SCORES), where=peak > _FLAT), dtype=np.float64)
