"""Algorithm B for many series at once: references, bets and companions with the series along the first axis.

All series of a stack have the same slots. The bets are those of `DistributionBets`, one array operation for all of
them in the place of one call for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.arrays import FloatArray
from detectors.baseline import upper_bounds
from detectors.scores import BASELINE_ERROR, N_DIRECTIONS, legendre_scores, score_tolerances
from detectors.seasonal import SeasonalReference
from detectors.sequential import DISTRIBUTION_GRID, LOG_CAP, MEAN_GRID, log_plus_one

_SIGNS: Final = np.array([1.0, -1.0])
_AT_ONCE: Final = 256
"""Series whose bets are worked out together: what they need meanwhile stays in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldStack:
    """What windows of S series are held against: `HeldAgainst`, with the series along the first axis.

    Parameters
    ----------
    probabilities
        Shape (S, R).
    n
        Shape (S,).
    n_effective, inflation, freedom
        Shape (S, J).
    """

    probabilities: FloatArray
    n: FloatArray
    n_effective: FloatArray
    inflation: FloatArray
    freedom: FloatArray


class StackedReferences:
    """Many `SeasonalReference`s of the same slots.

    Parameters
    ----------
    references
        S of them, each of R slots.
    """

    def __init__(self, references: Sequence[SeasonalReference]) -> None:
        self._references = references
        self._whole = np.array([each.whole for each in references])
        self._kappa = np.array([each.kappa for each in references])
        self._inflation = np.array([np.broadcast_to(e.inflation, e.n_scores) for e in references])
        self._freedom = np.array([np.broadcast_to(e.freedom, e.n_scores) for e in references])
        self._between = np.array([np.broadcast_to(e.between, e.n_scores) for e in references])

    def has(self, context: int | None) -> bool:
        """Whether any of the references holds a context: else all of them say of it what they say of any other."""
        return context is not None and any(context in each.by_context for each in self._references)

    def at(self, context: int | None) -> HeldStack:
        """Return what windows are held against, as `SeasonalReference.at` does for one."""
        n = self._whole.sum(axis=1)
        shares = self._whole / n[:, None]
        if context is None:
            worth = n[:, None] / self._inflation
            return HeldStack(
                probabilities=shares, n=n, n_effective=worth, inflation=self._inflation, freedom=self._freedom
            )
        nothing = np.zeros(self._whole.shape[1])
        here = np.array([each.by_context.get(context, nothing) for each in self._references])
        n_here = here.sum(axis=1)
        held = n_here + self._kappa
        own = (n_here / held)[:, None]
        error = (1.0 - own) ** 2 * (self._between + self._inflation / np.maximum(n, 1.0)[:, None])
        some = np.where(n_here > 0.0, n_here, 1.0)[:, None]
        error = error + np.where(n_here[:, None] > 0.0, own**2 * self._inflation / some, 0.0)
        return HeldStack(
            probabilities=(here + self._kappa[:, None] * shares) / held[:, None],
            n=held,
            n_effective=1.0 / error,
            inflation=self._inflation,
            freedom=self._freedom,
        )


class OrderedBets:
    """Bets on slots that have an order, `DistributionBets.ordered` for each series.

    Parameters
    ----------
    held
        From `StackedReferences.at`; shares of shape (S, R).
    n_series
        S of the whole monitor, which shares `BASELINE_ERROR`.
    tolerance
        As for `DistributionBets.ordered`.
    """

    def __init__(self, held: HeldStack, *, n_series: int, tolerance: float) -> None:
        p = held.probabilities
        self.matrices: FloatArray = np.empty((*p.shape, N_DIRECTIONS * DISTRIBUTION_GRID.size))
        for start in range(0, len(p), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            part = HeldStack(
                probabilities=p[some],
                n=held.n[some],
                n_effective=held.n_effective[some],
                inflation=held.inflation[some],
                freedom=held.freedom[some],
            )
            self.matrices[some] = _ordered(part, n_series, tolerance)

    def log_bets(self, counts: FloatArray) -> FloatArray:
        """Return the log-bets of one window of each series: counts (S, R) to (S, 64)."""
        return np.asarray((counts[:, None, :] @ self.matrices)[:, 0, :], dtype=np.float64)


def _ordered(held: HeldStack, n_series: int, tolerance: float) -> FloatArray:
    p, inflation = held.probabilities, held.inflation
    g = legendre_scores(p)
    worth, freedom = held.n_effective, held.freedom
    tau = score_tolerances(p, g, n_effective=worth, n_series=n_series, freedom=freedom) + tolerance
    bets_at_all = tau < 1.0
    y = (g * bets_at_all[:, None, :])[..., None] * _SIGNS - np.where(bets_at_all, tau, 0.0)[:, None, :, None]
    bets = np.log1p(y[..., None] * DISTRIBUTION_GRID)
    bets /= inflation[:, None, :, None, None]
    return np.asarray(bets.reshape(*p.shape, N_DIRECTIONS * DISTRIBUTION_GRID.size), dtype=np.float64)


class CategoricalBets:
    """Bets on a rise of single slots against the rest, `DistributionBets.categorical` for each series.

    Parameters
    ----------
    held, n_series
        As for `OrderedBets`.
    tolerance
        As for `DistributionBets.categorical`.
    """

    def __init__(self, held: HeldStack, *, n_series: int, tolerance: float) -> None:
        p = held.probabilities
        level = BASELINE_ERROR / (n_series * max(p.shape[1], 1))
        m0 = upper_bounds((p * held.n_effective).ravel(), held.n_effective.ravel(), level).reshape(p.shape) + tolerance
        stake = np.where(m0 < 1.0, 1.0, 0.0)[..., None] * MEAN_GRID
        self._inside: FloatArray = np.log1p(stake * (1.0 / m0 - 1.0)[..., None]) / held.inflation[..., None]
        self._outside: FloatArray = np.log1p(-stake) / held.inflation[..., None]

    def log_bets(self, counts: FloatArray) -> FloatArray:
        """Return the log-bets of one window of each series: counts (S, R) to (S, 8 R)."""
        rest = counts.sum(axis=1, keepdims=True) - counts
        bets = counts[..., None] * self._inside + rest[..., None] * self._outside
        return np.asarray(bets.reshape(len(counts), -1), dtype=np.float64)


def grow(log_m: FloatArray, log_bets: FloatArray) -> FloatArray:
    """Take one window into the Shiryaev-Roberts evidence of S series, as `ShiryaevRoberts.update` does into one's.

    Parameters
    ----------
    log_m
        Shape (S, K): the evidence so far; minus infinity for a series that begins with this window.
    log_bets
        Shape (S, K), finite.

    Returns
    -------
    numpy.ndarray
        Shape (S, K).
    """
    return np.minimum(log_plus_one(log_m) + log_bets, LOG_CAP)


def statistics(log_m: FloatArray) -> FloatArray:
    """Return the mean of the components of each series' evidence: shape (S, K), finite, to (S,)."""
    peak = log_m.max(axis=1)
    return np.asarray(np.exp(peak + np.log(np.exp(log_m - peak[:, None]).mean(axis=1))), dtype=np.float64)
