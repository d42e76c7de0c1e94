"""RollbackBook: commands, and what executors answered, folded in log order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus

_ORDER: Final[tuple[frozenset[RollbackState], ...]] = (
    frozenset({RollbackState.REFUSED, RollbackState.REQUESTED}),
    frozenset({RollbackState.APPROVED}),
    frozenset({RollbackState.ACCEPTED}),
    frozenset({RollbackState.EXECUTING}),
    frozenset({RollbackState.REJECTED, RollbackState.EXPIRED}),
    frozenset({RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP}),
    frozenset({RollbackState.VERIFIED, RollbackState.INEFFECTIVE}),
)
_RANKS: Final = {state: rank for rank, states in enumerate(_ORDER) for state in states}
"""A rollback never goes back to an earlier rank; only a new attempt begins again."""

ENDED: Final = frozenset({RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP})
"""What an executor says last about a command."""


@dataclass(slots=True)
class BookedRollback:
    """One rollback: its newest command, the states it went through, and the executors' answers."""

    command: RollbackCommand
    steps: list[RollbackCommand] = field(default_factory=list)
    """One command for each state entered, oldest first."""
    answers: dict[str, RollbackStatus] = field(default_factory=dict)
    """The newest answer for each idempotency key, that is, for each attempt."""
    refusals: list[RollbackCommand] = field(default_factory=list)
    """What the policy refused for the same deployment after there was a command; it takes nothing back."""

    @property
    def answer(self) -> RollbackStatus | None:
        """The newest answer to the attempt in force."""
        return self.answers.get(self.command.idempotency_key)


class RollbackBook:
    """Rollbacks by id.

    Folding is idempotent: a record that was seen, or that an at-least-once producer sent again behind newer ones,
    changes nothing.
    """

    def __init__(self) -> None:
        self._rollbacks: dict[str, BookedRollback] = {}
        self._early: dict[str, RollbackStatus] = {}

    def apply_command(self, command: RollbackCommand) -> bool:
        """Fold one command; whether it changed anything."""
        held = self._rollbacks.get(command.rollback_id)
        if held is None:
            early = self._early.pop(command.idempotency_key, None)
            answers = {} if early is None else {command.idempotency_key: early}
            self._rollbacks[command.rollback_id] = BookedRollback(command, [command], answers)
            return True
        if command.state is RollbackState.REFUSED and held.command.state is not RollbackState.REFUSED:
            if command not in held.refusals:
                held.refusals.append(command)
            return False
        if _is_older(command, held.command):
            return False
        held.command = command
        held.steps.append(command)
        return True

    def apply_status(self, status: RollbackStatus) -> bool:
        """Fold one answer; whether it changed anything."""
        held = self._rollbacks.get(status.rollback_id)
        if held is None:
            # The two topics are read side by side: an answer can be read before its command.
            self._early[status.idempotency_key] = status
            return False
        before = held.answers.get(status.idempotency_key)
        if before is not None and _RANKS[status.state] <= _RANKS[before.state]:
            return False
        held.answers[status.idempotency_key] = status
        return True

    def get(self, rollback_id: str) -> BookedRollback | None:
        """One rollback; None where nothing was read of it."""
        return self._rollbacks.get(rollback_id)

    def all(self) -> list[BookedRollback]:
        """Every rollback, by the time it was requested."""
        return sorted(self._rollbacks.values(), key=lambda each: (each.command.requested_at, each.command.rollback_id))

    def in_state(self, *states: RollbackState) -> list[RollbackCommand]:
        """The newest commands that are in one of some states, by the time they were requested."""
        return [booked.command for booked in self.all() if booked.command.state in states]


def _is_older(command: RollbackCommand, held: RollbackCommand) -> bool:
    """Whether a record says nothing beyond the one that is held."""
    if held.state is RollbackState.REFUSED:
        return command.state is RollbackState.REFUSED and command.decided_at <= held.decided_at
    if command.attempt != held.attempt:
        return command.attempt < held.attempt
    return _RANKS[command.state] <= _RANKS[held.state]
