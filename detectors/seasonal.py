"""References with a cycle: what a window of one context (a cell of the week) is held against.

A context's own cells are few, the whole reference is many cells of other contexts. The two are mixed,

    p = (n_ctx + kappa p0) / (N_ctx + kappa),

and how much of the whole goes in follows from the data: kappa is the weight at which the error of the mixture is least,
summed over the scores. With W_j the variance of score j within contexts, v_j its inflation, and b_j W_j the variance of
its mean between contexts, w = N_ctx / (N_ctx + kappa) and N events in all, the error variance of score j is

    W_j (w^2 v_j / N_ctx + (1 - w)^2 (b_j + v_j / N)) = W_j / n_effective_j.

The weekly cycle of a feature that has none costs nothing (kappa is a good part of N), and a feature that is made of its
cycle is hardly mixed (kappa is a few events). b_j is the method of moments' estimate with one standard error on top: a
cycle that could be there counts as being there.

References
----------
Efron, Morris, "Data analysis using Stein's estimator and its generalizations" (1975).
DerSimonian, Laird, "Meta-analysis in clinical trials" (1986), for the method of moments.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts
from detectors.distribution import shrink
from detectors.inflation import score_inflations
from detectors.scores import legendre_scores, probabilities

CAUTION: Final = 0.75
"""The four scores of a feature are bet on together, so the lowest of four estimates decides. Therefore each v is taken
at its upper quartile, and what it is known with goes into Student's t. Without that ten features on a stream whose
level wanders with .9 from cell to cell raise 1.7 false alarms where 1 is allowed."""

KAPPA: Final = 200.0
"""Weight of the whole, in events, for references too short to tell a cycle from chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldAgainst:
    """What a window is held against, and how well that is known.

    Parameters
    ----------
    probabilities
        Shape (R,), with sum 1.
    n
        Events behind them: N_ctx + kappa, or N.
    n_effective
        Shape (J,): independent events that the mean of each score is worth.
    inflation
        Shape (J,): v of each score.
    freedom
        Shape (J,): degrees of freedom that v is known with; infinite where that is not taken into account.
    """

    probabilities: FloatArray
    n: float
    n_effective: FloatArray
    inflation: FloatArray
    freedom: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeasonalReference:
    """A reference's counts, ready for every context. Build it with `of`.

    Parameters
    ----------
    whole
        Shape (R,): counts of all cells.
    by_context
        Counts of each context that the reference holds, shape (R,) each.
    kappa
        Weight of the whole, in events.
    between
        Shape (J,): b, the variance of a score's mean between contexts, in units of the variance within them.
    inflation, freedom
        Shape (J,): v, and the degrees of freedom that it is known with.
    """

    whole: FloatArray
    by_context: dict[int, FloatArray]
    kappa: float
    between: FloatArray
    inflation: FloatArray
    freedom: FloatArray

    @classmethod
    def of(
        cls,
        table: npt.ArrayLike,
        contexts: npt.ArrayLike | None = None,
        *,
        ordered: bool = False,
        values: npt.ArrayLike | None = None,
        cells_per_cycle: int = 1,
    ) -> "SeasonalReference | None":
        """Estimate from counts per cell how the reference's contexts differ, and how its cells vary.

        Parameters
        ----------
        table
            Shape (cells, R): counts of consecutive cells.
        contexts
            Shape (cells,): the context of each; None for a reference that is not split.
        ordered
            Whether slots have an order: then scores are Legendre's, J = 4; else they are the slots themselves, J = R,
            and all of them take the largest inflation.
        values
            Shape (R,): what an event in a slot counts, for a mean; then this is the only score, J = 1. Its inflation is
            relative to the variance of the values themselves, which may be far below that of an event with their mean.
        cells_per_cycle
            As for `variance_inflation`.

        Returns
        -------
        SeasonalReference or None
            None with fewer cells than an inflation needs. With enough for one around the mean, and too few for one
            around the contexts, v is that around the mean, which holds the cycle, and kappa is `KAPPA`.

        Raises
        ------
        ValueError
            If a shape is wrong or a count negative.
        """
        counts = as_counts(table, name="table", ndim=2)
        whole = counts.sum(axis=0)
        if values is not None:
            scores = np.asarray(values, dtype=np.float64).reshape(-1, 1)
        else:
            scores = legendre_scores(probabilities(whole)) if ordered else np.eye(counts.shape[1])
        labels = None if contexts is None else np.asarray(contexts, dtype=np.int64)
        sums: dict[int, FloatArray] = {}
        if labels is not None:
            sums = {int(c): counts[labels == c].sum(axis=0) for c in np.unique(labels)}
        found = _inflations(counts, scores, labels, ordered, cells_per_cycle)
        if found is not None and labels is not None:
            v = found[0]
            between = _between(sums, scores, v)
            kappa = float(v.sum() / (between + v / max(whole.sum(), 1.0)).sum())
            if ordered:
                _, place = np.unique(labels, return_inverse=True)  # in the order of `sums`
                mixed = np.array([shrink(n, whole, kappa) for n in sums.values()])
                found = _inflations(counts, legendre_scores(mixed)[place], labels, ordered, cells_per_cycle)
        else:
            found = found or _inflations(counts, scores, None, ordered, cells_per_cycle)
            spare = max(1.0 / KAPPA - 1.0 / max(float(whole.sum()), 1.0), 0.0)
            between, kappa = (np.zeros(1) if found is None else found[0] * spare), KAPPA
        if found is None:
            return None
        v, freedom = found
        return cls(whole=whole, by_context=sums, kappa=kappa, between=between, inflation=v, freedom=freedom)

    @property
    def n_scores(self) -> int:
        """J, the number of scores that are bet on."""
        return max(self.inflation.size, self.between.size)

    def at(self, context: int | None) -> HeldAgainst:
        """Return what a window is held against.

        Parameters
        ----------
        context
            Of the window; None for the reference as a whole.

        Returns
        -------
        HeldAgainst
            A context that the reference never saw has the whole's shares, and is known as badly as contexts differ.
        """
        n = float(self.whole.sum())
        if context is None:
            worth = n / self.inflation
            return HeldAgainst(
                probabilities=probabilities(self.whole),
                n=n,
                n_effective=worth,
                inflation=self.inflation,
                freedom=self.freedom,
            )
        here = self.by_context.get(context, np.zeros_like(self.whole))
        n_here = float(here.sum())
        own = n_here / (n_here + self.kappa)
        error = (1.0 - own) ** 2 * (self.between + self.inflation / max(n, 1.0))
        if n_here > 0.0:
            error = error + own**2 * self.inflation / n_here
        return HeldAgainst(
            probabilities=shrink(here, self.whole, self.kappa),
            n=n_here + self.kappa,
            n_effective=1.0 / error,
            inflation=self.inflation,
            freedom=self.freedom,
        )


def _inflations(
    counts: FloatArray, scores: FloatArray, labels: npt.NDArray[np.int64] | None, ordered: bool, cells_per_cycle: int
) -> tuple[FloatArray, FloatArray] | None:
    """V of each score, and what it is known with; `scores` is (R, J), or (cells, R, J) for scores of each context."""
    rule = "tr,rj->tj" if scores.ndim == 2 else "tr,trj->tj"
    found = score_inflations(
        np.einsum(rule, counts, scores),
        np.einsum(rule, counts, scores * scores),
        counts.sum(axis=1),
        contexts=labels,
        cells_per_cycle=cells_per_cycle,
        confidence=CAUTION if ordered else None,
    )
    if found is None or ordered:
        return found
    # Rare slots say too little of themselves: all take the largest. One mean has one inflation, which is the estimate.
    return np.full(found[0].shape, found[0].max(initial=1.0)), np.full(found[0].shape, np.inf)


def _between(sums: dict[int, FloatArray], scores: FloatArray, v: FloatArray) -> FloatArray:
    """B of each score: method of moments, one standard error on top; 0 for a score that is constant."""
    table = np.array([n for n in sums.values() if n.sum() > 0.0])
    if len(table) < 2:
        return np.zeros(scores.shape[1])
    n = table.sum(axis=1)
    means = table @ scores / n[:, None]
    grand = n @ means / n.sum()
    spread = n @ (means - grand) ** 2
    within = (table @ (scores * scores)).sum(axis=0) / n.sum() - n @ (means * means) / n.sum()
    varying = within > 1e-12
    unit = np.where(varying, within, 1.0)
    free = len(table) - 1.0
    excess = np.maximum(spread / unit - free * v, 0.0) + v * np.sqrt(2.0 * free)
    return np.where(varying, excess / (n.sum() - float(n @ n) / n.sum()), 0.0)
