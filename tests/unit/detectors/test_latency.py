import math

import numpy as np
import pytest

from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS, LogBins


def counts_of(bins, values):
    return np.bincount(bins.encode(values), minlength=bins.n_slots)


@pytest.mark.parametrize("bins", [LATENCY_BINS, COST_BINS, DELAY_BINS])
@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_quantiles_have_the_stated_accuracy(bins, spread):
    rng = np.random.default_rng(1)
    centre = math.sqrt(bins.minimum * bins.maximum)
    values = np.clip(centre * np.exp(spread * rng.normal(size=5000)), bins.minimum * 1.01, bins.maximum)
    counts = counts_of(bins, values)
    for q in (0.001, 0.01, 0.5, 0.95, 0.99, 0.999):
        exact = np.quantile(values, q, method="inverted_cdf")
        assert bins.quantile(counts, q) == pytest.approx(exact, rel=bins.relative_accuracy + 1e-9)


def test_accuracies_and_sizes_are_the_documented_ones():
    assert [round(b.relative_accuracy, 3) for b in (LATENCY_BINS, COST_BINS, DELAY_BINS)] == [0.048, 0.091, 0.13]
    assert [b.n_slots for b in (LATENCY_BINS, COST_BINS, DELAY_BINS)] == [173, 130, 61]


def test_merged_counts_are_those_of_the_concatenation():
    rng = np.random.default_rng(2)
    a, b = rng.exponential(0.1, 500), rng.exponential(2.0, 300)
    merged = counts_of(LATENCY_BINS, a) + counts_of(LATENCY_BINS, b)
    np.testing.assert_array_equal(merged, counts_of(LATENCY_BINS, np.concatenate([a, b])))


def test_the_ends_have_slots_of_their_own():
    bins = LogBins(minimum=1.0, maximum=8.0, gamma=2.0)
    codes = bins.encode([-math.inf, -1.0, 0.0, 1.0, 1.5, 2.0, 2.1, 8.0, 8.1, 1e300, math.inf, math.nan])
    assert codes.tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 5]
    assert bins.encode([]).shape == (0,)
    assert bins.quantile(counts_of(bins, [0.0, 0.0]), 0.5) == 0.0
    assert bins.quantile(counts_of(bins, [1e9]), 0.5) == 8.0


def test_exceedance_counts_what_lies_above_the_quantile():
    rng = np.random.default_rng(3)
    reference = rng.lognormal(-2, 0.5, 10_000)
    first = LATENCY_BINS.exceedance_slots(counts_of(LATENCY_BINS, reference), 0.95)
    n1, n0 = LATENCY_BINS.exceedance(counts_of(LATENCY_BINS, np.append(reference, math.nan)), first)
    assert n1 + n0 == 10_000
    assert 0.03 < n1 / 10_000 <= 0.05
    slower, _ = LATENCY_BINS.exceedance(counts_of(LATENCY_BINS, reference * 2), first)
    assert slower > 4 * n1


def test_without_values_nothing_exceeds():
    empty = np.zeros(LATENCY_BINS.n_slots)
    assert LATENCY_BINS.quantile(empty, 0.5) is None
    first = LATENCY_BINS.exceedance_slots(empty, 0.5)
    assert LATENCY_BINS.exceedance(counts_of(LATENCY_BINS, [5.0, math.inf, math.nan]), first) == (0, 2)
    overflowing = counts_of(LATENCY_BINS, [math.inf])
    assert LATENCY_BINS.exceedance(overflowing, LATENCY_BINS.exceedance_slots(overflowing, 0.5)) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"minimum": 0.0, "maximum": 1.0, "gamma": 2.0}, "minimum"),
        ({"minimum": 1.0, "maximum": 1.0, "gamma": 2.0}, "maximum"),
        ({"minimum": 1.0, "maximum": 2.0, "gamma": 1.0}, "gamma"),
        ({"minimum": 1.0, "maximum": math.inf, "gamma": 1.1}, "maximum"),
    ],
)
def test_bad_settings_name_the_field(settings, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        LogBins(**settings)
    with pytest.raises(ValueError, match=r"^q:"):
        LATENCY_BINS.quantile(np.zeros(LATENCY_BINS.n_slots), 1.0)
    with pytest.raises(ValueError, match=r"^counts:"):
        LATENCY_BINS.quantile([1.0], 0.5)
