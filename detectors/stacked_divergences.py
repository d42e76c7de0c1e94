"""The two divergences shown beside a verdict, for many series at once, and what they exceed by chance.

Ordered slots have the population stability index and the Wasserstein distance in ranks; categories the index and the
Jensen-Shannon divergence. The index and 8 JS are about s chi2 under the null, s = 1/N + 1/M (see
`detectors.divergences`). The Wasserstein distance has no such form. When nothing has changed, the gap of the two
distribution functions is about sqrt(s) times a Brownian bridge at the reference's ranks; so bridges are drawn once, and
every series reads off its own ranks, in the place of 2,000 samples of its own.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray
from detectors.brownian import N_BRIDGES, N_STEPS, absolute_bridges
from detectors.scores import mid_ranks, probabilities

ALPHA: Final = 0.001
"""Probability that a companion exceeds its threshold when nothing has changed."""
_HALF_COUNT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedCompanion:
    """A divergence of S series, and what it exceeds with probability `ALPHA` when nothing has changed, (S,) each."""

    name: str
    values: FloatArray
    thresholds: FloatArray


def stacked_companions(
    probabilities_: FloatArray,
    counts: FloatArray,
    *,
    n: FloatArray,
    inflation: FloatArray,
    wasserstein_null: FloatArray | None,
) -> tuple[StackedCompanion, StackedCompanion]:
    """Return both divergences of windows from their references.

    Parameters
    ----------
    probabilities_
        Shape (S, R): shares of the references.
    counts
        Shape (S, R): events of the windows, each with at least one.
    n
        Shape (S,): events behind the shares.
    inflation
        Shape (S,): v >= 1, by which events of reference and window are divided for the thresholds.
    wasserstein_null
        Shape (S,), from `wasserstein_null`; None for slots without an order.
    """
    reference = probabilities_ * n[:, None]
    total = counts.sum(axis=1)
    s = inflation / n + inflation / total
    limit = s * _chi_squared(((reference + counts) > 0.0).sum(axis=1) - 1)
    p, q = _padded(reference), _padded(counts)
    index = StackedCompanion(name="psi", values=((q - p) * np.log(q / p)).sum(axis=1), thresholds=limit)
    share = counts / total[:, None]
    if wasserstein_null is None:
        middle = 0.5 * (probabilities_ + share)
        apart = special.rel_entr(probabilities_, middle) + special.rel_entr(share, middle)
        found = np.maximum(0.5 * apart.sum(axis=1), 0.0)
        return index, StackedCompanion(name="js", values=found, thresholds=limit / 8.0)
    gaps = np.abs(np.cumsum(share - probabilities_, axis=1))[:, :-1]
    found = (gaps * np.diff(mid_ranks(probabilities_), axis=1)).sum(axis=1)
    return index, StackedCompanion(name="wasserstein", values=found, thresholds=wasserstein_null * np.sqrt(s))


def wasserstein_null(reference_counts: FloatArray) -> float:
    """Return the upper `ALPHA` quantile of W1 / sqrt(s), in ranks, when nothing has changed.

    Parameters
    ----------
    reference_counts
        Shape (R,): counts or shares.
    """
    p = probabilities(reference_counts)
    places = np.rint(np.cumsum(p)[:-1] * N_STEPS).astype(np.int64)
    drawn = np.diff(mid_ranks(p)).astype(np.float32) @ absolute_bridges()[places]
    last = int(np.ceil((1.0 - ALPHA) * N_BRIDGES)) - 1
    return float(np.partition(drawn, last)[last]) if drawn.size else 0.0


def _padded(counts: FloatArray) -> FloatArray:
    half = counts + _HALF_COUNT
    return np.asarray(half / half.sum(axis=1, keepdims=True), dtype=np.float64)


def _chi_squared(freedom: npt.NDArray[np.int64]) -> FloatArray:
    """Upper quantiles; 0 without freedom, as in a single slot."""
    known, place = np.unique(freedom, return_inverse=True)
    return np.array([special.chdtri(f, ALPHA) if f >= 1 else 0.0 for f in known.tolist()])[place]
