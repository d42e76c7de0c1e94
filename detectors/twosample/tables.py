"""Tests on two rows of counts: shares of bins or categories.

Slots that are expected to hold less than five events of the smaller sample are pooled with their neighbour, since the
chi-squared null of all of these is one for large counts.
"""

from typing import Final

import numpy as np
from scipy import special, stats

from detectors.arrays import FloatArray
from detectors.measures import hellinger as _hellinger
from detectors.measures import jensen_shannon as _jensen_shannon
from detectors.measures import psi as _psi
from detectors.scores import probabilities
from detectors.twosample.ranks import Finding

_EXPECTED: Final = 5.0
_HALF_COUNT: Final = 0.5


def pooled(reference: FloatArray, current: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both rows with sparse neighbouring slots put together; slots that nobody reached are left out."""
    share = min(reference.sum(), current.sum()) / (reference.sum() + current.sum())
    rows: list[tuple[float, float]] = []
    n = m = 0.0
    for a, b in zip(reference.tolist(), current.tolist(), strict=True):
        n, m = n + a, m + b
        if (n + m) * share >= _EXPECTED:
            rows.append((n, m))
            n = m = 0.0
    if n or m:
        last = rows.pop() if rows else (0.0, 0.0)
        rows.append((last[0] + n, last[1] + m))
    table = np.array(rows)
    return table[:, 0], table[:, 1]


def chi_squared(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Pearson's chi-squared; arguments of all tests here: pooled counts of shape (R,), and the level."""
    return _contingency(reference, current, alpha, "pearson")


def g(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """The G test: the log-likelihood ratio."""
    return _contingency(reference, current, alpha, "log-likelihood")


def _contingency(reference: FloatArray, current: FloatArray, alpha: float, kind: str) -> Finding:
    if reference.size < 2:
        return 0.0, None, 1.0
    found = stats.chi2_contingency(np.array([reference, current]), correction=False, lambda_=kind)
    return float(max(found.statistic, 0.0)), float(special.chdtri(reference.size - 1, alpha)), float(found.pvalue)


def fisher(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Fisher's exact test of two slots; the statistic is how much the share of the second one has changed."""
    del alpha
    if reference.size < 2:
        return 0.0, None, 1.0
    p_value = stats.fisher_exact(np.array([reference, current]).astype(np.int64)).pvalue
    return float(current[1] / current.sum() - reference[1] / reference.sum()), None, float(p_value)


def psi(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Population stability index."""
    return _psi(reference, current), _limit(reference, current, alpha), None


def js(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Jensen-Shannon divergence, in nats."""
    return _jensen_shannon(reference, current), _limit(reference, current, alpha) / 8.0, None


def kl(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Kullback-Leibler divergence of now from the reference, in nats, with half a count added to every slot."""
    p, q = probabilities(reference + _HALF_COUNT), probabilities(current + _HALF_COUNT)
    return max(0.0, float(special.rel_entr(q, p).sum())), _limit(reference, current, alpha) / 2.0, None


def hellinger(reference: FloatArray, current: FloatArray, alpha: float) -> Finding:
    """Hellinger distance."""
    return _hellinger(reference, current), float(np.sqrt(_limit(reference, current, alpha) / 8.0)), None


def _limit(reference: FloatArray, current: FloatArray, alpha: float) -> float:
    """What PSI, 8 JS, 8 H^2 and 2 KL exceed with probability alpha: s times a quantile of chi-squared."""
    if reference.size < 2:
        return 0.0
    s = 1.0 / float(reference.sum()) + 1.0 / float(current.sum())
    return s * float(special.chdtri(reference.size - 1, alpha))
