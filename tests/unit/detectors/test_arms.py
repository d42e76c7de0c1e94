"""Two arms: the confidence sequence holds at all times at once, under a base rate that rises."""

import math

import numpy as np
import pytest

from detectors.arms import Interval, PairCounts, confidence_sequence, log_capital, log_ratio_mismatch, paired

ALPHA = 0.05
N_CELLS = 60


BOUND = math.log(2 / ALPHA)


def cells(seed: int, *, harm: float, n: int = 40, other_n: int = 400) -> list[PairCounts]:
    """A candidate beside a champion whose error rate rises from .05 to .35: all pairs after every cell."""
    rng = np.random.default_rng(seed)
    pairs, found = PairCounts(), []
    for base in np.linspace(0.05, 0.35, N_CELLS):
        bad, other = rng.binomial(n, base + harm), rng.binomial(other_n, base)
        pairs = pairs + paired(int(bad), n, int(other), other_n, rng)
        found.append(pairs)
    return found


def holds(pairs: PairCounts, truth: float) -> bool:
    """Whether a difference lies in the sequence: what its edges are found by, asked at one point."""
    return all(log_capital(pairs, truth, rises=rises) < BOUND for rises in (True, False))


def test_the_truth_is_never_outside_more_often_than_promised() -> None:
    n_runs = 200
    missed = sum(not all(holds(each, 0.03) for each in cells(seed, harm=0.03)) for seed in range(n_runs))
    assert missed / n_runs <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / n_runs)


def test_harm_is_found_and_so_is_its_absence() -> None:
    harmed = cells(1, harm=0.25)
    assert next(i for i, each in enumerate(harmed) if confidence_sequence(each, ALPHA).lower > 0.05) < 15
    assert confidence_sequence(cells(2, harm=0.0, n=400)[-1], ALPHA).upper < 0.05
    found = confidence_sequence(harmed[-1], ALPHA)
    assert not holds(harmed[-1], found.lower - 1e-6)
    assert holds(harmed[-1], found.lower + 1e-6)


def test_a_repeated_test_that_is_looked_at_after_every_cell_fails_where_the_sequence_holds() -> None:
    """Harmless candidates: the t-test at .05, looked at sixty times, calls many of them harmful; the sequence few."""
    n_runs, wrong_t, wrong_s = 150, 0, 0
    for seed in range(n_runs):
        rng = np.random.default_rng([9, seed])
        pairs, called_t, called_s = PairCounts(), False, False
        for _ in range(N_CELLS):
            pairs = pairs + paired(int(rng.binomial(50, 0.2)), 50, int(rng.binomial(50, 0.2)), 50, rng)
            mean = pairs.difference or 0.0
            variance = (pairs.n_worse + pairs.n_better) / pairs.n - mean**2
            called_t |= mean / math.sqrt(variance / pairs.n) > 1.645
            called_s |= log_capital(pairs, 0.0) >= BOUND
        wrong_t, wrong_s = wrong_t + called_t, wrong_s + called_s
    assert wrong_s / n_runs <= ALPHA
    assert wrong_t / n_runs > 3 * ALPHA


def test_pairs_keep_the_counts_and_the_difference() -> None:
    rng = np.random.default_rng(3)
    found = [paired(30, 100, 10, 100, rng) for _ in range(200)]
    assert all(each.n == 100 and each.n_worse - each.n_better == 20 for each in found)
    few = paired(5, 10, 200, 1000, rng)
    assert few.n == 10
    assert paired(0, 0, 5, 9, rng) == PairCounts()
    with pytest.raises(ValueError, match="n_bad: 5 of 4 given"):
        paired(5, 4, 0, 1, rng)


def test_merging_has_no_order_and_an_inflation_widens() -> None:
    one, two = PairCounts(30, 50, 10), PairCounts(5, 90, 7)
    assert one + two == two + one
    narrow, wide = confidence_sequence(one + two, 0.01), confidence_sequence(one + two, 0.01, inflation=3.0)
    assert wide.lower < narrow.lower < narrow.upper < wide.upper
    assert confidence_sequence(PairCounts(), 0.01) == Interval(lower=-1.0, upper=1.0)
    swapped = confidence_sequence(PairCounts(one.n_better, one.n_equal, one.n_worse), 0.01)
    straight = confidence_sequence(one, 0.01)
    assert swapped.lower == pytest.approx(-straight.upper)


def test_capital_is_one_before_any_pair_and_finite_at_the_edges() -> None:
    assert log_capital(PairCounts(), 0.2) == pytest.approx(0.0)
    assert math.isfinite(log_capital(PairCounts(1000, 0, 0), 0.999))
    assert confidence_sequence(PairCounts(1000, 0, 0), 0.01).lower > 0.95
    assert confidence_sequence(PairCounts(0, 1000, 0), 0.01).upper < 0.05


def test_a_share_of_traffic_that_is_not_what_was_announced() -> None:
    n_runs = 300
    wrong = 0
    for seed in range(n_runs):
        steps = np.cumsum(np.random.default_rng(seed).binomial(100, 0.1, size=100))
        wrong += any(
            log_ratio_mismatch(int(n), 100 * (i + 1) - int(n), 0.1) > math.log(20) for i, n in enumerate(steps)
        )
    assert wrong / n_runs <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / n_runs)
    assert log_ratio_mismatch(1_500, 8_500, 0.1) > math.log(1000)
    with pytest.raises(ValueError, match="ratio"):
        log_ratio_mismatch(1, 1, 1.0)
