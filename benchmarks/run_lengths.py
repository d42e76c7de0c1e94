"""Run lengths of algorithm A without any drift, with baseline and inflation both estimated from a reference.

    python -m benchmarks.run_lengths

A rate whose log-mean follows an AR(1), 100 events a cell, is held against a reference of 112 cells (four weeks of six
hours). The promise is an average run length of at least c windows, and at most a tenth of alarms within c/10. Both the
estimate of the inflation that the evaluator divides by and its upper confidence bound are shown.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from detectors.baseline import clopper_pearson_upper
from detectors.bounded_mean import BoundedMean
from detectors.inflation import variance_inflation
from detectors.sequential import ShiryaevRoberts

C = 240.0
N_CELLS = 112
N_EVENTS = 100
N_WINDOWS = 1_200
N_RUNS = 100
N_SERIES = 40
BASE, SPREAD = 0.3, 0.06


def counts(rng: np.random.Generator, n_cells: int, rho: float) -> NDArray[np.int64]:
    """Events per cell of a rate that wanders as an AR(1) around `BASE`; shape (n_cells,)."""
    z = np.empty(n_cells)
    noise = rng.normal(size=n_cells)
    z[0] = noise[0]
    for t in range(1, n_cells):
        z[t] = rho * z[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return rng.binomial(N_EVENTS, np.clip(BASE + SPREAD * z, 0.01, 0.99))


def run_length(rng: np.random.Generator, rho: float, which: Literal["ratio", "upper"]) -> tuple[int, float]:
    """Windows until a false alarm (at most `N_WINDOWS`), and the inflation that was divided by."""
    reference = counts(rng, N_CELLS, rho)
    found = variance_inflation(reference, np.full(N_CELLS, N_EVENTS), cells_per_cycle=4)
    if found is None:
        raise ValueError(f"reference: {N_CELLS} cells given, expected enough to estimate an inflation")
    v = found.ratio if which == "ratio" else found.upper
    m0 = clopper_pearson_upper(reference.sum() / v, N_CELLS * N_EVENTS / v, 0.01 / N_SERIES)
    test, evidence = BoundedMean(m0=m0, inflation=v), ShiryaevRoberts()
    for window, n1 in enumerate(counts(rng, N_WINDOWS, rho), start=1):
        evidence.update(test.bernoulli_log_bets(int(n1), N_EVENTS - int(n1)))
        if evidence.statistic >= C:
            return window, v
    return N_WINDOWS, v


def main() -> None:
    table = Table(title=f"c = {C:.0f} windows, no drift, runs of at most {N_WINDOWS}")
    for column in ("AR(1)", "divided by", "median v", "mean run length >=", "share within c/10"):
        table.add_column(column, justify="right")
    for rho in (0.0, 0.5, 0.9):
        for which in ("ratio", "upper"):
            rng = np.random.default_rng(5)
            runs = [run_length(rng, rho, which) for _ in range(N_RUNS)]
            lengths = np.array([length for length, _ in runs])
            v = float(np.median([v for _, v in runs]))
            table.add_row(f"{rho:.1f}", which, f"{v:.1f}", f"{lengths.mean():.0f}", f"{(lengths <= C / 10).mean():.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
