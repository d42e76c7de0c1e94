import math

import numpy as np
import pytest
from scipy import stats

from detectors.fairness import (
    BettingPairTest,
    GroupCounts,
    compare_groups,
    equalised_odds_difference,
    group_rates,
    newcombe_difference,
    wilson_interval,
)
from detectors.sequential import EProcess

A = GroupCounts(n=200, selected=100, actual_positive=80, true_positive=60, actual_negative=120, false_positive=40)
B = GroupCounts(n=100, selected=30, actual_positive=40, true_positive=24, actual_negative=60, false_positive=6)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (81, 263), (1, 29)])
def test_wilson_is_the_textbook_interval(k, n):
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_newcombe_is_the_published_example():
    assert newcombe_difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe_difference(0, 10, 0, 10)[0] < 0 < newcombe_difference(0, 10, 0, 10)[1]


def test_intervals_without_data_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert newcombe_difference(0, 0, 3, 10) == (-1.0, 1.0)
    for k, n, level, field in ((2, 1, 0.05, "k"), (-1, 1, 0.05, "k"), (1, 2, 0.0, "level")):
        with pytest.raises(ValueError, match=f"^{field}:"):
            wilson_interval(k, n, level)


def test_rates_and_gaps():
    rates = group_rates(A)
    assert [rates[m].value for m in ("selection_rate", "true_positive_rate", "false_positive_rate")] == [
        0.5,
        0.75,
        pytest.approx(1 / 3),
    ]
    gaps = {gap.metric: gap for gap in compare_groups({"a": A, "b": B}, reference="a")}
    parity = gaps["selection_rate"]
    assert (parity.group, parity.reference) == ("b", "a")
    assert parity.difference == pytest.approx(-0.2)
    assert parity.ratio == pytest.approx(0.6)
    assert parity.lower < -0.2 < parity.upper < 0
    assert equalised_odds_difference(list(gaps.values()), "b") == pytest.approx(1 / 3 - 0.1)


def test_small_groups_are_hidden():
    small = GroupCounts(n=29, selected=3)
    assert group_rates(small)["selection_rate"].value is None
    assert group_rates(small)["selection_rate"].n == 29
    gaps = compare_groups({"a": A, "s": small}, reference="a")
    assert {gap.difference for gap in gaps} == {None}
    assert equalised_odds_difference(gaps, "s") is None
    assert group_rates(GroupCounts(n=0, selected=0), minimum_events=0)["selection_rate"].value is None
    none_selected = GroupCounts(n=100, selected=0)
    assert compare_groups({"a": A, "z": none_selected}, reference="z")[0].ratio is None


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"n": 1, "selected": 2}, "selected"),
        ({"n": -1, "selected": -1}, "selected"),
        ({"n": 5, "selected": 1, "actual_positive": 1, "true_positive": 2}, "true_positive"),
        ({"n": 5, "selected": 1, "false_positive": 1}, "false_positive"),
    ],
)
def test_impossible_counts_name_the_field(settings, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        GroupCounts(**settings)
    with pytest.raises(ValueError, match=r"^reference:"):
        compare_groups({"a": A}, reference="b")


def test_equal_groups_are_rarely_rejected_however_often_one_looks():
    rng = np.random.default_rng(1)
    runs, unit = 1000, [[np.zeros((2, 2)) for _ in range(2)] for _ in range(2)]
    for i in range(2):
        for j in range(2):
            unit[i][j][i, j] = 1
    test = BettingPairTest()
    bets = np.array([[test.log_bets(unit[i][j]) for j in range(2)] for i in range(2)])
    log_m, rejected = np.zeros((runs, 16)), np.zeros(runs, dtype=bool)
    for _ in range(500):
        log_m += bets[rng.integers(0, 2, runs), rng.integers(0, 2, runs)]
        rejected |= np.exp(log_m).mean(axis=1) >= 20
    assert rejected.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_a_difference_is_found_and_has_a_direction():
    pairs = np.array([[300, 100], [250, 350]])
    test = BettingPairTest()
    assert test.e_value(pairs) > 1000
    assert test.e_value(pairs) == pytest.approx(test.e_value(pairs.T))
    assert (test.direction(pairs), test.direction(pairs.T), test.direction([[5, 3], [3, 1]])) == (
        "a_above_b",
        "b_above_a",
        "",
    )
    assert BettingPairTest(delta=0.2).e_value(pairs) < 1
    assert BettingPairTest(inflation=2.0).log_e_value(pairs) < test.log_e_value(pairs)


def test_tables_of_workers_add():
    test, process = BettingPairTest(delta=0.05), EProcess()
    tables = np.random.default_rng(2).integers(0, 20, (5, 2, 2))
    for table in tables:
        process.update(test.log_bets(table))
    assert process.log_e_value == pytest.approx(test.log_e_value(tables.sum(axis=0)))


def test_degenerate_pairs():
    test = BettingPairTest()
    assert test.e_value(np.zeros((2, 2))) == 1.0
    assert test.e_value([[0, 0], [10**9, 0]]) == pytest.approx(1e300)
    for delta in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"^delta:"):
            BettingPairTest(delta=delta)
    with pytest.raises(ValueError, match=r"^pairs:"):
        test.e_value(np.zeros((2, 3)))
