import math

import numpy as np
import pytest

from detectors.regression import ResidualBins, regression_metrics


def metrics_of(actual, predicted):
    error = predicted - actual
    return regression_metrics(len(actual), np.abs(error).sum(), (error**2).sum(), actual.sum(), (actual**2).sum())


def test_metrics_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    actual = rng.normal(50, 3, 1000)
    predicted = actual + rng.normal(0, 1, 1000)
    found = metrics_of(actual, predicted)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted))
    assert found["rmse"] == pytest.approx(metrics.mean_squared_error(actual, predicted) ** 0.5)
    assert found["r2"] == pytest.approx(metrics.r2_score(actual, predicted))


def test_what_is_undefined_is_none():
    assert set(regression_metrics(0, 0, 0, 0, 0).values()) == {None}
    constant = metrics_of(np.full(7, 0.1), np.full(7, 0.3))
    assert constant["r2"] is None
    assert constant["mae"] == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"^sum_squared_error:"):
        regression_metrics(1, 1, -1, 1, 1)
    with pytest.raises(ValueError, match=r"^n:"):
        regression_metrics(math.nan, 1, 1, 1, 1)


def test_residual_bins_are_symmetric_and_ordered():
    bins = ResidualBins(minimum=0.01, maximum=100.0)
    values = np.array([-math.inf, -50.0, -0.5, -0.001, 0.0, 0.009, 0.5, 50.0, math.inf])
    codes = bins.encode(values).astype(int)
    assert (np.diff(codes) >= 0).all()
    np.testing.assert_array_equal(codes + codes[::-1], 2 * bins.zero_slot)
    assert codes[0] == 0
    assert codes[-1] == bins.n_ranked - 1
    assert bins.encode([math.nan])[0] == bins.missing_slot == bins.n_slots - 1
    assert len(bins.edges) == bins.n_ranked - 1
    assert (np.diff(bins.edges) > 0).all()


def test_residual_quantiles_have_the_stated_accuracy():
    rng = np.random.default_rng(2)
    residuals = rng.normal(1.0, 4.0, 20_000)
    bins = ResidualBins()
    counts = np.bincount(bins.encode(residuals), minlength=bins.n_slots)
    for q in (0.05, 0.2, 0.5, 0.9, 0.99):
        exact = np.quantile(residuals, q, method="inverted_cdf")
        assert bins.quantile(counts, q) == pytest.approx(exact, rel=bins.magnitudes.relative_accuracy + 1e-9)


def test_folding_gives_the_magnitudes():
    bins = ResidualBins(minimum=0.1, maximum=10.0)
    residuals = np.array([-5.0, 5.0, -0.2, 0.0, 99.0, -99.0, math.nan])
    counts = np.bincount(bins.encode(residuals), minlength=bins.n_slots)
    magnitudes = bins.magnitudes
    direct = np.bincount(magnitudes.encode(np.abs(residuals)), minlength=magnitudes.n_slots)
    np.testing.assert_array_equal(bins.fold(counts), direct)


def test_no_residuals():
    bins = ResidualBins()
    assert bins.quantile(np.zeros(bins.n_slots), 0.5) is None
    assert bins.encode([]).shape == (0,)
    with pytest.raises(ValueError, match=r"^counts:"):
        bins.quantile([1, 2], 0.5)
    with pytest.raises(ValueError, match=r"^gamma:"):
        ResidualBins(gamma=1.0)
