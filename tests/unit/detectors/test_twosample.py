"""Two samples compared once: known answers, levels, and what degenerate samples come to."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors.twosample import CATEGORICAL_TESTS, NUMERIC_TESTS, Comparison, Outcome, compare

ALL = (*NUMERIC_TESTS, *CATEGORICAL_TESTS)


def by_name(reference: Any, current: Any, **options: Any) -> dict[str, Comparison]:
    return {found.test: found for found in compare(reference, current, **options)}


def is_defined(found: Comparison) -> bool:
    numbers = [found.statistic, *(x for x in (found.threshold, found.p_value) if x is not None)]
    return all(map(math.isfinite, numbers)) and (found.p_value is None or 0.0 <= found.p_value <= 1.0)


def test_statistics_are_scipy_s() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2.0, 3.0, 700), rng.gamma(2.0, 3.5, 300)
    found = by_name(a, b)
    assert found["ks"].statistic == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert found["wasserstein"].statistic == pytest.approx(stats.wasserstein_distance(a, b))
    assert found["energy"].statistic == pytest.approx(stats.energy_distance(a, b))
    assert found["cramer_von_mises"].p_value == pytest.approx(stats.cramervonmises_2samp(a, b).pvalue)
    assert [each for each in found if found[each].status is Outcome.NOT_APPLICABLE] == ["fisher"]


def test_fisher_and_chi_squared_on_two_classes() -> None:
    found = by_name(["yes"] * 80 + ["no"] * 20, ["yes"] * 10 + ["no"] * 30)
    table = [[80, 20], [10, 30]]
    assert found["fisher"].p_value == pytest.approx(stats.fisher_exact(table).pvalue)
    assert found["chi_squared"].p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    assert abs(found["fisher"].statistic) == pytest.approx(0.55)
    assert {found[name].status for name in CATEGORICAL_TESTS} == {Outcome.DRIFT}
    assert set(found) == set(CATEGORICAL_TESTS)


@pytest.mark.parametrize("name", [*NUMERIC_TESTS, "chi_squared", "g", "psi", "js", "kl", "hellinger"])
def test_a_shift_is_found_and_a_sample_of_the_same_is_not(name: str) -> None:
    rng = np.random.default_rng(2)
    reference = rng.lognormal(size=5_000)
    (same,) = compare(reference, rng.lognormal(size=800), tests=(name,))
    (other,) = compare(reference, rng.lognormal(0.5, 1.0, size=800), tests=(name,))
    assert (same.status, other.status) == (Outcome.STABLE, Outcome.DRIFT)


@pytest.mark.parametrize("name", ["wasserstein", "energy", "psi", "chi_squared", "anderson_darling"])
def test_level_is_near_nominal_without_drift(name: str) -> None:
    rng, alpha, n = np.random.default_rng(3), 0.05, 60 if name in {"wasserstein", "energy"} else 200
    wrong = sum(
        compare(rng.normal(size=300), rng.normal(size=100), tests=(name,), alpha=alpha)[0].status is Outcome.DRIFT
        for _ in range(n)
    )
    assert wrong / n <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / n)


DEGENERATE: dict[str, list[Any]] = {
    "empty": [], "one": [1.0], "two": [1.0, 2.0], "missing": [None] * 9, "nan": [math.nan] * 9, "constant": [3.0] * 40,
    "infinite": [math.inf, -math.inf] * 5, "outlier": [*range(50), 1.7e308], "text": ["a"] * 30, "empty text": [""] * 4,
    "mixed": [1.0, "a", None], "whole": list(range(60)), "no": [False] * 20, "negative": [-1.7e308, 1.7e308] * 4,
}  # fmt: skip


@pytest.mark.parametrize("before", DEGENERATE)
@pytest.mark.parametrize("now", DEGENERATE)
def test_degenerate_samples_have_an_answer(before: str, now: str) -> None:
    for found in compare(DEGENERATE[before], DEGENERATE[now], tests=ALL):
        assert is_defined(found), found
        assert bool(found.why) is (found.status in {Outcome.TOO_FEW, Outcome.NOT_APPLICABLE})
        if before == now:
            assert found.status is not Outcome.DRIFT


def test_one_huge_outlier_is_no_drift_of_the_ranks() -> None:
    rng = np.random.default_rng(4)
    reference, current = rng.normal(size=900), [*rng.normal(size=300), 1e300]
    found = by_name(reference, current)
    assert {found[name].status for name in ("ks", "psi", "wasserstein", "energy")} == {Outcome.STABLE}


def test_all_missing_now_is_a_drift_of_shares_and_too_few_for_ranks() -> None:
    found = by_name(np.random.default_rng(5).normal(size=500), [None] * 100)
    assert found["psi"].status is Outcome.DRIFT
    assert found["ks"].status is Outcome.TOO_FEW
    assert "0 values now" in found["ks"].why


@given(
    st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70)), max_size=40),
    st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70)), max_size=40),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_numbers_have_an_answer(before: list[Any], now: list[Any]) -> None:
    assert all(map(is_defined, compare(before, now)))


def test_a_wrong_name_or_level_is_refused() -> None:
    with pytest.raises(ValueError, match="tests: 'kss' given, expected some of ks, cramer_von_mises"):
        compare([1.0], [1.0], tests=("kss",))
    with pytest.raises(ValueError, match=r"alpha: 0 given, expected a number in \[.001, .25\]"):
        compare([1.0], [1.0], alpha=0)
