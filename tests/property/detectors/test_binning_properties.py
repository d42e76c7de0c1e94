import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.binning import CategoricalBins, NumericBins, bins_from_dict

numbers = st.floats(allow_nan=True, allow_infinity=True, width=64)
few = st.sampled_from([0.0, -0.0, 1.0, 2.0, 2.5, 1e308, -1e308, 5e-324])
columns = st.lists(st.one_of(numbers, few), max_size=120)
words = st.one_of(st.none(), st.text(max_size=3))


@given(columns, columns, st.integers(2, 40))
def test_numeric_codes_are_in_range_and_ordered(sample, values, n_bins):
    bins = NumericBins.from_sample("x", sample, n_bins=n_bins)
    codes = bins.encode(values)
    assert len(codes) == len(values)
    assert (codes < bins.n_slots).all()
    x = np.array(values, dtype=float)
    finite = np.isfinite(x)
    assert (codes[finite] < bins.n_ranked).all()
    assert (codes[np.isnan(x)] == bins.missing_slot).all()
    assert (codes[np.isinf(x)] == bins.non_finite_slot).all()
    ordered = codes[finite][np.argsort(x[finite], kind="stable")].astype(int)
    assert (np.diff(ordered) >= 0).all()
    assert len(bins.labels()) == bins.n_slots


@given(columns, st.integers(2, 40))
def test_the_reference_itself_is_neither_below_nor_above(sample, n_bins):
    x = np.array(sample, dtype=float)
    x = x[np.isfinite(x) & (np.abs(x) < np.finfo(float).max)]
    bins = NumericBins.from_sample("x", x, n_bins=n_bins)
    if len(x):
        codes = bins.encode(x)
        assert codes.min() > 0
        assert codes.max() < bins.n_ranked - 1
    for atom in bins.atoms:
        slot = bins.encode([atom])[0]
        assert set(x[bins.encode(x) == slot]) == {atom}


@given(columns, columns)
def test_merged_counts_are_those_of_the_concatenation(a, b):
    bins = NumericBins.from_sample("x", a)

    def count(values):
        return np.bincount(bins.encode(values), minlength=bins.n_slots)

    np.testing.assert_array_equal(count(a) + count(b), count(a + b))


@given(columns, st.integers(2, 40))
def test_numeric_bins_survive_json(sample, n_bins):
    bins = NumericBins.from_sample("x", sample, n_bins=n_bins)
    assert bins_from_dict(json.loads(json.dumps(bins.to_dict(), allow_nan=False))) == bins


@given(st.lists(words, max_size=60), st.lists(words, max_size=60), st.integers(1, 10))
def test_categorical_codes(sample, values, top):
    bins = CategoricalBins.from_sample("c", sample, top=top)
    codes = bins.encode(values)
    assert len(codes) == len(values)
    assert (codes < bins.n_slots).all()
    for value, code in zip(values, codes, strict=True):
        assert (code == bins.missing_slot) == (value is None)
        assert (code == bins.unseen_slot) == (value is not None and value not in sample)
    assert bins.unseen_slot not in bins.encode(sample)


@given(st.lists(words, max_size=60), st.integers(1, 10))
def test_categorical_bins_survive_json(sample, top):
    bins = CategoricalBins.from_sample("c", sample, top=top)
    assert bins_from_dict(json.loads(json.dumps(bins.to_dict()))) == bins
