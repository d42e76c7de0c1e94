import math

import numpy as np
import pytest

from detectors.budget import budget_threshold, e_benjamini_hochberg, weighted_statistic


def test_threshold_is_windows_over_alarms():
    assert budget_threshold(240, 2) == 120.0
    assert budget_threshold(120, 0.25) == 480.0


@pytest.mark.parametrize(("windows", "alarms"), [(0, 1), (10, 0), (10, -1), (math.nan, 1), (math.inf, 1)])
def test_bad_budgets_are_refused(windows, alarms):
    with pytest.raises(ValueError, match=r"n_windows_in_period|n_alarms"):
        budget_threshold(windows, alarms)


def test_weighted_statistic():
    assert weighted_statistic([10.0, 100.0], [0.75, 0.25]) == pytest.approx(32.5)
    assert weighted_statistic([], []) == 0.0
    assert weighted_statistic([1e300, 1e300], [0.5, 0.5]) == pytest.approx(1e300)
    assert weighted_statistic([1.0] * 10, [0.1] * 10) == pytest.approx(1.0)


@pytest.mark.parametrize("weights", [[0.5], [0.8, 0.3], [-0.1, 0.5], [math.nan, 0.1]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        weighted_statistic([1.0, 2.0], weights)


def test_e_benjamini_hochberg_takes_the_largest_k():
    assert e_benjamini_hochberg([], 0.1) == []
    assert e_benjamini_hochberg([1.0, 9.0], 0.1) == []
    assert e_benjamini_hochberg([1.0, 20.0], 0.1) == [1]
    assert e_benjamini_hochberg([12.0, 1.0, 15.0, 14.0], 0.1) == []
    assert e_benjamini_hochberg([14.0, 1.0, 15.0, 14.0], 0.1) == [2, 0, 3]
    with pytest.raises(ValueError, match="alpha"):
        e_benjamini_hochberg([1.0], 0.0)
    with pytest.raises(ValueError, match="e_values"):
        e_benjamini_hochberg([math.nan], 0.1)


def test_e_benjamini_hochberg_keeps_the_false_discovery_rate_under_dependence():
    rng = np.random.default_rng(3)
    proportions = []
    for _ in range(2000):
        shared = rng.normal()
        e = np.full(10, math.exp(2.0 * shared - 2.0))  # a likelihood ratio: mean 1, the same for all nulls
        e[:3] = 100.0
        found = e_benjamini_hochberg(e.tolist(), 0.2)
        proportions.append(sum(i >= 3 for i in found) / max(len(found), 1))
    assert np.mean(proportions) <= 0.2
