import math

import numpy as np
import pytest
from scipy import stats
from sequential_simulation import modulated_counts

from detectors.baseline import clopper_pearson_lower, clopper_pearson_upper, estimate_baseline


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (17, 4000)])
def test_clopper_pearson_is_the_exact_interval(k, n):
    exact = stats.binomtest(k, n).proportion_ci(confidence_level=0.98, method="exact")
    assert clopper_pearson_lower(k, n, 0.01) == pytest.approx(exact.low)
    assert clopper_pearson_upper(k, n, 0.01) == pytest.approx(exact.high)


def test_clopper_pearson_without_data_says_nothing():
    assert (clopper_pearson_lower(0, 0, 0.01), clopper_pearson_upper(0, 0, 0.01)) == (0.0, 1.0)
    between = clopper_pearson_upper(2.5, 10.0, 0.01)
    assert clopper_pearson_upper(2, 10, 0.01) < between < clopper_pearson_upper(3, 10, 0.01)
    for k, n, level, field in ((3, 2, 0.1, "k"), (-1, 2, 0.1, "k"), (1, 2, 0.0, "level"), (1, math.inf, 0.1, "k")):
        for bound in (clopper_pearson_lower, clopper_pearson_upper):
            with pytest.raises(ValueError, match=f"^{field}:"):
                bound(k, n, level)


def test_bounds_cover_the_mean_of_an_autocorrelated_stream():
    rng = np.random.default_rng(1)
    draw = modulated_counts(rng, runs=200, n=100, mean=0.1, rho=0.5, spread=0.5)
    reference = np.array([draw() for _ in range(100)])
    true = np.array([draw() for _ in range(1000)]).mean() / 100
    found = [estimate_baseline(run, np.full(100, 100), level=0.01) for run in reference.T]
    assert np.mean([b.upper < true for b in found]) <= 0.01 + 2 * 0.007
    assert np.mean([b.lower > true for b in found]) <= 0.01 + 2 * 0.007
    assert all(b.lower < b.mean < b.upper for b in found)
    assert all(b.n_effective == b.n / b.inflation for b in found)


def test_short_references_need_a_default_inflation():
    with pytest.raises(ValueError, match=r"^n: 10 cells with events given, expected 40"):
        estimate_baseline([1] * 10, [20] * 10, level=0.01)
    baseline = estimate_baseline([1] * 10, [20] * 10, level=0.01, default_inflation=2.0)
    assert (baseline.mean, baseline.n, baseline.n_effective, baseline.inflation) == (0.05, 200.0, 100.0, 2.0)
    with pytest.raises(ValueError, match=r"^default_inflation: 0"):
        estimate_baseline([1], [20], level=0.01, default_inflation=0)


@pytest.mark.parametrize("cells", [0, 5])
def test_an_empty_reference_says_nothing(cells):
    baseline = estimate_baseline(np.zeros(cells), np.zeros(cells), level=0.01, default_inflation=1.0)
    assert (baseline.mean, baseline.lower, baseline.upper) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("share", [0, 1])
def test_a_rate_without_variance_has_finite_bounds(share):
    baseline = estimate_baseline(np.full(50, 100 * share), np.full(50, 100), level=0.01)
    assert baseline.inflation == 1.0
    assert baseline.mean == share
    assert 0.0 <= baseline.lower < baseline.upper <= 1.0
