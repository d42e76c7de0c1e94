import numpy as np
import pytest
from sequential_simulation import modulated_counts

from detectors.inflation import distribution_inflation, variance_inflation


def ratios(rho, spread, cells=200, runs=100):
    rng = np.random.default_rng(1)
    draw = modulated_counts(rng, runs=runs, n=200, mean=0.1, rho=rho, spread=spread)
    table = np.array([draw() for _ in range(cells)])
    return [variance_inflation(run, np.full(cells, 200)) for run in table.T]


def test_independent_counts_have_an_inflation_of_about_one():
    found = ratios(0.0, 0.0)
    assert np.median([i.ratio for i in found]) == pytest.approx(1.0, abs=0.15)
    assert np.median([i.upper for i in found]) < 1.7
    assert all(1.0 <= i.ratio <= i.upper for i in found)
    assert {i.n_cells for i in found} == {200}


def test_autocorrelated_counts_have_their_long_run_variance():
    rng = np.random.default_rng(2)
    draw = modulated_counts(rng, runs=500, n=200, mean=0.1, rho=0.5, spread=0.5)
    sums = np.array([draw() for _ in range(500)])
    mean = sums.mean() / 200
    true = sums.sum(axis=0).var() / (500 * 200 * mean * (1 - mean))
    found = ratios(0.5, 0.5)
    assert true > 10
    assert np.median([i.ratio for i in found]) == pytest.approx(true, rel=0.25)
    assert np.mean([i.upper >= true for i in found]) >= 0.8


def test_a_daily_swing_counts_although_whole_days_average_it_away():
    day = 100 + 50 * np.sin(2 * np.pi * np.arange(240) / 24)
    found = variance_inflation(day, np.full(240, 1000), cells_per_cycle=24)
    within_a_quarter = (50**2 / 2) / (1000 * 0.1 * 0.9)
    assert found.ratio > 2 * within_a_quarter


def test_cells_of_different_sizes_are_weighed():
    rng = np.random.default_rng(4)
    n = rng.integers(0, 2000, 400)
    found = variance_inflation(rng.binomial(n, 0.2), n)
    assert found.ratio == pytest.approx(1.0, abs=0.5)


def test_few_cells_give_no_estimate():
    assert variance_inflation(np.ones(39), np.full(39, 5)) is None
    assert variance_inflation([], []) is None
    padded = np.concatenate([np.full(39, 5), np.zeros(100)])
    assert variance_inflation(np.minimum(padded, 1), padded) is None
    assert distribution_inflation(np.ones((39, 4))) is None
    assert distribution_inflation(np.zeros((100, 4))) is None


@pytest.mark.parametrize("share", [0, 1])
def test_a_constant_rate_has_no_inflation(share):
    found = variance_inflation(np.full(50, 10 * share), np.full(50, 10))
    assert (found.ratio, found.upper) == (1.0, 1.0)


@pytest.mark.parametrize("ordered", [True, False])
def test_distributions(ordered):
    rng = np.random.default_rng(6)
    still = rng.multinomial(200, np.full(10, 0.1), 200)
    assert distribution_inflation(still, ordered=ordered).ratio < 2.0
    moved = np.array([rng.multinomial(200, rng.dirichlet(np.full(10, 20.0))) for _ in range(200)])
    assert 1.6 < distribution_inflation(moved, ordered=ordered).ratio < 3.6  # true: 2; the largest score's is taken
    one_slot = np.zeros((50, 3))
    one_slot[:, 1] = 10
    assert distribution_inflation(one_slot, ordered=ordered).upper == 1.0


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (([2], [1]), "n1"),
        (([1], [1, 2]), "n1"),
        (([-1], [1]), "n1"),
        (([1], [np.nan]), "n"),
    ],
)
def test_bad_counts_name_the_field(arguments, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        variance_inflation(*arguments)


@pytest.mark.parametrize(("setting", "value"), [("confidence", 1.0), ("cells_per_cycle", 0)])
def test_bad_settings_name_the_field(setting, value):
    with pytest.raises(ValueError, match=f"^{setting}:"):
        variance_inflation(np.ones(50), np.full(50, 5), **{setting: value})


@pytest.mark.parametrize("feature", [False, True])
def test_a_reference_by_context_does_not_count_the_weekly_swing(feature):
    rng = np.random.default_rng(8)
    contexts = np.arange(280) % 28
    share = 0.2 + 0.15 * np.sin(2 * np.pi * contexts / 28)
    hits = rng.binomial(500, share)
    if feature:
        table = np.stack([500 - hits, hits], axis=1)
        plain, split = distribution_inflation(table), distribution_inflation(table, contexts=contexts)
    else:
        n = np.full(280, 500)
        plain, split = variance_inflation(hits, n), variance_inflation(hits, n, contexts=contexts)
    assert plain.ratio > 50
    assert split.ratio < 1.6


def test_contexts_need_cells_of_their_own():
    n = np.full(60, 50)
    assert variance_inflation(np.full(60, 5), n, contexts=np.arange(60) % 28) is None
    assert variance_inflation(np.full(60, 5), n, contexts=np.arange(60) % 7) is not None
    with pytest.raises(ValueError, match=r"^contexts:"):
        variance_inflation(np.full(60, 5), n, contexts=[1, 2])
