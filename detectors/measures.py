"""The divergences people know, of two tables of counts.

References
----------
Yurdakul, "Statistical properties of population stability index" (2018); Lin, "Divergence measures based on
the Shannon entropy" (1991); Pearson (1900).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts
from detectors.scores import mid_ranks, probabilities

_HALF_COUNT: Final = 0.5


def psi(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Return the population stability index, sum (q - p) log(q / p), in nats.

    Half a count is added to every slot, because an empty one would make it infinite.

    Parameters
    ----------
    reference_counts, counts
        Shape (R,) each.

    Returns
    -------
    float
        At least 0; 0 if one of the two is empty.

    Raises
    ------
    ValueError
        If shapes differ or a count is negative.
    """
    n, m = pair(reference_counts, counts)
    if not comparable(n, m):
        return 0.0
    p, q = probabilities(n + _HALF_COUNT), probabilities(m + _HALF_COUNT)
    return float((q - p) @ np.log(q / p))


def jensen_shannon(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Return the Jensen-Shannon divergence, in nats (arguments and errors as for `psi`), in [0, log 2]."""
    p, q = _shares(reference_counts, counts)
    middle = 0.5 * (p + q)
    return float(max(0.0, 0.5 * (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()))


def hellinger(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Return the Hellinger distance H (arguments and errors as for `psi`), in [0, 1]."""
    p, q = _shares(reference_counts, counts)
    return float(np.sqrt(0.5 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum()))


def pearson(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Return sum (q - p)^2 / r with r the pooled shares (arguments and errors as for `psi`).

    Divided by s = 1/N + 1/M it is the two-sample chi-squared statistic.
    """
    n, m = pair(reference_counts, counts)
    if not comparable(n, m):
        return 0.0
    pooled = probabilities(n + m)
    there = pooled > 0.0
    squares = (probabilities(m) - probabilities(n))[there] ** 2
    return float((squares / pooled[there]).sum())


def kolmogorov_smirnov(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> float:
    """Return the largest gap of the distribution functions over ordered slots (as for `psi`), in [0, 1]."""
    p, q = _shares(reference_counts, counts)
    return float(np.abs(np.cumsum(q - p)).max(initial=0.0))


def wasserstein(reference_counts: npt.ArrayLike, counts: npt.ArrayLike, values: npt.ArrayLike | None = None) -> float:
    """Return the first Wasserstein distance over ordered slots.

    Parameters
    ----------
    reference_counts, counts
        Shape (R,) each.
    values
        Shape (R,): the value of each slot, not decreasing; the mid-ranks under the reference if not given.

    Returns
    -------
    float
        In the unit of `values`, or in ranks (0 to 1); 0 if one of the two is empty.

    Raises
    ------
    ValueError
        If shapes differ or a count is negative.
    """
    p, q = _shares(reference_counts, counts)
    return float(np.abs(np.cumsum(q - p))[:-1] @ steps(p, values))


def pair(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both counts, each of shape (R,), checked as `psi` says."""
    n = as_counts(reference_counts, name="reference_counts")
    m = as_counts(counts, name="counts")
    if n.shape != m.shape:
        raise ValueError(f"counts: shape {m.shape} given, expected that of reference_counts, {n.shape}")
    return n, m


def comparable(n: FloatArray, m: FloatArray) -> bool:
    """Return whether both samples have events."""
    return bool(n.sum() > 0.0 and m.sum() > 0.0)


def _shares(reference_counts: npt.ArrayLike, counts: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Shares of both; the same ones twice, so that nothing differs, if one of them is empty."""
    n, m = pair(reference_counts, counts)
    p = probabilities(n)
    return (p, probabilities(m)) if comparable(n, m) else (p, p)


def steps(p: FloatArray, values: npt.ArrayLike | None) -> FloatArray:
    """Return the distances between neighbouring slots, shape (R - 1,): of `values`, or of mid-ranks under p."""
    positions = mid_ranks(p) if values is None else np.asarray(values, dtype=np.float64)
    if positions.shape != p.shape:
        raise ValueError(f"values: shape {positions.shape} given, expected that of reference_counts, {p.shape}")
    return np.diff(positions)
