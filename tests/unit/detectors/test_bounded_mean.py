import math

import numpy as np
import pytest
from sequential_simulation import assert_keeps_its_promise, modulated_counts, run_lengths

from detectors.baseline import estimate_baseline
from detectors.bounded_mean import BoundedMean
from detectors.sequential import EProcess


def unit_bets(test):
    return test.bernoulli_log_bets(1, 0), test.bernoulli_log_bets(0, 1)


@pytest.mark.parametrize(("m0", "n"), [(0.1, 5), (0.01, 20), (0.3, 1)])
def test_at_the_boundary_the_run_length_is_at_least_the_threshold(m0, n):
    rng = np.random.default_rng(1)
    hit, miss = unit_bets(BoundedMean(m0=m0))

    def bets(_):
        k = rng.binomial(n, m0, 3000)[:, None]
        return k * hit + (n - k) * miss

    assert_keeps_its_promise(run_lengths(bets, threshold=100, limit=2000), 100)


@pytest.mark.parametrize(("rho", "spread"), [(0.0, 0.0), (0.5, 0.5), (0.9, 0.5)])
@pytest.mark.parametrize("cells", [60, 200])
def test_the_promise_holds_with_baseline_and_inflation_estimated(rho, spread, cells):
    rng = np.random.default_rng(2)
    runs, n = 500, 200
    draw = modulated_counts(rng, runs=runs, n=n, mean=0.1, rho=rho, spread=spread)
    reference = np.array([draw() for _ in range(cells)])
    hits, misses = [], []
    for run in reference.T:
        baseline = estimate_baseline(run, np.full(cells, n), level=0.01 / 40)
        hit, miss = unit_bets(BoundedMean.for_upper(baseline.upper, 0.0, baseline.inflation))
        hits.append(hit)
        misses.append(miss)
    hit, miss = np.array(hits), np.array(misses)

    def bets(_):
        k = draw()[:, None]
        return k * hit + (n - k) * miss

    assert_keeps_its_promise(run_lengths(bets, threshold=200, limit=1000), 200)


def test_without_the_inflation_an_autocorrelated_stream_breaks_the_promise():
    rng = np.random.default_rng(3)
    n = 200
    draw = modulated_counts(rng, runs=200, n=n, mean=0.1, rho=0.5, spread=0.5)
    hit, miss = unit_bets(BoundedMean(m0=0.115))

    def bets(_):
        k = draw()[:, None]
        return k * hit + (n - k) * miss

    assert run_lengths(bets, threshold=200, limit=1000).mean() < 100


def test_a_rise_is_found():
    rng = np.random.default_rng(4)
    baseline = estimate_baseline(rng.binomial(200, 0.1, 100), np.full(100, 200), level=0.01 / 40)
    hit, miss = unit_bets(BoundedMean.for_upper(baseline.upper, 0.0, baseline.inflation))

    def bets(_):
        k = rng.binomial(200, 0.2, 200)[:, None]
        return k * hit + (200 - k) * miss

    lengths = run_lengths(bets, threshold=1e4, limit=100)
    assert np.median(lengths) <= 4
    assert lengths.max() < 100


def test_a_window_at_once_is_its_events_one_by_one():
    test = BoundedMean(m0=0.2, inflation=1.7)
    values, counts = np.array([0.0, 0.25, 1.0]), np.array([5, 3, 2])
    events = np.repeat(values, counts)
    one_by_one = sum(test.log_bets([x], [1]) for x in events)
    np.testing.assert_allclose(test.log_bets(values, counts), one_by_one)
    np.testing.assert_allclose(test.bernoulli_log_bets(7, 4), test.log_bets([1, 0], [7, 4]))


def test_merged_counts_bet_the_sum():
    test = BoundedMean(m0=0.3, side="lower")
    first, second = np.array([3, 9]), np.array([4, 0])
    merged = test.log_bets([1, 0], first + second)
    np.testing.assert_allclose(merged, test.log_bets([1, 0], first) + test.log_bets([1, 0], second))


def test_the_lower_side_is_the_upper_side_of_the_flipped_variable():
    lower = BoundedMean.for_lower(0.8, 0.05)
    assert lower.m0 == pytest.approx(0.25)
    flipped = BoundedMean(m0=lower.m0)
    np.testing.assert_allclose(lower.bernoulli_log_bets(3, 7), flipped.bernoulli_log_bets(7, 3))
    np.testing.assert_allclose(lower.log_bets([0.9, 0.1], [2, 1]), flipped.log_bets([0.1, 0.9], [2, 1]))
    assert lower.bernoulli_log_bets(0, 50).max() > 0
    assert lower.bernoulli_log_bets(50, 0).max() < 0


def test_the_mirrored_test_clears_an_alarm():
    alarm = BoundedMean(m0=0.2)
    clearing = alarm.mirrored()
    assert (clearing.side, clearing.m0) == ("lower", pytest.approx(0.8))
    assert (clearing.mirrored().side, clearing.mirrored().m0) == ("upper", pytest.approx(0.2))
    process = EProcess()
    process.update(clearing.bernoulli_log_bets(5, 95))
    assert process.e_value >= 20
    process.reset()
    process.update(clearing.bernoulli_log_bets(25, 75))
    assert process.e_value < 1


def test_no_events_bet_nothing():
    test = BoundedMean(m0=1e-6)
    np.testing.assert_array_equal(test.log_bets([], []), np.zeros(8))
    np.testing.assert_array_equal(test.bernoulli_log_bets(0, 0), np.zeros(8))
    assert np.isfinite(test.bernoulli_log_bets(10**9, 10**9)).all()


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: BoundedMean(m0=0.0), "m0"),
        (lambda: BoundedMean(m0=1.0), "m0"),
        (lambda: BoundedMean(m0=math.nan), "m0"),
        (lambda: BoundedMean(m0=0.1, inflation=0.9), "inflation"),
        (lambda: BoundedMean(m0=0.1, side="both"), "side"),
        (lambda: BoundedMean.for_upper(0.9, 0.1), "tolerance"),
        (lambda: BoundedMean.for_upper(0.1, -0.1), "tolerance"),
        (lambda: BoundedMean.for_lower(0.05, 0.05), "tolerance"),
        (lambda: BoundedMean(m0=0.1).mirrored(0.0), "level"),
        (lambda: BoundedMean(m0=0.1).log_bets([1.2], [1]), "values"),
        (lambda: BoundedMean(m0=0.1).log_bets([1.0], [1, 2]), "values"),
        (lambda: BoundedMean(m0=0.1).log_bets([1.0], [-1]), "counts"),
        (lambda: BoundedMean(m0=0.1).bernoulli_log_bets(-1, 2), "n1"),
    ],
)
def test_bad_settings_name_the_field(make, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        make()
