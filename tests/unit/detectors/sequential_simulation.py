"""Many sequential detectors side by side, for the tests of run lengths."""

from collections.abc import Callable

import numpy as np

from detectors.arrays import FloatArray


def run_lengths(bets: Callable[[int], FloatArray], *, threshold: float, limit: int) -> FloatArray:
    """Windows until the mixture e-SR statistic reaches the threshold; `limit` where it never does.

    `bets(t)` gives the log-bets of window t, shape (runs, K).
    """
    log_m = None
    lengths = None
    for t in range(limit):
        log_bets = bets(t)
        log_m = log_bets if log_m is None else np.logaddexp(log_m, 0.0) + log_bets
        lengths = np.full(len(log_m), float(limit)) if lengths is None else lengths
        peak = log_m.max(axis=1)
        statistic = peak + np.log(np.exp(log_m - peak[:, None]).mean(axis=1))
        lengths[(statistic >= np.log(threshold)) & (lengths == limit)] = t + 1
        if (lengths < limit).all():
            break
    return lengths


def assert_keeps_its_promise(lengths: FloatArray, threshold: float) -> None:
    """Average run length of at least c, and an alarm by c / 10 in at most a tenth of the runs (two standard errors)."""
    root = np.sqrt(len(lengths))
    assert lengths.mean() + 2 * lengths.std() / root >= threshold
    early = (lengths <= threshold / 10).mean()
    assert early <= 0.1 + 2 * np.sqrt(0.1 * 0.9) / root


def modulated_counts(
    rng: np.random.Generator, *, runs: int, n: int, mean: float, rho: float, spread: float
) -> Callable[[], FloatArray]:
    """Binomial counts per cell whose log-odds follow an AR(1) with the given autocorrelation and spread."""
    state = rng.normal(size=runs)

    def draw() -> FloatArray:
        nonlocal state
        state = rho * state + np.sqrt(1 - rho**2) * rng.normal(size=runs)
        odds = mean / (1 - mean) * np.exp(spread * state)
        return rng.binomial(n, odds / (1 + odds)).astype(np.float64)

    return draw
