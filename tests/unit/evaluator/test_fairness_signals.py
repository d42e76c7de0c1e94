"""Fairness of a window: parity, opportunity, odds and precision between the values of a group, and too few to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.monitors import ModelEntry
from schemas.signals import FAIRNESS_SIGNALS, Signal
from streams import telemetry
from streams.evaluator.closing import signal_value
from streams.evaluator.fairness import RATES, all_fairness, fairness_of, group_counts
from streams.evaluator.signals import Counted
from streams.gate.traffic import count
from streams.replay.references import build_reference
from tests.unit.gate.gate_world import SPEC, recorded


def unfair(row: dict[str, Any], rng: np.random.Generator) -> None:
    """Men are selected more than three times as often as women."""
    row["says"] = bool(rng.random() < (0.65 if row["features"]["sex"] == "m" else 0.2))


def few_women(row: dict[str, Any], rng: np.random.Generator) -> None:
    unfair(row, rng)
    if rng.random() < 0.99:
        row["features"]["sex"] = "m"


def counted(**terms: Any) -> Counted:
    reference = build_reference(SPEC, *recorded("v1", 1_000, seed=3), reference_id="r")
    plain = recorded("v1", 100, seed=4)
    return count(SPEC, plain, recorded("v2", 2_000, seed=5, **terms), reference=reference).candidate.whole


def test_every_fairness_signal_has_its_rates() -> None:
    assert set(RATES) == FAIRNESS_SIGNALS


def test_parity_is_told_as_a_difference_and_as_a_ratio_with_intervals() -> None:
    window = counted(change=unfair)
    counts = group_counts(window, "sex")
    rates = {value: of.selected / of.n for value, of in counts.items() if of.n}
    difference = fairness_of(window, "sex", Signal.SELECTION_RATE_DIFFERENCE)
    assert difference.value == pytest.approx(rates["m"] - rates["f"])
    assert (difference.highest, difference.lowest, difference.too_few) == ("m", "f", [])
    assert difference.lower < difference.value < difference.upper
    assert difference.lower > 0.3
    ratio = fairness_of(window, "sex", Signal.SELECTION_RATE_RATIO)
    assert ratio.value == pytest.approx(rates["f"] / rates["m"])
    assert ratio.lower < ratio.value < ratio.upper < 0.5


def test_equalised_odds_is_the_wider_of_two_and_precision_is_of_the_selected() -> None:
    window = counted(change=unfair)
    odds, opportunity, alarms = (
        fairness_of(window, "sex", signal).value
        for signal in (
            Signal.EQUALISED_ODDS_DIFFERENCE, Signal.TRUE_POSITIVE_RATE_DIFFERENCE,
            Signal.FALSE_POSITIVE_RATE_DIFFERENCE,
        )
    )  # fmt: skip
    assert odds == max(opportunity, alarms) > 0.05
    counts = group_counts(window, "sex")
    precision = {v: of.true_positive / (of.true_positive + of.false_positive) for v, of in counts.items() if of.n}
    found = fairness_of(window, "sex", Signal.PREDICTIVE_PARITY_DIFFERENCE)
    assert found.value == pytest.approx(abs(precision["m"] - precision["f"]))


def test_alike_is_alike() -> None:
    found = all_fairness(counted(), outcomes=False) | all_fairness(counted(), outcomes=True)
    assert set(found) == {f"{signal.value}:sex" for signal in FAIRNESS_SIGNALS}
    for name, each in found.items():
        assert each.value is not None
        assert each.lower < 0.05 or name.startswith("selection_rate_ratio"), name


def test_too_few_to_say_is_no_pass_and_names_who() -> None:
    window = counted(change=few_women)
    found = fairness_of(window, "sex", Signal.SELECTION_RATE_DIFFERENCE)
    assert (found.value, found.too_few) == (None, ["f"])
    assert found.n < 30
    entry = ModelEntry.model_validate(
        {"name": "m", "groups": ["sex"], "monitors": [
            {"signal": "selection_rate_ratio", "detector": "threshold", "thresholds": {"set": 0.8}},
        ]}
    )  # fmt: skip
    (monitor,) = entry.owned_monitors()
    assert signal_value(window, monitor) == (None, 0)
    value, n = signal_value(counted(change=unfair), monitor)
    assert value is not None
    assert value < 0.5
    assert n > 500


def test_groups_are_no_labels_of_metrics_beyond_the_configured_ones() -> None:
    labels = {name for metric in vars(telemetry).values() for name in getattr(metric, "_labelnames", ())}
    assert not labels & {"group", "sex", "group_value"}
    names = all_fairness(counted(), outcomes=False)
    assert {name.partition(":")[2] for name in names} == {"sex"}, "the group's name, and none of its values"
