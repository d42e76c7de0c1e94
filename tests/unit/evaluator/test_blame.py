"""The cause of an alert: a case for each rule."""

import dataclasses
from typing import Any

import pytest

from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.signals import Signal
from streams.evaluator.blame import BLAME_RULES, blame, is_other_affected, with_other_versions
from streams.evaluator.scene import Scene
from streams.evaluator.state import AlertState, Moves
from tests.unit.evaluator.world import World, alerts

SCENE = Scene(
    spec=ModelSpec(model_name="m"), model_version="v2", window_start_ms=0, window_end_ms=10, n=1, reference=None,
    deployment=None, config_revision="", coverage=None, moves=Moves(),
)  # fmt: skip
CASES = [
    ("broken_records", Signal.MISSING_RATIO, None, "pipeline"),
    ("labels_late", Signal.LABEL_COVERAGE, None, "label"),
    ("inputs_drifted", Signal.FEATURE_DRIFT, None, "data"),
    ("worse_than_champion", Signal.CANARY_HARM, None, "model"),
    ("other_version_too", Signal.ERROR_RATE, True, "data"),
    ("nothing_tells", Signal.ERROR_RATE, None, "unknown"),
]


@pytest.mark.parametrize(("name", "signal", "affected", "cause"), CASES)
def test_each_rule(name: str, signal: Signal, affected: bool | None, cause: str) -> None:
    detector = {"detector": "threshold", "thresholds": {"set": 0.1}} if signal is Signal.CANARY_HARM else {}
    monitor = Monitor.model_validate({"signal": signal, **detector})
    rule = blame(monitor, dataclasses.replace(SCENE, incumbent_affected=affected))
    assert (rule.name, rule.cause) == (name, cause)


def test_every_rule_has_a_case() -> None:
    assert [rule.name for rule in BLAME_RULES] == [name for name, *_ in CASES]


OTHER: dict[str, Any] = {
    "alert_id": "a", "fingerprint": "f", "monitor_id": "errors", "model_version": "v1", "status": "firing",
    "since_ms": 0, "sequence": 1, "starts_at_ms": 0, "updated_ms": 0, "last_alarm_ms": 0, "last_data_ms": 0,
    "labels": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"model_version": "v2"}, False),
        ({"monitor_id": "other"}, False),
        ({"status": "pending"}, False),
        ({"last_data_ms": -1}, False),
    ],
)
def test_another_version_counts_while_it_fires_and_has_data(changes: dict[str, Any], expected: bool) -> None:
    monitor = Monitor(signal=Signal.ERROR_RATE, monitor_id="errors")
    alert = AlertState(**{**OTHER, **changes})
    assert is_other_affected([alert], monitor, SCENE) is expected
    scene, _ = with_other_versions([alert], monitor, SCENE, None)
    assert blame(monitor, scene).cause == ("data" if expected else "unknown")


def test_two_versions_that_fail_together_say_so_in_the_worker() -> None:
    world = World([{"signal": "serving_error_ratio", "tolerance": 0.01, "reference_context": "global"}])
    world.deploy("v1", 0)
    world.deploy("v2", 0, role="challenger", traffic_ratio=0.5)
    for number in range(30):
        errors = 0.3 if number >= 20 else 0.0
        world.delta([world.block(world.plan, v, number, errors=errors) for v in ("v1", "v2")], until=number)
    rules = {alert.explanation.rule for alert in alerts(world.run())}
    assert "other_version_too" in rules
