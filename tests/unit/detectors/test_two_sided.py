import numpy as np
import pytest

from detectors.bounded_mean import BoundedMean
from detectors.sequential import EProcess, ShiryaevRoberts
from detectors.two_sided import TwoSidedMean, mean_test

TEST = mean_test("both", upper=0.3, lower=0.2, tolerance=0.02, inflation=1.5)


def statistic(test, n1, n0, windows=1):
    detector = ShiryaevRoberts()
    for _ in range(windows):
        detector.update(test.bernoulli_log_bets(n1, n0))
    return detector.statistic


def test_directions_choose_the_sides():
    settings = {"upper": 0.3, "lower": 0.2, "tolerance": 0.02}
    assert mean_test("rise", **settings) == BoundedMean(m0=0.32)
    assert mean_test("fall", **settings) == BoundedMean.for_lower(0.2, 0.02)
    assert isinstance(TEST, TwoSidedMean)
    assert [test.side for test in TEST.sides] == ["upper", "lower"]


def test_a_side_without_room_is_left_out():
    assert mean_test("both", upper=0.3, lower=0.01, tolerance=0.05) == BoundedMean.for_upper(0.3, 0.05)
    assert mean_test("both", upper=0.98, lower=0.5, tolerance=0.05) == BoundedMean.for_lower(0.5, 0.05)
    assert mean_test("fall", upper=0.3, lower=0.01, tolerance=0.05) is None
    assert mean_test("both", upper=0.98, lower=0.02, tolerance=0.05) is None


@pytest.mark.parametrize(("n1", "n0"), [(80, 20), (2, 98)])
def test_both_ways_are_found(n1, n0):
    assert statistic(TEST, n1, n0) > 100
    one_way = statistic(TEST.sides[0 if n1 > n0 else 1], n1, n0)
    assert statistic(TEST, n1, n0) == pytest.approx(one_way / 2, rel=0.01)


def test_within_the_bounds_nothing_is_found():
    assert statistic(TEST, 25, 75, windows=200) < 50


def test_an_alarm_clears_only_when_both_sides_are_sure():
    clearing = TEST.mirrored()
    for n1, is_clear in ((250, True), (400, False), (100, False)):
        process = EProcess()
        for _ in range(20):
            process.update(clearing.bernoulli_log_bets(n1, 1000 - n1))
        assert (process.e_value >= 20) is is_clear


def test_a_window_at_once_is_its_events_one_by_one_and_merging_has_no_order():
    values, counts = np.array([0.0, 0.4, 1.0]), np.array([5, 2, 3])
    one_by_one = sum(TEST.log_bets([x], [1]) for x in np.repeat(values, counts))
    np.testing.assert_allclose(TEST.log_bets(values, counts), one_by_one)
    np.testing.assert_allclose(TEST.log_bets(values[::-1], counts[::-1]), TEST.log_bets(values, counts))
    np.testing.assert_allclose(TEST.bernoulli_log_bets(7, 4), TEST.log_bets([1, 0], [7, 4]))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: mean_test("up", upper=0.3, lower=0.2, tolerance=0), "direction"),
        (lambda: mean_test("rise", upper=0.3, lower=0.2, tolerance=-1), "tolerance"),
        (lambda: TwoSidedMean(sides=(BoundedMean(m0=0.3), BoundedMean(m0=0.3))), "sides"),
        (lambda: TwoSidedMean(sides=TEST.sides, joined="none"), "joined"),
    ],
)
def test_bad_settings_name_the_field(make, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        make()
