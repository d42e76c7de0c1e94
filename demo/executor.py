"""The serving side's hand: obeys rollback commands, once, and says what it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from demo.registry import MODEL_NAME, Registry
from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus

EXECUTOR = "demo/registry"
_FINAL = {RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP}


@dataclass(slots=True)
class Executor:
    """Acts on `approved` commands; folds the status topic, so that a restart does nothing twice.

    Parameters
    ----------
    registry
        Whose alias it moves.
    signing_key
        With a key, unsigned or wrongly signed commands are refused.
    is_up
        Whether it runs at all.
    """

    registry: Registry
    signing_key: str | None = None
    is_up: bool = True
    _done: dict[str, RollbackState] = field(default_factory=dict)
    """Idempotency key to the last state that was reported."""

    def fold(self, status: RollbackStatus) -> None:
        """Take what was reported before, by us or by the one who ran here earlier."""
        if self._done.get(status.idempotency_key) not in _FINAL:
            self._done[status.idempotency_key] = status.state

    def obey(self, command: RollbackCommand, now: datetime) -> list[RollbackStatus | DeploymentEvent]:
        """Do what a command says, if it is one to act on; what happened is to be published in this order."""
        if not self.is_up or command.state is not RollbackState.APPROVED or command.model_name != MODEL_NAME:
            return []
        if self._done.get(command.idempotency_key) in _FINAL:
            return []
        if refusal := self._refusal(command, now):
            return [self._status(command, RollbackState.FAILED, now, refusal)]
        alias = self.registry.alias
        if alias.version == command.to_version:
            return [self._status(command, RollbackState.NOOP, now, f"{alias.version} serves already")]
        started = [
            self._status(command, RollbackState.ACCEPTED, now, ""),
            self._status(command, RollbackState.EXECUTING, now, f"{alias.version} -> {command.to_version}"),
        ]
        events = self.registry.deploy(str(command.to_version), now, cause=command.rollback_id)
        read_back = self.registry.alias.version
        state = RollbackState.SUCCEEDED if read_back == command.to_version else RollbackState.FAILED
        return [*started, *events, self._status(command, state, now, f"read back: {read_back}")]

    def _refusal(self, command: RollbackCommand, now: datetime) -> str:
        """Why a command is not obeyed; empty where it is."""
        alias = self.registry.alias
        if self.signing_key is not None and not command.is_signed_by(self.signing_key):
            return "signature is missing or wrong: expected one made with the configured key"
        if command.to_version is None:
            return "to_version is missing: expected the version to go back to"
        if command.not_before is not None and now < command.not_before:
            return f"not_before is {command.not_before:%Y-%m-%d %H:%M}: it is {now:%Y-%m-%d %H:%M}"
        if command.expected_current_version != alias.version:
            return f"expected_current_version is {command.expected_current_version!r}: {alias.version!r} serves"
        if command.generation != alias.generation:
            return f"generation is {command.generation}: the registry is at {alias.generation}"
        return ""

    def _status(self, command: RollbackCommand, state: RollbackState, now: datetime, message: str) -> RollbackStatus:
        self._done[command.idempotency_key] = state
        return RollbackStatus(
            rollback_id=command.rollback_id,
            idempotency_key=command.idempotency_key,
            environment=command.environment,
            model_name=command.model_name,
            state=state,
            executor=EXECUTOR,
            current_version=self.registry.alias.version,
            reported_at=now,
            message=message,
        )
