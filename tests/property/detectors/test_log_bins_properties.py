import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS
from detectors.regression import ResidualBins

all_bins = st.sampled_from([LATENCY_BINS, COST_BINS, DELAY_BINS])
numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(all_bins, st.lists(numbers, max_size=50))
def test_codes_are_in_range_and_ordered(bins, values):
    codes = bins.encode(values)
    assert (codes < bins.n_slots).all()
    x = np.array(values, dtype=float)
    np.testing.assert_array_equal(codes == bins.missing_slot, np.isnan(x))
    ordered = codes[~np.isnan(x)][np.argsort(x[~np.isnan(x)])].astype(int)
    assert (np.diff(ordered) >= 0).all()


@given(all_bins, st.floats(0.0, 1.0))
def test_a_value_comes_back_within_the_relative_accuracy(bins, position):
    value = bins.minimum * (bins.maximum / bins.minimum) ** position
    assume(value > bins.minimum * 1.0001)
    counts = np.bincount(bins.encode([value]), minlength=bins.n_slots)
    assert abs(bins.quantile(counts, 0.5) / value - 1.0) <= bins.relative_accuracy + 1e-9


@given(st.lists(numbers, max_size=50))
def test_residual_codes_are_in_range_and_symmetric(values):
    bins = ResidualBins()
    x = np.array(values, dtype=float)
    codes = bins.encode(x).astype(int)
    assert (codes < bins.n_slots).all()
    known = ~np.isnan(x)
    np.testing.assert_array_equal(codes[known] + bins.encode(-x)[known], 2 * bins.zero_slot)
