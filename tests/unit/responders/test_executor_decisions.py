from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from decision_samples import NOW, command, status

from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackState
from streams.responders.executor import Execute, Ignore, Refuse, Settle, World, decide, deployment_of

KEY = "a key"
AS_EXPECTED = World(current_version="8", generation=2)


def decide_on(changes: dict[str, Any], *, world: World = AS_EXPECTED, answer: Any = None, key: str | None = KEY) -> Any:
    return decide(command(**changes).signed(KEY), world, answer=answer, key=key, now=NOW)


def test_an_approved_command_for_this_world_is_executed() -> None:
    assert isinstance(decide_on({}), Execute)
    assert isinstance(decide_on({}, world=World(current_version="8", generation=None)), Execute)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": RollbackState.REQUESTED}, "not_approved"),
        ({"state": RollbackState.EXECUTING}, "not_approved"),
        ({"mode": "dry_run"}, "dry_run"),
        ({"expires_at": NOW}, "expired"),
        ({"not_before": NOW + timedelta(seconds=1)}, "too_early"),
    ],
)
def test_what_is_ignored(changes: dict[str, Any], reason: str) -> None:
    decision = decide_on(changes)
    assert isinstance(decision, Ignore)
    assert decision.reason == reason


@pytest.mark.parametrize("state", [RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP])
def test_what_is_done_is_not_done_again(state: RollbackState) -> None:
    decision = decide_on({}, answer=status(state))
    assert isinstance(decision, Ignore)
    assert decision.reason == "already_done"


def test_with_a_key_an_unsigned_or_altered_command_is_not_touched_and_not_answered() -> None:
    signed = command().signed(KEY)
    for bad in (command(), command().signed("another"), signed.model_copy(update={"to_version": "6"})):
        decision = decide(bad, AS_EXPECTED, answer=None, key=KEY, now=NOW)
        assert isinstance(decision, Ignore)
        assert decision.reason == "not_authentic"
    assert isinstance(decide(command(), AS_EXPECTED, answer=None, key=None, now=NOW), Execute)


@pytest.mark.parametrize(
    ("world", "changes", "reason"),
    [
        (World(current_version="9", generation=3), {}, "unexpected_current_version"),
        (World(current_version="8", generation=3), {}, "generation_moved"),
        (AS_EXPECTED, {"to_version": None}, "no_target"),
    ],
)
def test_another_world_is_refused(world: World, changes: dict[str, Any], reason: str) -> None:
    decision = decide_on(changes, world=world)
    assert isinstance(decision, Refuse)
    assert decision.reason == reason


def test_a_world_that_cannot_be_read_decides_nothing() -> None:
    decision = decide_on({}, world=World(current_version=None, generation=2))
    assert isinstance(decision, Ignore)
    assert decision.reason == "version_unknown"


def test_a_target_that_serves_already_is_a_noop() -> None:
    decision = decide_on({}, world=World(current_version="7", generation=2))
    assert isinstance(decision, Settle)
    assert decision.state is RollbackState.NOOP


def test_a_switch_that_a_crash_left_unanswered_is_a_success() -> None:
    world = World(current_version="7", generation=2)
    decision = decide_on({}, world=world, answer=status(RollbackState.EXECUTING))
    assert isinstance(decision, Settle)
    assert decision.state is RollbackState.SUCCEEDED


def test_a_switch_that_a_crash_left_undone_is_done_again() -> None:
    assert isinstance(decide_on({}, answer=status(RollbackState.EXECUTING)), Execute)


def test_the_deployment_of_a_rollback_is_the_next_generation_of_the_old_version() -> None:
    def deployed(version: str, generation: int) -> DeploymentEvent:
        return DeploymentEvent(
            deployment_id=f"deployment-{version}",
            model_name="flight-delay",
            model_version=version,
            generation=generation,
            deployed_at=NOW,
            git_sha=f"sha{version}",
        )

    made = deployment_of(command(), [deployed("7", 1), deployed("8", 2)], version="7", at=NOW)
    assert (made.model_version, made.generation, made.cause, made.git_sha) == ("7", 3, "rollback-1", "sha7")
    unknown = deployment_of(command(), [], version="7", at=NOW)
    assert (unknown.model_version, unknown.generation, unknown.git_sha) == ("7", 3, "")
    assert unknown.deployment_id == made.deployment_id, "a repetition announces the same deployment"
