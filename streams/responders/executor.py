"""The core of an executor: what is to be done about a command, and the loop that does it exactly so.

Plumbline ships two serving sides (an alias in MLflow, programs of yours; docs/rollback.md) and this for any other. Give
`Executor` a `ServingSide` (read which version serves, switch to another) and run it as a service:

    class Alias:                                     # a ServingSide
        async def current_version(self, environment, model_name): return registry.alias(model_name, "champion")
        async def switch(self, command): registry.set_alias(command.model_name, "champion", command.to_version)
        def event_time(self): return datetime.now(UTC)

    executor = Executor(settings=settings, names=names, serving=Alias(), name="my-registry", key="…")
    await executor.start()

It folds `ml.rollbacks.v1`, `ml.rollback-status.v1` and `ml.deployments.v1`, so a restart, a repeated command or two
executors beside each other do no harm: `decide` looks at the world first. A command is answered with `accepted`,
`executing`, then `succeeded`, `failed` or `noop` on `ml.rollback-status.v1`, and a switch that was read back is
announced as a deployment on `ml.deployments.v1`. An executor in another language follows the rules of `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from schemas.deployments import DeploymentEvent
from schemas.identifiers import stable_id
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.responders.rollback_book import ENDED

RefuseReason = Literal["no_target", "unexpected_current_version", "generation_moved"]
IgnoreReason = Literal[
    "not_approved", "dry_run", "already_done", "not_authentic", "expired", "too_early", "version_unknown"
]


class ServingSide(Protocol):
    """What an executor acts on. Both calls may be repeated; `switch` to a version that serves already is nothing."""

    async def current_version(self, environment: str, model_name: str) -> str | None:
        """Read which version serves as champion; None where it cannot be told."""

    async def switch(self, command: RollbackCommand) -> None:
        """Make `command.to_version` serve; raise where it does not come about."""

    def event_time(self) -> datetime:
        """Return now, in the event time of the predictions: the wall clock, except in a replay."""


@runtime_checkable
class Rehearsing(Protocol):
    """A ServingSide that can say whether a switch would come about, without making it."""

    async def check(self, command: RollbackCommand) -> None:
        """Raise where `switch` would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What an executor knows when it decides.

    Attributes
    ----------
    current_version
        Which version serves, read back just now.
    generation
        The newest generation of the model's champion deployments; None where none was announced.
    """

    current_version: str | None
    generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Switch to `command.to_version`."""

    command: RollbackCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Do nothing, and answer `failed`: the world is not the one that the command was made for."""

    command: RollbackCommand
    reason: RefuseReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Nothing is left to do; answer `noop`, or `succeeded` where an earlier life of ours had begun it."""

    command: RollbackCommand
    state: Literal[RollbackState.NOOP, RollbackState.SUCCEEDED]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Do nothing and answer nothing.

    An answer to a command of doubtful origin would let its sender speak for us, and of an expired one the governor
    says so itself.
    """

    command: RollbackCommand
    reason: IgnoreReason


Decision = Execute | Refuse | Settle | Ignore


def decide(
    command: RollbackCommand, world: World, *, answer: RollbackStatus | None, key: str | None, now: datetime
) -> Decision:
    """Decide what is to be done about the newest state of a command.

    Parameters
    ----------
    command
        As it was read.
    world
        As it is.
    answer
        The newest answer to this command's idempotency key, from this executor or another.
    key
        Where there is one, an unsigned or wrongly signed command is not touched.
    now
        Wall clock: commands expire on it.
    """
    ignored = _ignored(command, world, answer, key, now)
    if ignored is not None:
        return Ignore(command=command, reason=ignored)
    if world.current_version == command.to_version:
        if answer is None:
            return Settle(command=command, state=RollbackState.NOOP, message=f"{command.to_version} serves already")
        message = f"{command.to_version} serves, as begun under {answer.state}"
        return Settle(command=command, state=RollbackState.SUCCEEDED, message=message)
    refused = _refused(command, world)
    if refused is not None:
        reason, message = refused
        return Refuse(command=command, reason=reason, message=message)
    if command.is_drill:
        message = f"a drill: {world.current_version} serves, and would be switched to {command.to_version}"
        return Settle(command=command, state=RollbackState.NOOP, message=message)
    return Execute(command=command)


def _ignored(
    command: RollbackCommand, world: World, answer: RollbackStatus | None, key: str | None, now: datetime
) -> IgnoreReason | None:
    rules: tuple[tuple[bool, IgnoreReason], ...] = (
        (command.state is not RollbackState.APPROVED, "not_approved"),
        (command.mode == "dry_run" and not command.is_drill, "dry_run"),
        (answer is not None and answer.state in ENDED, "already_done"),
        (key is not None and not command.is_signed_by(key), "not_authentic"),
        (command.expires_at is not None and command.expires_at <= now, "expired"),
        (command.not_before is not None and command.not_before > now, "too_early"),
        (world.current_version is None, "version_unknown"),
    )
    return next((reason for holds, reason in rules if holds), None)


def _refused(command: RollbackCommand, world: World) -> tuple[RefuseReason, str] | None:
    if command.to_version is None:
        return "no_target", "to_version is null: expected a version"
    if world.current_version != command.expected_current_version:
        return "unexpected_current_version", (
            f"current_version is {world.current_version!r}: expected {command.expected_current_version!r},"
            " for which the command was made"
        )
    if world.generation is not None and world.generation != command.generation:
        return "generation_moved", (
            f"generation is {world.generation}: expected {command.generation}; somebody has deployed since"
        )
    return None


def status_of(
    command: RollbackCommand,
    state: RollbackState,
    *,
    executor: str,
    current_version: str | None,
    at: datetime,
    message: str = "",
) -> RollbackStatus:
    """Return the answer to a command."""
    return RollbackStatus(
        rollback_id=command.rollback_id,
        idempotency_key=command.idempotency_key,
        environment=command.environment,
        model_name=command.model_name,
        state=state,
        executor=executor,
        current_version=current_version,
        reported_at=at,
        message=message,
    )


def deployment_of(
    command: RollbackCommand, earlier: list[DeploymentEvent], *, version: str, at: datetime
) -> DeploymentEvent:
    """Return the deployment that a rollback has made: the next generation, with what is known of the version.

    Parameters
    ----------
    command
        What was done.
    earlier
        The model's deployments so far, oldest first.
    version
        The version that serves now.
    at
        Event time of the switch.
    """
    known = [deployment for deployment in earlier if deployment.model_version == version]
    generation = max([command.generation, *(deployment.generation for deployment in earlier)]) + 1
    update = {
        "deployment_id": stable_id("deployment", command.idempotency_key),
        "generation": generation,
        "cause": command.rollback_id,
        "role": "champion",
        "state": "active",
        "traffic_ratio": 1.0,
        "deployed_at": at,
        "quarantined": False,
        "inferred": False,
    }
    if known:
        return known[-1].model_copy(update=update)
    fields = {"environment": command.environment, "model_name": command.model_name, "model_version": version}
    return DeploymentEvent.model_validate({**fields, **update})
