from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fake_monitor import make_command

from demo.executor import Executor
from demo.registry import Registry
from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackState, RollbackStatus

NOW = datetime(2013, 6, 11, 12, tzinfo=UTC)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(reference_id="r", dataset_version="d")
    registry.deploy("v1", NOW - timedelta(days=30), cause="release")
    registry.deploy("v2", NOW - timedelta(days=1), cause="release")
    return registry


def _states(answers: list[RollbackStatus | DeploymentEvent]) -> list[RollbackState]:
    return [each.state for each in answers if isinstance(each, RollbackStatus)]


def test_an_approved_command_moves_the_alias_and_is_answered_step_by_step(registry: Registry) -> None:
    answers = Executor(registry).obey(make_command(NOW), NOW)
    assert _states(answers) == [RollbackState.ACCEPTED, RollbackState.EXECUTING, RollbackState.SUCCEEDED]
    assert registry.alias.version == "v1"
    assert registry.alias.generation == 3
    active = [each for each in answers if isinstance(each, DeploymentEvent) and each.state == "active"]
    assert [(each.model_version, each.generation, each.cause) for each in active] == [("v1", 3, "rollback-1")]
    assert answers[-1].current_version == "v1"


def test_the_same_command_is_obeyed_once(registry: Registry) -> None:
    executor = Executor(registry)
    executor.obey(make_command(NOW), NOW)
    assert executor.obey(make_command(NOW), NOW) == []


def test_an_executor_that_restarts_knows_from_the_topic_what_was_done(registry: Registry) -> None:
    answers = Executor(registry).obey(make_command(NOW), NOW)
    restarted = Executor(registry)
    for each in answers:
        if isinstance(each, RollbackStatus):
            restarted.fold(each)
    assert restarted.obey(make_command(NOW), NOW) == []


@pytest.mark.parametrize("state", [state for state in RollbackState if state is not RollbackState.APPROVED])
def test_other_states_are_not_orders(registry: Registry, state: RollbackState) -> None:
    assert Executor(registry).obey(make_command(NOW, state=state), NOW) == []
    assert registry.alias.version == "v2"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"expected_current_version": "v3"}, "expected_current_version"),
        ({"generation": 1}, "generation"),
        ({"to_version": None}, "to_version"),
        ({"not_before": NOW + timedelta(hours=1)}, "not_before"),
    ],
)
def test_a_command_for_another_world_fails_with_the_reason(registry: Registry, changes: dict, word: str) -> None:
    (answer,) = Executor(registry).obey(make_command(NOW, **changes), NOW)
    assert answer.state is RollbackState.FAILED
    assert word in answer.message
    assert registry.alias.version == "v2"


def test_with_a_key_only_signed_commands_are_obeyed(registry: Registry) -> None:
    executor = Executor(registry, signing_key="secret")
    (refused,) = executor.obey(make_command(NOW), NOW)
    assert "signature" in refused.message
    signed = make_command(NOW, idempotency_key="again").signed("secret")
    assert _states(executor.obey(signed, NOW))[-1] is RollbackState.SUCCEEDED


def test_a_target_that_serves_already_is_a_noop(registry: Registry) -> None:
    command = make_command(NOW, to_version="v2")
    assert _states(Executor(registry).obey(command, NOW)) == [RollbackState.NOOP]


def test_with_a_holdback_both_deployments_are_active(registry: Registry) -> None:
    events = registry.deploy("v3", NOW, cause="release", holdback=0.25)
    assert [(each.model_version, each.traffic_ratio, each.state) for each in events] == [
        ("v2", 0.25, "active"),
        ("v3", 0.75, "active"),
    ]
    assert registry.alias.holdback_version == "v2"
