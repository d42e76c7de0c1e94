"""The list of what has moved, inside an alert; and monitors that are told of both ways."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from pydantic import ValidationError
from world import SPEC, World, alerts, windows

from schemas.models import ModelSpec
from schemas.monitors import Monitor
from streams.evaluator.feeding import evidence_numbers
from streams.evaluator.series import Reading, Series
from streams.evaluator.state import SeriesState
from streams.evaluator.watch import DISCOVERY_RATE, watch, weights

ERRORS: dict[str, Any] = {"signal": "error_rate", "min_samples": 30}
FEATURES = [f"f{number}" for number in range(20)]
MONITOR = Monitor(signal="feature_drift", model_name="m")


def watched(bets: dict[str, float], states: dict[str, SeriesState], *, cell: str = "6h") -> Any:
    """One window of twenty features; each one's eight bets all win what `bets` says, in nats."""
    series = [Series(MONITOR, "__all__", feature) for feature in FEATURES]
    spec = ModelSpec.model_validate({**SPEC, "cell": cell})
    read = {one.key: Reading(500, 0.5, 0.0, np.full(8, bets.get(one.feature or "", -0.01))) for one in series}
    return watch(
        series=series, share=weights(series), closing=series, read=lambda _: read.items(), states=states,
        model_version="v1", spec=spec,
    )  # fmt: skip


def test_the_list_holds_what_has_moved_and_not_the_rest() -> None:
    moved = {"f3": 12.0, "f7": 14.0}
    found = watched(moved, {}).alarms
    assert len(found) == 1
    assert [d.series.feature for d in found[0].discoveries] == ["f7", "f3"]
    n_period = timedelta(days=30) / timedelta(hours=6)
    for discovery in found[0].discoveries:
        assert discovery.e_value == pytest.approx(np.exp(moved[discovery.series.feature or ""]) / n_period, rel=1e-6)
        assert discovery.e_value >= len(FEATURES) / (DISCOVERY_RATE * len(moved))


def test_many_that_moved_a_little_may_raise_an_alarm_without_a_list() -> None:
    states: dict[str, SeriesState] = {}
    alarms = ()
    for _ in range(40):
        alarms = watched(dict.fromkeys(FEATURES, 0.15), states).alarms
        if alarms:
            break
    assert alarms
    assert alarms[0].discoveries == ()


def test_an_alarm_does_not_empty_what_the_list_rests_on_and_a_period_does() -> None:
    states: dict[str, SeriesState] = {}
    assert watched({"f1": 14.0}, states).alarms
    state = states["v1|feature_drift|__all__|f1"]
    assert state.evidence == b""
    assert evidence_numbers(state.listing)[0] == 1.0
    for _ in range(119):
        watched({}, states)
    assert evidence_numbers(state.listing)[0] == 120.0
    watched({}, states)
    assert evidence_numbers(state.listing)[0] == 1.0
    assert max(evidence_numbers(state.listing)[1:]) == pytest.approx(-0.01)


def test_a_state_of_before_the_list_is_read() -> None:
    old = msgspec.json.encode({"evidence": [1.0, 0.5], "n_since_reset": 3})
    assert msgspec.json.decode(old, type=SeriesState).listing == b""


def test_an_alert_carries_its_list() -> None:
    world = World([{"signal": "feature_drift", "reference_context": "global"}])
    world.deploy("v1", 0)
    for number in range(30):
        world.cell("v1", number, shift=1 if number >= 20 else 0)
    found = alerts(world.run())[0].evidence
    assert [(line.monitor_id, line.feature) for line in found.discoveries] == [("feature_drift", "x")]
    assert (found.discoveries[0].e_value or 0.0) >= 1 / DISCOVERY_RATE


@pytest.mark.parametrize(
    ("direction", "miss", "is_told"),
    [(None, 0.02, False), ("rise", 0.02, False), ("fall", 0.02, True), ("both", 0.02, True), ("both", 0.7, True),
     ("fall", 0.7, False)],
)  # fmt: skip
def test_a_monitor_is_told_of_the_direction_it_asked_for(direction: str | None, miss: float, is_told: bool) -> None:
    world = World([{"signal": "miss_rate", "direction": direction}])
    world.deploy("v1", 0)
    for number in range(40):
        world.cell("v1", number, miss=miss if number >= 20 else 0.2)
    harness = world.run()
    assert bool(alerts(harness)) is is_told
    assert all(verdict.status != "warming_up" for w in windows(harness, "outcomes") for verdict in w.verdicts)


@pytest.mark.parametrize(
    "monitor",
    [
        {"signal": "feature_drift", "direction": "rise"},
        {"signal": "auc", "detector": "threshold", "thresholds": {"set": 0.7}, "direction": "fall"},
        {"signal": "error_rate", "direction": "up"},
        {"signal": "rule_violation_ratio", "rule": {"field": "x", "minimum": 0}, "direction": "both"},
    ],
)
def test_a_direction_that_means_nothing_is_refused(monitor: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="direction"):
        Monitor.model_validate(monitor)


def test_a_sure_but_tiny_shift_is_silent_within_the_tolerance() -> None:
    def raised(tolerance: float) -> bool:
        world = World([{**ERRORS, "signal": "serving_error_ratio", "tolerance": tolerance}])
        world.deploy("v1", 0)
        for number in range(60):
            world.cell("v1", number, n=40_000, errors=0.02)
        return bool(alerts(world.run()))

    assert raised(0.0)
    assert not raised(0.05)
