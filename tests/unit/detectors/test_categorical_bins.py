import numpy as np
import pytest

from detectors.binning import CategoricalBins, bins_from_dict


def test_top_categories_the_other_known_ones_missing_and_unseen():
    bins = CategoricalBins.from_sample("c", ["b", "b", "a", None, "d", "a", "b", "e"], top=2)
    assert bins.categories == ("b", "a")
    assert bins.known_rest == ("d", "e")
    codes = bins.encode(["b", "a", "d", "e", None, "zebra", ""])
    other, missing, unseen = bins.other_slot, bins.missing_slot, bins.unseen_slot
    assert codes.tolist() == [0, 1, other, other, missing, unseen, unseen]
    assert bins.labels() == ["= b", "= a", "other", "missing", "unseen"]
    assert bins.vocabulary == {"b": 0, "a": 1, "d": other, "e": other}
    assert bins.n_slots == 5


def test_a_category_may_be_called_like_an_indicator():
    bins = CategoricalBins.from_sample("c", ["missing", "unseen", "other"])
    assert sorted(bins.encode(["missing", "unseen", "other"]).tolist()) == [0, 1, 2]
    assert len(set(bins.labels())) == bins.n_slots


@pytest.mark.parametrize("sample", [[], [None, None]])
def test_a_reference_without_values(sample):
    bins = CategoricalBins.from_sample("c", sample)
    assert bins.encode(["a", None]).tolist() == [bins.unseen_slot, bins.missing_slot]
    assert bins.encode([]).dtype == np.uint8


def test_what_lies_beyond_the_bound_is_unseen():
    names = [f"{i:05d}" for i in range(2000)]
    bins = CategoricalBins.from_sample("id", names)
    assert len(bins.known_rest) == 1000
    counts = np.bincount(bins.encode(names), minlength=bins.n_slots)
    assert counts[bins.other_slot] == 1000
    assert counts[bins.unseen_slot] == 970


def test_many_categories_widen_the_code():
    names = [f"{i:05d}" for i in range(400)]
    bins = CategoricalBins.from_sample("c", names, top=400)
    assert bins.encode(names).dtype == np.uint16
    assert bins.encode(names).tolist() == list(range(400))


def test_a_dictionary_gives_the_same_bins():
    bins = CategoricalBins.from_sample("c", ["a", "b", "c"], top=2)
    assert bins_from_dict(bins.to_dict()) == bins
    assert hash(bins) == hash(bins_from_dict(bins.to_dict()))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: CategoricalBins(name="c", categories=("a", "a")), "categories"),
        (lambda: CategoricalBins(name="c", categories=("a",), known_rest=("a",)), "categories"),
        (
            lambda: CategoricalBins(name="c", categories=(), known_rest=tuple(map(str, range(1001)))),
            "known_rest",
        ),
        (lambda: CategoricalBins.from_sample("c", ["a"], top=0), "top"),
    ],
)
def test_bad_bins_name_the_field(make, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        make()
