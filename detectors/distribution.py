"""Algorithm B: whether the distribution of a feature, a prediction or a score has left its reference.

Ordered slots are bet on through Legendre scores of their ranks under the reference, in both directions;
categories and indicators one against the rest. An estimated reference is wrong by its sampling error, and a
bettor would find that error sooner or later, so every null is widened: a score's mean may move by tau, a
share up to its Clopper-Pearson bound.

Nothing is smoothed in the bets. A slot that the reference never saw has its rank between its neighbours,
and its share is bounded by Clopper-Pearson. Only the standard deviation in tau takes z^2 / 4 pseudo-events
in every slot (as in Agresti and Coull), because an empty slot has a sampling error as well.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors" (2022); Neyman, "Smooth test for goodness of fit" (1937).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_at_least
from detectors.baseline import upper_bounds
from detectors.scores import BASELINE_ERROR, N_DIRECTIONS, N_SCORES, legendre_scores, probabilities, score_tolerances
from detectors.sequential import DISTRIBUTION_GRID, MEAN_GRID

_SIGNS: Final = np.array([1.0, -1.0])


def shrink(context_counts: npt.ArrayLike, global_counts: npt.ArrayLike, kappa: float = 200.0) -> FloatArray:
    """Shrink the reference of one context to the global one: p = (n_ctx + kappa p0) / (N_ctx + kappa).

    Parameters
    ----------
    context_counts
        Shape (R,): counts of the context.
    global_counts
        Shape (R,): counts of the whole reference; only their shares p0 enter.
    kappa
        Weight of the global reference, in events; positive.

    Returns
    -------
    numpy.ndarray
        Shape (R,), with sum 1. Its `n_effective` is that of the context plus kappa.

    Raises
    ------
    ValueError
        If shapes differ, a count is negative or kappa is not positive.
    """
    context = as_counts(context_counts, name="context_counts")
    whole = as_counts(global_counts, name="global_counts")
    if context.shape != whole.shape:
        raise ValueError(f"context_counts: shape {context.shape} given, expected that of global_counts, {whole.shape}")
    if not 0.0 < kappa < np.inf:
        raise ValueError(f"kappa: {kappa!r} given, expected a positive finite number")
    return np.asarray((context + kappa * probabilities(whole)) / (context.sum() + kappa), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistributionBets:
    """Log-bets of single events, ready for any number of windows. Build it with `ordered` or `categorical`.

    Parameters
    ----------
    matrix
        Shape (R, K): what one event in a slot adds to each log-bet, divided by the inflation.
    owners
        Shape (K / 8,) for `categorical`: the slot that each group of 8 bets is about; empty for `ordered`.
    """

    matrix: FloatArray
    owners: npt.NDArray[np.int64]

    @classmethod
    def ordered(
        cls,
        reference_counts: npt.ArrayLike,
        *,
        n_effective: float | FloatArray,
        n_series: int = 40,
        tolerance: float = 0.0,
        inflation: float | FloatArray = 1.0,
        freedom: float | FloatArray = np.inf,
    ) -> "DistributionBets":
        """Bet on slots that have an order.

        Parameters
        ----------
        reference_counts
            Shape (R,): counts, or probabilities such as `shrink` returns, in increasing order of value;
            indicators left out.
        n_effective
            Independent events that the reference is worth, one number or one for each score, shape (4,); 0 never bets.
        n_series
            S, the series that share `BASELINE_ERROR`.
        tolerance
            Move of a score's mean that is of no interest; a score runs from -1 to 1, and the first one is twice the
            rank: 0.1 is the average value 5 % of the reference's events higher or lower.
        inflation
            v >= 1, by which log-bets are divided; one number or one for each score, shape (4,).
        freedom
            Degrees of freedom that v, and so n_effective, is known with; one number or one for each score, shape (4,).

        Returns
        -------
        DistributionBets
            With K = 64: 4 scores, 2 directions, 8 lambdas. A score whose tau reaches 1 never bets.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        _check_settings(n_effective, n_series, tolerance, inflation)
        p = probabilities(as_counts(reference_counts, name="reference_counts"))
        g = legendre_scores(p)
        tau = score_tolerances(p, g, n_effective=n_effective, n_series=n_series, freedom=freedom) + tolerance
        bets_at_all = tau < 1.0
        y = (g * bets_at_all)[:, :, None] * _SIGNS - np.where(bets_at_all, tau, 0.0)[:, None]
        bets = np.log1p(y[..., None] * DISTRIBUTION_GRID) / np.broadcast_to(inflation, (N_SCORES,))[:, None, None]
        matrix = bets.reshape(p.size, N_DIRECTIONS * DISTRIBUTION_GRID.size)
        return cls(matrix=matrix, owners=np.empty(0, dtype=np.int64))

    @classmethod
    def categorical(
        cls,
        reference_counts: npt.ArrayLike,
        *,
        n_effective: float | FloatArray,
        n_series: int = 40,
        tolerance: float = 0.0,
        inflation: float | FloatArray = 1.0,
        slots: Sequence[int] | None = None,
    ) -> "DistributionBets":
        """Bet on a rise of single slots against the rest.

        Parameters
        ----------
        reference_counts
            Shape (R,): counts or probabilities, in any order.
        n_effective
            Independent events that the reference is worth, one number or one for each slot, shape (R,); 0 never bets.
        n_series
            S, the series that share `BASELINE_ERROR`.
        tolerance
            Rise of a share that is of no interest, in [0, 1].
        inflation
            v >= 1, by which log-bets are divided; one number or one for each slot, shape (R,).
        slots
            The slots that are bet on (the indicators of a numeric feature, say); all if not given.

        Returns
        -------
        DistributionBets
            With K = 8 len(slots). A slot whose bound and tolerance reach 1 never bets.

        Raises
        ------
        ValueError
            If a setting is out of range.
        """
        _check_settings(n_effective, n_series, tolerance, inflation)
        p = probabilities(as_counts(reference_counts, name="reference_counts"))
        owners = np.arange(p.size) if slots is None else np.asarray(slots, dtype=np.int64)
        if owners.size and not (owners.min() >= 0 and owners.max() < p.size):
            raise ValueError(f"slots: {owners.tolist()} given, expected positions in 0..{p.size - 1}")
        level = BASELINE_ERROR / (n_series * max(owners.size, 1))
        worth = np.broadcast_to(np.asarray(n_effective, dtype=np.float64), p.shape)[owners]
        m0 = upper_bounds(p[owners] * worth, worth, level) + tolerance
        stake = np.where(m0 < 1.0, 1.0, 0.0)[:, None] * MEAN_GRID
        matrix = np.empty((p.size, owners.size, MEAN_GRID.size))
        matrix[:] = np.log1p(-stake)
        matrix[owners, np.arange(owners.size)] = np.log1p(stake * (1.0 / m0 - 1.0)[:, None])
        matrix /= np.broadcast_to(np.asarray(inflation, dtype=np.float64), p.shape)[owners][:, None]
        return cls(matrix=matrix.reshape(p.size, owners.size * MEAN_GRID.size), owners=owners)

    @property
    def n_components(self) -> int:
        """K, the number of bets."""
        return int(self.matrix.shape[1])

    def log_bets(self, counts: npt.ArrayLike) -> FloatArray:
        """Return the log-bets of one window.

        Parameters
        ----------
        counts
            Shape (R,): events of the window in each slot.

        Returns
        -------
        numpy.ndarray
            Shape (K,); zeros for a window without events.

        Raises
        ------
        ValueError
            If the shape differs from the reference's.
        """
        return np.asarray(self._checked(counts) @ self.matrix, dtype=np.float64)

    def contributions(self, counts: npt.ArrayLike) -> FloatArray:
        """Return what each slot adds to the evidence, to say which slots carry it.

        Bets are averaged with the weights the mixture itself gives them after the window (proportional to
        exp(log-bet)). For ordered slots the result sums to the weighted mean log-bet; for categories each
        slot has the mean of the bets on itself.

        Parameters
        ----------
        counts
            Shape (R,): events in each slot.

        Returns
        -------
        numpy.ndarray
            Shape (R,), in nats.

        Raises
        ------
        ValueError
            If the shape differs from the reference's.
        """
        n = self._checked(counts)
        bets = n @ self.matrix
        if not self.owners.size:
            return np.asarray(n * (self.matrix @ special.softmax(bets)), dtype=np.float64) if bets.size else n
        own = bets.reshape(self.owners.size, -1)
        result = np.zeros(n.size)
        result[self.owners] = (special.softmax(own, axis=1) * own).sum(axis=1)
        return result

    def _checked(self, counts: npt.ArrayLike) -> FloatArray:
        n = as_counts(counts, name="counts")
        if n.size != self.matrix.shape[0]:
            raise ValueError(f"counts: shape {n.shape} given, expected ({self.matrix.shape[0]},) as in the reference")
        return n


def _check_settings(
    n_effective: float | FloatArray, n_series: int, tolerance: float, inflation: float | FloatArray
) -> None:
    for name, given, least in (("n_effective", n_effective, 0.0), ("inflation", inflation, 1.0)):
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
        if values.size:
            check_at_least(name, float(values.min()), least)
    check_at_least("n_series", n_series, 1)
    check_at_least("tolerance", tolerance, 0.0)
