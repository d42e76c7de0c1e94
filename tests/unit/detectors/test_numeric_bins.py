import math

import numpy as np
import pytest

from detectors.binning import NumericBins, bins_from_dict


def counts_of(bins, values):
    return np.bincount(bins.encode(values), minlength=bins.n_slots)


def test_bins_are_quantiles_not_equal_widths():
    rng = np.random.default_rng(1)
    sample = np.append(rng.normal(size=10_000), 1e9)
    bins = NumericBins.from_sample("x", sample)
    counts = counts_of(bins, sample)
    assert bins.n_ranked == 22
    assert counts[0] == counts[21] == 0
    np.testing.assert_allclose(counts[1:21], 500, atol=1)


def test_below_and_above_are_outside_the_reference_and_its_ends_are_inside():
    bins = NumericBins.from_sample("x", np.arange(1000.0))
    above = bins.n_ranked - 1
    codes = bins.encode([-0.001, 0.0, 999.0, np.nextafter(999.0, np.inf), 1e300, -1e300])
    assert codes.tolist() == [0, 1, above - 1, above, above, 0]


def test_atoms_have_exactly_their_value():
    rng = np.random.default_rng(2)
    sample = np.concatenate([rng.normal(size=700), np.zeros(200), np.full(100, 2.0)])
    bins = NumericBins.from_sample("x", sample)
    assert bins.atoms == (0.0, 2.0)
    zero = bins.encode([0.0, -0.0])
    assert zero[0] == zero[1]
    tiny = np.nextafter(0.0, 1.0)
    assert bins.encode([tiny])[0] == zero[0] + 1
    assert bins.encode([-tiny])[0] == zero[0] - 1
    counts = counts_of(bins, sample)
    assert counts[zero[0]] == 200
    assert counts[bins.encode([2.0])[0]] == 100
    assert counts.sum() == 1000
    assert (counts[1 : bins.n_ranked - 1] > 0).all()


def test_values_between_integers_are_seen_as_new():
    bins = NumericBins.from_sample("n", np.repeat([0.0, 1.0, 2.0], 100))
    counts = counts_of(bins, [0.0, 1.0, 2.0, 0.5, 1.5, -1.0, 3.0])
    assert bins.labels() == ["< 0", "= 0", "(0, 1)", "= 1", "(1, 2)", "= 2", "> 2", "missing", "non_finite"]
    assert counts.tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 0]


def test_missing_and_infinite_values_have_slots_of_their_own():
    bins = NumericBins.from_sample("x", [1.0, 2.0, 3.0, math.nan, math.inf])
    codes = bins.encode([math.nan, math.inf, -math.inf, 2.0])
    assert codes[:3].tolist() == [bins.missing_slot, bins.non_finite_slot, bins.non_finite_slot]
    assert codes[3] < bins.n_ranked
    assert bins.indicators == ("missing", "non_finite")
    assert bins.n_slots == bins.n_ranked + 2


@pytest.mark.parametrize("sample", [[], [math.nan] * 5, [math.inf, -math.inf]])
def test_a_reference_without_values_has_one_slot_for_any(sample):
    bins = NumericBins.from_sample("x", sample)
    assert bins.labels() == ["any value", "missing", "non_finite"]
    assert bins.encode([5.0, math.nan, math.inf]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e300, np.finfo(float).max, 5e-324])
def test_a_constant_reference_is_one_atom(value):
    bins = NumericBins.from_sample("x", [value] * 10)
    codes = bins.encode([value, np.nextafter(value, -np.inf)])
    assert codes[0] == codes[1] + 1
    assert len(bins.labels()) == bins.n_slots


def test_no_values_encode_to_nothing():
    bins = NumericBins.from_sample("x", [1.0, 2.0])
    assert bins.encode([]).shape == (0,)
    assert bins.encode([]).dtype == np.uint8


def test_many_bins_search_instead_and_widen_the_code():
    sample = np.arange(100_000.0)
    few, many = (NumericBins.from_sample("x", sample, n_bins=n) for n in (20, 1000))
    codes = many.encode(sample)
    assert codes.dtype == np.uint16
    assert few.encode(sample).dtype == np.uint8
    assert (np.diff(codes.astype(int)) >= 0).all()
    np.testing.assert_allclose(np.bincount(codes)[1:], 100, atol=1)
    assert many.encode([math.nan])[0] == many.missing_slot


def test_short_and_long_columns_get_the_same_codes():
    rng = np.random.default_rng(5)
    sample = rng.normal(size=5000).round(1)
    bins = NumericBins.from_sample("x", sample)
    assert bins.encode(sample).tolist() == [bins.encode([value])[0] for value in sample]


def test_labels_tell_close_edges_apart():
    bins = NumericBins(name="x", edges=(1.0, 1.0 + 1e-9, 1.0 + 2e-9))
    assert len(set(bins.labels())) == bins.n_slots


def test_a_dictionary_gives_the_same_bins():
    bins = NumericBins.from_sample("x", [0.1, 0.1, 0.2, 0.7])
    assert bins_from_dict(bins.to_dict()) == bins


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: NumericBins(name="x", edges=(1.0, 1.0)), "edges"),
        (lambda: NumericBins(name="x", edges=(2.0, 1.0)), "edges"),
        (lambda: NumericBins(name="x", edges=(1.0, math.inf)), "edges"),
        (lambda: NumericBins(name="x", edges=(1.0, 2.0), atoms=(1.0,)), "atoms"),
        (lambda: NumericBins.from_sample("x", [1.0], n_bins=1), "n_bins"),
        (lambda: bins_from_dict({"kind": "circular"}), "kind"),
    ],
)
def test_bad_bins_name_the_field(make, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        make()
