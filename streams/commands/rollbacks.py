"""`plumbline rollbacks`: what was decided, and the word of a person on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, Literal

import typer

from schemas import topics
from schemas.incidents import Intervention
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.commands import broker
from streams.commands.console import Column, CommandError, UsageError, cell, note, show, utc_now
from streams.commands.interventions import publish_word, word
from streams.engine.processor import Record
from streams.responders.rollback_book import BookedRollback, RollbackBook
from streams.settings import Settings

_COLUMNS: Final[Mapping[str, Column[BookedRollback]]] = {
    "State": lambda each: each.command.state.value,
    "Mode": lambda each: each.command.mode,
    "Model": lambda each: each.command.model_name,
    "From": lambda each: each.command.from_version,
    "To": lambda each: each.command.to_version,
    "Requested": lambda each: each.command.requested_at,
    "Refused for": lambda each: each.command.reason.refusal,
    "Why": lambda each: each.command.reason.summary,
    "Executor": lambda each: None if each.answer is None else f"{each.answer.executor}: {each.answer.state}",
    "Rollback": lambda each: each.command.rollback_id,
}


async def read_book(settings: Settings) -> RollbackBook:
    """Fold every command and answer."""
    book = RollbackBook()

    def take(topic: str, record: Record) -> None:
        if topic == topics.ROLLBACKS.name:
            command = broker.read_event(RollbackCommand, topic, record)
            if command is not None:
                book.apply_command(command)
        else:
            status = broker.read_event(RollbackStatus, topic, record)
            if status is not None:
                book.apply_status(status)

    await broker.scan(settings, [topics.ROLLBACKS, topics.ROLLBACK_STATUS], take, merged=True)
    return book


async def list_rollbacks(settings: Settings, *, model: str | None, state: RollbackState | None, as_json: bool) -> None:
    """Show rollbacks and refusals, oldest first."""
    book = await read_book(settings)
    rows = [
        each for each in book.all() if model in {None, each.command.model_name} and state in {None, each.command.state}
    ]
    if as_json:
        show([each.command for each in rows], {}, as_json=True, empty="")
    else:
        none = "No rollback was requested or refused so far."
        if book.all():
            none = (
                "None of the rollbacks and refusals so far is of this model and state; without options all are shown."
            )
        show(rows, _COLUMNS, as_json=False, empty=none)


async def show_rollback(settings: Settings, rollback_id: str, *, as_json: bool) -> None:
    """Show one decision whole: what each rule of the policy saw, and how far it has come."""
    booked = (await read_book(settings)).get(rollback_id)
    if booked is None:
        raise UsageError(_unknown(rollback_id))
    if as_json:
        show([booked.command], {}, as_json=True, empty="")
        return
    for line in in_words(booked.command):
        typer.echo(line)


def in_words(command: RollbackCommand) -> Iterator[str]:
    """A decision for a person."""
    refusal = f": {command.reason.refusal}" if command.reason.refusal else ""
    yield f"{command.state.value}{refusal} ({command.mode}, attempt {command.attempt})"
    yield command.reason.summary
    yield f"{command.from_version} -> {command.to_version or 'no target'}, deployment {command.deployment_id}"
    yield f"requested {cell(command.requested_at)}, decided {cell(command.decided_at)} by {command.actor}"
    if command.comment:
        yield command.comment
    for guard in command.guards:
        yield f"{'passed' if guard.passed else 'NOT   '}  {guard.name}: {guard.observed} (required: {guard.required})"


def _unknown(rollback_id: str) -> str:
    return f"rollback {rollback_id!r} is unknown: expected an id that `plumbline rollbacks list` shows"


def intervention(
    booked: BookedRollback | None,
    rollback_id: str,
    kind: Literal["approve", "reject"],
    *,
    actor: str,
    comment: str,
    at: datetime,
) -> Intervention:
    """Make the intervention on a rollback, or say why it makes no sense: pure."""
    if booked is None:
        raise UsageError(_unknown(rollback_id))
    command = booked.command
    if command.state is not RollbackState.REQUESTED:
        msg = f"rollback {rollback_id!r} is {command.state}: expected {RollbackState.REQUESTED}, to {kind} it"
        raise CommandError(msg)
    if command.mode == "dry_run":
        msg = f"rollback {rollback_id!r} is a dry run: expected one that would be executed"
        raise CommandError(msg)
    return word(
        kind,
        environment=command.environment,
        model_name=command.model_name,
        subject=rollback_id,
        actor=actor,
        comment=comment,
        at=at,
    )


async def intervene(
    settings: Settings,
    rollback_id: str,
    kind: Literal["approve", "reject"],
    *,
    actor: str,
    comment: str,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Publish the word of a person; signed where `governor.signing_key` is set."""
    book = await read_book(settings)
    event = intervention(book.get(rollback_id), rollback_id, kind, actor=actor, comment=comment, at=now())
    await publish_word(settings, event)
    done = {"approve": "approval", "reject": "rejection"}[kind]
    note(f"Published the {done} of {rollback_id}; the governor acts on it. See `plumbline rollbacks list`.")
