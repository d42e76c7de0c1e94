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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, as_counts
from detectors.distribution import shrink
from detectors.scores import legendre_scores, probabilities, shares
from detectors.stacked_inflation import ScoreInflations, score_inflations

CAUTION: Final = 0.75
"""The four scores of a feature are bet on together, so the lowest of four estimates decides. Therefore each v is taken
at its upper quartile, and what it is known with goes into Student's t. Without that ten features on a stream whose
level wanders with .9 from cell to cell raise 1.7 false alarms where 1 is allowed."""

KAPPA: Final = 200.0
"""Weight of the whole, in events, for references too short to tell a cycle from chance."""
_AT_ONCE: Final = 256
"""Series that are worked out together: what they need meanwhile stays small."""


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
        (found,) = cls.of_many([table], contexts, ordered=ordered, values=values, cells_per_cycle=cells_per_cycle)
        return found

    @classmethod
    def of_many(
        cls,
        tables: Sequence[npt.ArrayLike],
        contexts: npt.ArrayLike | None = None,
        *,
        ordered: bool = False,
        values: npt.ArrayLike | None = None,
        cells_per_cycle: int = 1,
    ) -> "list[SeasonalReference | None]":
        """Estimate the references of many series of the same slots and cells at once.

        Parameters
        ----------
        tables
            S of them, each of shape (cells, R).
        contexts, ordered, values, cells_per_cycle
            As for `of`.

        Returns
        -------
        list of SeasonalReference or None
            One for each series, what `of` says of it.

        Raises
        ------
        ValueError
            As for `of`.
        """
        contexts = None if contexts is None else np.asarray(contexts, dtype=np.int64)
        found: list[SeasonalReference | None] = []
        for start in range(0, len(tables), _AT_ONCE):
            some = [as_counts(table, name="table", ndim=2) for table in tables[start : start + _AT_ONCE]]
            counts = np.array(some)
            if contexts is not None and contexts.shape != counts.shape[1:2]:
                raise ValueError(f"contexts: shape {contexts.shape} given, expected one per cell, {counts.shape[1:2]}")
            scores = _scores(counts, ordered, values)
            if contexts is None:
                found += _unsplit(counts, scores, ordered, cells_per_cycle)
            else:
                found += _split(counts, scores, contexts, ordered, cells_per_cycle)
        return found

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


def _scores(counts: FloatArray, ordered: bool, values: npt.ArrayLike | None) -> FloatArray:
    """Scores of each slot, shape (S, R, J)."""
    if values is not None:
        column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
        return np.broadcast_to(column, (len(counts), *column.shape))
    if ordered:
        return legendre_scores(shares(counts.sum(axis=1)))
    return np.broadcast_to(np.eye(counts.shape[2]), (len(counts), counts.shape[2], counts.shape[2]))


def _split(
    counts: FloatArray, scores: FloatArray, labels: npt.NDArray[np.int64], ordered: bool, cells_per_cycle: int
) -> list[SeasonalReference | None]:
    """Estimate how contexts differ, and how cells vary around the mean of their context."""
    names, place = np.unique(labels, return_inverse=True)
    by_context = np.stack([counts[:, place == c].sum(axis=1) for c in range(names.size)], axis=1)
    found = _inflations(counts, scores[:, None], place, ordered, cells_per_cycle)
    wholes = counts.sum(axis=1)
    between = _between(by_context, scores, found.ratio)
    alone = found.ratio / np.maximum(wholes.sum(axis=1), 1.0)[:, None]
    kappa = found.ratio.sum(axis=1) / (between + alone).sum(axis=1)
    if ordered:
        mixed = by_context + kappa[:, None, None] * shares(wholes)[:, None]
        mixed /= (by_context.sum(axis=2) + kappa[:, None])[..., None]
        found = _inflations(counts, legendre_scores(mixed), place, ordered, cells_per_cycle)
    few = ~found.known
    unsplit = iter(_unsplit(counts[few], scores[few], ordered, cells_per_cycle))
    references: list[SeasonalReference | None] = []
    for i, known in enumerate(found.known.tolist()):
        sums = dict(zip(names.tolist(), by_context[i], strict=True))
        if not known:
            whole = next(unsplit)
            references.append(None if whole is None else replace(whole, by_context=sums))
            continue
        references.append(
            SeasonalReference(
                whole=wholes[i],
                by_context=sums,
                kappa=float(kappa[i]),
                between=between[i],
                inflation=found.ratio[i],
                freedom=found.freedom[i],
            )
        )
    return references


def _unsplit(
    counts: FloatArray, scores: FloatArray, ordered: bool, cells_per_cycle: int
) -> list[SeasonalReference | None]:
    """Say of references that are not split, or too short for it, how their cells vary around the mean of all."""
    place, wholes = np.zeros(counts.shape[1], dtype=np.int64), counts.sum(axis=1)
    found = _inflations(counts, scores[:, None], place, ordered, cells_per_cycle)
    spare = np.maximum(1.0 / KAPPA - 1.0 / np.maximum(wholes.sum(axis=1), 1.0), 0.0)
    return [
        SeasonalReference(
            whole=wholes[i],
            by_context={},
            kappa=KAPPA,
            between=found.ratio[i] * spare[i],
            inflation=found.ratio[i],
            freedom=found.freedom[i],
        )
        if known
        else None
        for i, known in enumerate(found.known.tolist())
    ]


def _inflations(
    counts: FloatArray, scores: FloatArray, place: npt.NDArray[np.int64], ordered: bool, cells_per_cycle: int
) -> ScoreInflations:
    """V of each score, and what it is known with; `scores` is (S, 1, R, J), or (S, contexts, R, J)."""
    sums = np.empty((*counts.shape[:2], scores.shape[3]))
    squares = np.empty_like(sums)
    if scores.shape[1] == 1:
        sums[:], squares[:] = counts @ scores[:, 0], counts @ (scores[:, 0] * scores[:, 0])
    else:
        for context in range(scores.shape[1]):
            own, cells = scores[:, context], place == context
            sums[:, cells], squares[:, cells] = counts[:, cells] @ own, counts[:, cells] @ (own * own)
    found = score_inflations(
        sums,
        squares,
        counts.sum(axis=2),
        contexts=place,
        cells_per_cycle=cells_per_cycle,
        confidence=CAUTION if ordered else None,
    )
    if ordered:
        return found
    # Rare slots say too little of themselves: all take the largest. One mean has one inflation, which is the estimate.
    largest = np.broadcast_to(found.ratio.max(axis=1, initial=1.0)[:, None], found.ratio.shape)
    return ScoreInflations(ratio=largest, freedom=np.full(largest.shape, np.inf), known=found.known)


def _between(by_context: FloatArray, scores: FloatArray, v: FloatArray) -> FloatArray:
    """B of each score: method of moments, one standard error on top; 0 for a score that is constant."""
    n = by_context.sum(axis=2)[..., None]  # (S, contexts, 1)
    used = (n > 0.0).sum(axis=1)
    total = np.maximum(n.sum(axis=1), 1.0)
    means = by_context @ scores / np.where(n > 0.0, n, 1.0)
    grand = (n * means).sum(axis=1) / total
    spread = (n * (means - grand[:, None]) ** 2).sum(axis=1)
    within = (by_context.sum(axis=1)[:, None] @ (scores * scores))[:, 0] / total - (n * means**2).sum(axis=1) / total
    varying = (within > 1e-12) & (used >= 2)
    unit = np.where(varying, within, 1.0)
    free = np.maximum(used - 1.0, 0.0)
    excess = np.maximum(spread / unit - free * v, 0.0) + v * np.sqrt(2.0 * free)
    weight = total - (n * n).sum(axis=1) / total
    return np.asarray(np.where(varying, excess / np.where(varying, weight, 1.0), 0.0), dtype=np.float64)
