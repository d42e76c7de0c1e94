import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.bounded_mean import BoundedMean
from detectors.budget import e_benjamini_hochberg
from detectors.distribution import DistributionBets
from detectors.sequential import EProcess, ShiryaevRoberts

counts = st.integers(0, 10**6)
means = st.floats(1e-9, 1 - 1e-9)
bets = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), max_size=20)


@given(means, counts, counts, st.sampled_from(["upper", "lower"]), st.floats(1.0, 100.0))
def test_bets_on_a_mean_are_finite_and_fair(m0, n1, n0, side, inflation):
    test = BoundedMean(m0=m0, inflation=inflation, side=side)
    assert np.isfinite(test.bernoulli_log_bets(n1, n0)).all()
    share = m0 if side == "upper" else 1.0 - m0
    growth = share * np.exp(test.bernoulli_log_bets(1, 0)) + (1 - share) * np.exp(test.bernoulli_log_bets(0, 1))
    assert (growth <= 1.0 + 1e-6).all()


@given(
    st.lists(counts, min_size=1, max_size=30),
    st.floats(0.0, 1e7),
    st.floats(0.0, 2.0),
    st.sampled_from([DistributionBets.ordered, DistributionBets.categorical]),
)
def test_bets_on_a_distribution_are_finite_and_fair_at_the_reference(reference, n_effective, tolerance, build):
    bets = build(reference, n_effective=n_effective, tolerance=tolerance)
    assert np.isfinite(bets.matrix).all()
    total = sum(reference)
    if total:
        growth = np.array(reference) / total @ np.exp(bets.matrix)
        assert (growth <= 1.0 + 1e-9).all()


@pytest.mark.parametrize("kind", [ShiryaevRoberts, EProcess])
@given(windows=bets, cut=st.integers(0, 20))
def test_restored_state_continues_through_json(kind, windows, cut):
    whole, first = kind(), kind()
    for window in windows:
        whole.update(window)
    for window in windows[:cut]:
        first.update(window)
    restored = kind.from_list(json.loads(json.dumps(first.to_list(), allow_nan=False)))
    for window in windows[cut:]:
        restored.update(window)
    assert restored.to_list() == whole.to_list()


@given(bets)
def test_statistics_stay_in_range(windows):
    detector, process = ShiryaevRoberts(), EProcess()
    for window in windows:
        detector.update(window)
        process.update(window)
        assert 0.0 <= detector.statistic <= 1.0001e300
        assert 0.0 <= process.e_value <= 1.0001e300
        assert process.minimum <= min(0.0, process.log_e_value)
        assert 0 <= process.n_since_minimum <= process.n_windows


@given(st.lists(st.floats(0.0, 1e6), max_size=30), st.floats(0.001, 0.999))
def test_discoveries_are_the_largest(e_values, alpha):
    found = e_benjamini_hochberg(e_values, alpha)
    left = [e for i, e in enumerate(e_values) if i not in found]
    if found:
        smallest = min(e_values[i] for i in found)
        assert smallest >= len(e_values) / (alpha * len(found))
        assert all(e <= smallest for e in left)
