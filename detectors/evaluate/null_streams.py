"""Streams in which nothing changes: what is raised on them is a false alarm."""

from collections.abc import Callable
from typing import Final

import numpy as np

from detectors.arrays import FloatArray
from detectors.evaluate.real_data import LATE_MINUTES, delays_of_flights
from detectors.evaluate.sample import Kind, Sample

N_REFERENCE: Final = 4_000
CELL: Final = 50
CELLS_PER_DAY: Final = 8

Draw = Callable[[np.random.Generator, int], FloatArray]


def _bernoulli(rng: np.random.Generator, n: int) -> FloatArray:
    return (rng.random(n) < 0.1).astype(np.float64)


def _autoregressive(rng: np.random.Generator, n: int, rho: float) -> FloatArray:
    steps = rng.standard_normal(n + 500)
    values = np.empty_like(steps)
    level = 0.0
    for i, step in enumerate(steps.tolist()):
        level = rho * level + step
        values[i] = level
    return np.asarray(values[500:] * np.sqrt(1.0 - rho * rho), dtype=np.float64)


def _seasonal(rng: np.random.Generator, n: int) -> FloatArray:
    hour = np.arange(n) // CELL % CELLS_PER_DAY
    rate = 0.15 + 0.1 * np.sin(2.0 * np.pi * hour / CELLS_PER_DAY)
    return (rng.random(n) < rate).astype(np.float64)


def _shuffled_delays(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.permutation(delays_of_flights())[:n]


def _shuffled_lateness(rng: np.random.Generator, n: int) -> FloatArray:
    return (_shuffled_delays(rng, n) > LATE_MINUTES).astype(np.float64)


_DRAWS: Final[dict[str, tuple[Kind, int, Draw]]] = {
    "bernoulli": ("errors", 1, _bernoulli),
    "normal": ("values", 1, lambda rng, n: rng.standard_normal(n)),
    "lognormal": ("values", 1, lambda rng, n: rng.lognormal(0.0, 1.0, n)),
    "ar_0.5": ("values", 1, lambda rng, n: _autoregressive(rng, n, 0.5)),
    "ar_0.9": ("values", 1, lambda rng, n: _autoregressive(rng, n, 0.9)),
    "seasonal": ("errors", CELLS_PER_DAY, _seasonal),
    "shuffled_delays": ("values", 1, _shuffled_delays),
    "shuffled_lateness": ("errors", 1, _shuffled_lateness),
}


def null_streams(n_runs: int, n_watched: int, seed: int) -> list[Sample]:
    """Draw every null stream: iid, autocorrelated, with a daily cycle, and real values in random order.

    Parameters
    ----------
    n_runs
        Repetitions of each.
    n_watched
        Events of a repetition, after a reference of 4,000.
    seed
        Of the draws.
    """
    return [
        Sample(
            name=name,
            kind=kind,
            values=np.array(
                [draw(np.random.default_rng([seed, index, run]), N_REFERENCE + n_watched) for run in range(n_runs)]
            ),
            n_reference=N_REFERENCE,
            cell=CELL,
            cells_per_cycle=cycle,
        )
        for index, (name, (kind, cycle, draw)) in enumerate(_DRAWS.items())
    ]
