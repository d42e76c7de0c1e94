import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors import divergences
from detectors.divergences import NullQuantiles, companions, simulate_null

REFERENCE = np.array([100, 200, 300, 250, 150])
CURRENT = np.array([30, 20, 25, 15, 10])


def by_name(found):
    return {companion.name: companion for companion in found}


def test_values_are_the_textbook_ones():
    p, q = REFERENCE / REFERENCE.sum(), CURRENT / CURRENT.sum()
    assert divergences.psi(REFERENCE * 1000, CURRENT * 1000) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-3)
    assert divergences.jensen_shannon(REFERENCE, CURRENT) == pytest.approx(jensenshannon(p, q) ** 2)
    assert divergences.hellinger(REFERENCE, CURRENT) == pytest.approx(math.sqrt(1 - np.sqrt(p * q).sum()))
    s = 1 / REFERENCE.sum() + 1 / CURRENT.sum()
    chi_squared = stats.chi2_contingency(np.stack([REFERENCE, CURRENT])).statistic
    assert divergences.pearson(REFERENCE, CURRENT) / s == pytest.approx(chi_squared)
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    assert divergences.wasserstein(REFERENCE, CURRENT, values) == pytest.approx(
        stats.wasserstein_distance(values, values, p, q)
    )
    assert divergences.kolmogorov_smirnov(REFERENCE, CURRENT) == pytest.approx(0.2)


@pytest.mark.parametrize("n_reference", [2000, 20_000])
@pytest.mark.parametrize("n_current", [200, 5000])
def test_without_drift_the_thresholds_are_exceeded_as_often_as_they_say(n_reference, n_current):
    rng = np.random.default_rng(1)
    p = np.full(10, 0.1)
    null = simulate_null(p * n_reference, seed=2)
    exceeded = []
    for _ in range(600):
        found = companions(rng.multinomial(n_reference, p), rng.multinomial(n_current, p), alpha=0.05, null=null)
        exceeded.append([companion.value > companion.threshold for companion in found])
    rates = np.mean(exceeded, axis=0)
    assert len(rates) == 6
    assert rates[0] == pytest.approx(0.05, abs=0.025)
    assert (rates <= 0.05 + 0.04).all()
    assert (rates >= 0.02).all()


def test_a_fixed_rule_would_cry_wolf():
    rng = np.random.default_rng(3)
    p = np.full(20, 0.05)
    values = [divergences.psi(rng.multinomial(10_000, p), rng.multinomial(100, p)) for _ in range(300)]
    assert np.mean(np.array(values) > 0.1) > 0.2


def test_a_tolerance_raises_the_threshold_and_correlation_does_too():
    plain, tolerant, correlated = (
        by_name(companions(REFERENCE, CURRENT, **settings))["psi"].threshold
        for settings in ({}, {"tolerance": 0.1}, {"inflation": 4.0})
    )
    assert tolerant > plain + 0.05
    assert correlated == pytest.approx(4 * plain)
    assert by_name(companions(REFERENCE, CURRENT, n_effective=1e12))["psi"].threshold < plain


def test_drift_exceeds_all_thresholds():
    null = simulate_null(REFERENCE, seed=0)
    found = companions(REFERENCE, CURRENT[::-1] * [1, 1, 1, 5, 30], null=null)
    assert all(companion.value > companion.threshold for companion in found)
    names = [companion.name for companion in found]
    assert names == ["pearson", "psi", "js", "hellinger", "wasserstein", "kolmogorov_smirnov"]


def test_without_an_order_or_a_null_there_is_no_w1_threshold():
    assert len(companions(REFERENCE, CURRENT, ordered=False)) == 4
    assert by_name(companions(REFERENCE, CURRENT))["wasserstein"].threshold is None


def test_a_null_is_reproducible_and_survives_a_dictionary():
    null = simulate_null(REFERENCE, seed=4)
    assert null == simulate_null(REFERENCE, seed=4)
    assert NullQuantiles.from_dict(null.to_dict()) == null
    assert list(null.wasserstein) == sorted(null.wasserstein)


@pytest.mark.parametrize("reference", [[], [0, 0], [5], [0, 9, 0]])
def test_degenerate_references(reference):
    reference = np.array(reference, dtype=float)
    assert companions(reference, np.zeros(len(reference)), null=simulate_null(reference, seed=0)) == []
    for companion in companions(reference, reference):
        assert companion.value == pytest.approx(0.0, abs=1e-12)
    for name in ("psi", "jensen_shannon", "hellinger", "pearson", "kolmogorov_smirnov", "wasserstein"):
        assert getattr(divergences, name)(reference, reference * 0) == 0.0


def test_slots_empty_on_one_side_are_finite():
    found = companions([0, 100, 0], [10, 0, 10])
    assert all(math.isfinite(companion.value) for companion in found)
    assert by_name(found)["js"].value == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"alpha": 0.0001}, "alpha"),
        ({"tolerance": -1}, "tolerance"),
        ({"inflation": 0}, "inflation"),
        ({"n_effective": -1}, "n_effective"),
        ({"values": [1.0]}, "values"),
    ],
)
def test_bad_settings_name_the_field(settings, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        companions(REFERENCE, CURRENT, **settings)
    with pytest.raises(ValueError, match=r"^counts:"):
        companions(REFERENCE, CURRENT[:2])
