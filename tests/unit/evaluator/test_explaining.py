"""How a feature moved, in words."""

import numpy as np
import pytest

from detectors.binning import CategoricalBins, NumericBins
from streams.evaluator.explaining import describe_move, quantile_text

UNIFORM = np.random.default_rng(5).uniform(0.0, 100.0, 20_000)


def shares(bins: NumericBins, values: np.ndarray) -> np.ndarray:
    return np.bincount(bins.encode(values), minlength=bins.n_slots)[: bins.n_ranked] / len(values)


def test_a_shrunk_unit_is_told_by_medians_and_the_tail() -> None:
    bins = NumericBins.from_sample("dep_delay", UNIFORM)
    said = describe_move(bins, shares(bins, UNIFORM), shares(bins, UNIFORM / 60))
    assert said.startswith("median 50") or said.startswith("median 49")
    assert "100.0% below the reference's 5 % quantile (5.0% in the reference)" in said


def test_a_rise_is_told_by_the_upper_tail() -> None:
    bins = NumericBins.from_sample("x", UNIFORM)
    said = describe_move(bins, shares(bins, UNIFORM), shares(bins, UNIFORM + 1000))
    assert "-> > 100" in said
    assert "100.0% above the reference's largest value (0.0% in the reference)" in said


@pytest.mark.parametrize("level", [0.1, 0.37, 0.5, 0.9])
def test_quantiles_of_bins_are_those_of_the_values(level: float) -> None:
    bins = NumericBins.from_sample("x", UNIFORM)
    now = UNIFORM**2 / 100
    assert float(quantile_text(bins, shares(bins, now), level)) == pytest.approx(np.quantile(now, level), abs=1.5)


def test_an_atom_is_its_own_median_and_counts_as_at_or_below() -> None:
    values = np.concatenate([np.zeros(600), np.arange(1.0, 401.0)])
    bins = NumericBins.from_sample("x", values)
    said = describe_move(
        bins, shares(bins, values), shares(bins, np.concatenate([values[:600], np.zeros(300), values[-100:]]))
    )
    assert said.startswith("median 0 -> 0;")
    assert "90.0% at or below the reference's 60 % quantile (60.0% in the reference)" in said


def test_categories_that_gained_and_lost() -> None:
    bins = CategoricalBins(name="carrier", categories=("UA", "B6"))
    said = describe_move(bins, np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.7, 0.1]))
    assert said == "gained B6 (30.0% in the reference, 70.0% now); lost UA (60.0% in the reference, 20.0% now)"


def test_shares_of_other_bins_are_refused() -> None:
    bins = CategoricalBins(name="carrier", categories=("UA",))
    with pytest.raises(ValueError, match=r"share: shape \(3,\) given for feature 'carrier', expected \(2,\)"):
        describe_move(bins, np.ones(2) / 2, np.ones(3) / 3)
