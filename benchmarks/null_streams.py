"""Streams in which nothing changes, many at a time, and how long detectors stay silent on them.

A stream is events in cells: each event falls into one of L slots that have an order and a value in [0, 1]. Algorithm A
bets on the mean of the values, algorithm B on the slots. `known` detectors are told the truth: the shares, and the
inflation of a stream a hundred times as long; `estimated` ones see a reference of `N_REFERENCE` cells of their own, as
the evaluator does. In a cycle the cell of the day is the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.baseline import clopper_pearson_lower, clopper_pearson_upper
from detectors.distribution import DistributionBets
from detectors.scores import BASELINE_ERROR
from detectors.seasonal import HeldAgainst, SeasonalReference
from detectors.sequential import LOG_CAP
from detectors.two_sided import mean_test

Counts = NDArray[np.int64]
Bets = NDArray[np.float64]

N_REFERENCE: Final = 112
"""Cells: four weeks of six hours."""
N_EVENTS: Final = 40
"""Events in a cell."""
CELLS_PER_DAY: Final = 4
_LEVELS: Final = 12
_BURN_IN: Final = 200
_LONG: Final = 11_200
"""Cells from which the truth is taken."""
_SWING: Final = 0.8
_WANDER: Final = 0.25
_NEVER_WRONG: Final = 1e12
"""Events that a known truth is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NullStream:
    """Events of one law for ever.

    Parameters
    ----------
    name
        As tables call it.
    draw
        Draws values, shape (runs, cells, events): of any scale.
    edges
        Shape (L - 1,): where values are cut into slots.
    """

    name: str
    draw: Callable[[np.random.Generator, int, int], NDArray[np.float64]]
    edges: NDArray[np.float64]
    has_known_truth: bool = True
    """False for shuffled paths: each has a mean of its own."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Shape (L,): what algorithm A takes a slot for."""
        return np.linspace(0.0, 1.0, len(self.edges) + 1)

    def counts(self, rng: np.random.Generator, runs: int, cells: int) -> Counts:
        """Events per slot, shape (runs, cells, L)."""
        codes = np.searchsorted(self.edges, self.draw(rng, runs, cells), side="right")
        n_slots = len(self.edges) + 1
        flat = (np.arange(runs * cells) * n_slots).repeat(N_EVENTS) + codes.ravel()
        return np.bincount(flat, minlength=runs * cells * n_slots).reshape(runs, cells, n_slots)


def _normal(rng: np.random.Generator, runs: int, cells: int) -> NDArray[np.float64]:
    return rng.standard_normal((runs, cells, N_EVENTS))


def _autoregressive(rho: float, *, shuffled: bool = False) -> Callable[..., NDArray[np.float64]]:
    """An AR(1) from event to event, across the borders of cells."""

    def draw(rng: np.random.Generator, runs: int, cells: int) -> NDArray[np.float64]:
        noise = np.sqrt(1.0 - rho**2) * rng.standard_normal((runs, _BURN_IN + cells * N_EVENTS))
        path = lfilter([1.0], [1.0, -rho], noise, axis=1)[:, _BURN_IN:]
        if shuffled:
            path = rng.permuted(path, axis=1)
        return np.asarray(path).reshape(runs, cells, N_EVENTS)

    return draw


def _wandering(rho: float) -> Callable[..., NDArray[np.float64]]:
    """Events that are independent around a level; the level is an AR(1) from cell to cell."""

    def draw(rng: np.random.Generator, runs: int, cells: int) -> NDArray[np.float64]:
        noise = np.sqrt(1.0 - rho**2) * rng.standard_normal((runs, _BURN_IN + cells))
        level = lfilter([1.0], [1.0, -rho], noise, axis=1)[:, _BURN_IN:]
        return np.asarray(_WANDER * level[:, :, None] + _normal(rng, runs, cells))

    return draw


def _daily(rng: np.random.Generator, runs: int, cells: int) -> NDArray[np.float64]:
    swing = _SWING * np.sin(2.0 * np.pi * (np.arange(cells) + 0.5) / CELLS_PER_DAY)
    return swing[None, :, None] + _normal(rng, runs, cells)


_NORMAL_EDGES: Final = np.linspace(-2.2, 2.2, _LEVELS - 1)
BERNOULLI: Final = NullStream(
    name="Bernoulli .1",
    draw=lambda rng, runs, cells: rng.random((runs, cells, N_EVENTS)),
    edges=np.array([0.9]),
)
NORMAL: Final = NullStream(name="normal", draw=_normal, edges=_NORMAL_EDGES)
LOGNORMAL: Final = NullStream(
    name="lognormal",
    draw=lambda rng, runs, cells: np.exp(_normal(rng, runs, cells)),
    edges=np.linspace(0.4, 7.0, _LEVELS - 1),
)
DAILY: Final = NullStream(name="daily cycle", draw=_daily, edges=_NORMAL_EDGES)
STREAMS: Final = (
    BERNOULLI,
    NORMAL,
    LOGNORMAL,
    *(NullStream(name=f"AR({rho:g}) events", draw=_autoregressive(rho), edges=_NORMAL_EDGES) for rho in (0.5, 0.9)),
    *(NullStream(name=f"AR({rho:g}) cells", draw=_wandering(rho), edges=_NORMAL_EDGES) for rho in (0.5, 0.9)),
    NullStream(
        name="AR(.9) shuffled", draw=_autoregressive(0.9, shuffled=True), edges=_NORMAL_EDGES, has_known_truth=False
    ),
)
"""All but the cycle, which needs a context."""

Algorithm = Literal["A", "A both sides", "B"]
Baseline = Literal["known", "estimated"]


def scores_of(stream: NullStream, algorithm: Algorithm) -> dict[str, Any]:
    """What `SeasonalReference.of` is told of the slots."""
    return {"ordered": True} if algorithm == "B" else {"values": stream.values}


def bet_matrix(
    held: HeldAgainst, algorithm: Algorithm, values: NDArray[np.float64], n_series: int, tolerance: float = 0.0
) -> Bets:
    """What one event in each slot adds to each log-bet, shape (L, K).

    Parameters
    ----------
    held
        What the slots are held against, and what it is worth: for each score (B), or for the mean (A).
    algorithm
        Which bets.
    values
        Shape (L,): of the slots, for A.
    n_series
        Series that share the error of the baseline.
    tolerance
        Of the monitor.
    """
    if algorithm == "B":
        bets = DistributionBets.ordered(
            held.probabilities, n_effective=held.n_effective, n_series=n_series, tolerance=tolerance,
            inflation=held.inflation, freedom=held.freedom,
        )  # fmt: skip
        return bets.matrix
    mean, worth = float(held.probabilities @ values), float(held.n_effective[0])
    level = BASELINE_ERROR / n_series
    test = mean_test(
        "both" if algorithm == "A both sides" else "rise",
        upper=mean if worth >= _NEVER_WRONG else clopper_pearson_upper(mean * worth, worth, level),
        lower=mean if worth >= _NEVER_WRONG else clopper_pearson_lower(mean * worth, worth, level),
        tolerance=tolerance,
        inflation=float(held.inflation[0]),
    )
    if test is None:
        raise ValueError(f"mean: {mean} of a stream given, expected one that leaves room for an alarm")
    return np.array([test.log_bets(values, unit) for unit in np.eye(len(values))])


def matrices(
    stream: NullStream,
    algorithm: Algorithm,
    baseline: Baseline,
    reference: Counts,
    rng: np.random.Generator,
    *,
    contexts: NDArray[np.int64] | None = None,
    n_series: int = 1,
    tolerance: float = 0.0,
) -> Iterator[list[Bets]]:
    """Bets of each run, one matrix for each context (one in all without); `reference` is (runs, cells, L)."""
    of_scores = scores_of(stream, algorithm)
    which = [None] if contexts is None else sorted({int(c) for c in contexts})
    if baseline == "known":
        truth = stream.counts(rng, 1, _LONG)[0]
        # A known truth is the boundary itself: nothing is added for what a reference does not know.
        found = SeasonalReference.of(truth, cells_per_cycle=CELLS_PER_DAY, **of_scores)
        if found is None:
            raise ValueError(f"stream {stream.name}: too few cells for the truth")
        held = found.at(None)
        sure = HeldAgainst(
            probabilities=held.probabilities,
            n=_NEVER_WRONG,
            n_effective=np.full(held.n_effective.shape, _NEVER_WRONG),
            inflation=held.inflation,
            freedom=np.full(held.n_effective.shape, np.inf),
        )
        yield from [[bet_matrix(sure, algorithm, stream.values, n_series, tolerance)]] * len(reference)
        return
    for counts in reference:
        seasonal = SeasonalReference.of(counts, contexts, cells_per_cycle=CELLS_PER_DAY, **of_scores)
        if seasonal is None:
            raise ValueError(f"reference: {len(counts)} cells given, expected enough for an inflation")
        yield [bet_matrix(seasonal.at(context), algorithm, stream.values, n_series, tolerance) for context in which]


def alarms(counts: Counts, bets: NDArray[np.float64], threshold: float, *, n_weighted: int = 1) -> NDArray[np.bool_]:
    """Where alarms are raised; after each the evidence begins anew.

    Parameters
    ----------
    counts
        Shape (runs, windows, L).
    bets
        Shape (runs, contexts, L, K); windows take the contexts in turn.
    threshold
        c.
    n_weighted
        Runs that are the series of one budget, with equal weights.

    Returns
    -------
    numpy.ndarray
        Shape (runs / n_weighted, windows).
    """
    runs, windows, _ = counts.shape
    raised = np.zeros((runs // n_weighted, windows), dtype=bool)
    log_m = np.full((runs, bets.shape[-1]), -np.inf)
    for window in range(windows):
        log_bets = np.matmul(counts[:, window, None, :].astype(np.float64), bets[:, window % bets.shape[1]])[:, 0]
        log_m = np.minimum(np.logaddexp(log_m, 0.0) + log_bets, LOG_CAP)
        statistic = np.exp(log_m).mean(axis=1).reshape(-1, n_weighted).mean(axis=1)
        raised[:, window] = statistic >= threshold
        log_m[np.repeat(raised[:, window], n_weighted)] = -np.inf
    return raised


def simulate(
    stream: NullStream,
    algorithm: Algorithm,
    baseline: Baseline,
    *,
    threshold: float,
    runs: int,
    windows: int,
    seed: int,
    by_context: bool = False,
    n_weighted: int = 1,
) -> NDArray[np.bool_]:
    """Alarms on a stream without drift, shape (runs / n_weighted, windows)."""
    rng = np.random.default_rng(seed)
    counts = stream.counts(rng, runs, N_REFERENCE + windows)
    contexts = np.arange(N_REFERENCE) % CELLS_PER_DAY if by_context else None
    found = matrices(stream, algorithm, baseline, counts[:, :N_REFERENCE], rng, contexts=contexts, n_series=n_weighted)
    return alarms(counts[:, N_REFERENCE:], np.array(list(found)), threshold, n_weighted=n_weighted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLengths:
    """What runs without drift say about a promise of c windows.

    Parameters
    ----------
    mean, se
        Windows to the first alarm, runs that end without one counted to their end: at most what it is.
    early, early_se
        Share of runs with an alarm by c / 10.
    per_threshold
        Alarms in c windows, with restarts; at most 1 is promised.
    per_threshold_se
        Its standard error, over runs.
    """

    mean: float
    se: float
    early: float
    early_se: float
    per_threshold: float
    per_threshold_se: float

    @classmethod
    def of(cls, raised: NDArray[np.bool_], threshold: float) -> RunLengths:
        """Sum up the alarms of `simulate`."""
        runs, windows = raised.shape
        lengths = np.where(raised.any(axis=1), raised.argmax(axis=1) + 1, windows).astype(np.float64)
        early = float((lengths <= threshold / 10).mean())
        rates = raised.sum(axis=1) * threshold / windows
        root = np.sqrt(runs)
        return cls(
            mean=float(lengths.mean()),
            se=float(lengths.std() / root),
            early=early,
            early_se=float(np.sqrt(0.1 * 0.9) / root),
            per_threshold=float(rates.mean()),
            per_threshold_se=float(rates.std() / root),
        )

    def keeps(self, threshold: float) -> bool:
        """Whether ARL >= c and P(N <= c / 10) <= .1 hold within two standard errors."""
        return self.mean + 2 * self.se >= threshold and self.early <= 0.1 + 2 * self.early_se
