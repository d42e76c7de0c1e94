import numpy as np
import pytest

from detectors.arrays import as_counts, code_dtype


def test_codes_take_the_smallest_type():
    assert code_dtype(256) is np.uint8
    assert code_dtype(257) is np.uint16
    with pytest.raises(ValueError, match=r"^n_slots: 70000"):
        code_dtype(70_000)


@pytest.mark.parametrize("bad", [[-1], [np.nan, 1], [np.inf], [[1]], 3])
def test_counts_are_checked(bad):
    with pytest.raises(ValueError, match=r"^pairs:"):
        as_counts(bad, name="pairs")


def test_counts_may_be_real_and_empty():
    assert as_counts([0.5, 2], name="counts").dtype == np.float64
    assert as_counts([], name="counts").shape == (0,)
