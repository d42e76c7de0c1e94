"""`plumbline drill rollback`: the way of a rollback from the request to the executor's answer, and nothing changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas import topics
from schemas.identifiers import stable_id
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.commands import broker
from streams.commands.console import CommandError, note, show, utc_now
from streams.commands.interventions import publish_word, word
from streams.engine.follower import Follower
from streams.engine.processor import Record
from streams.engine.topics import TopicNames
from streams.settings import Settings

REQUEST: Final = "request is on its topic"
ORDER: Final = "governor orders"
ACCEPTED: Final = "executor has it"
ANSWER: Final = "executor has read back and checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how long after the request it came, in seconds, and what was seen."""

    name: str
    seconds: float | None
    seen: str


_COLUMNS: Final[Mapping[str, Callable[[Step], object]]] = {
    "Step": lambda step: step.name,
    "After (s)": lambda step: step.seconds,
    "Seen": lambda step: step.seen,
}


async def drill(
    settings: Settings,
    *,
    environment: str,
    model: str,
    actor: str,
    timeout_seconds: float,
    as_json: bool,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Rehearse a rollback of a model with whoever executes its commands, and say how long each step took.

    Raises
    ------
    CommandError
        Where a step does not come, or the executor says that it could not do it.
    """
    event = word(
        "drill", environment=environment, model_name=model, subject="", actor=actor, comment="drill", at=utc_now()
    )
    seen = _Seen(stable_id("drill", event.intervention_id), clock)
    await broker.check_topics(settings, [topics.ROLLBACKS, topics.ROLLBACK_STATUS])
    follower = Follower(
        settings,
        TopicNames(settings),
        topics=[topics.ROLLBACKS.name, topics.ROLLBACK_STATUS.name],
        on_record=seen.take,
        start="end",
    )
    await follower.start()
    try:
        await follower.caught_up()
        seen.begin()
        await publish_word(settings, event)
        seen.note(REQUEST, f"by {actor}")
        async with asyncio.timeout(timeout_seconds):
            await seen.ended.wait()
    except TimeoutError:
        seen.problem = f"nothing more came within {timeout_seconds:g} s"
    finally:
        await follower.stop()
    steps = seen.steps()
    if as_json:
        show([_row(step) for step in steps], {}, as_json=True, empty="")
    else:
        show(steps, _COLUMNS, as_json=False, empty="")
    missing = next((step.name for step in steps if step.seconds is None), None)
    if seen.problem:
        msg = f"the drill failed: {seen.problem}" + (f"; missing: {missing}" if missing else "")
        raise CommandError(msg)
    note("The drill went through. Nothing was changed.")


def _row(step: Step) -> dict[str, Any]:
    return {"step": step.name, "seconds": step.seconds, "seen": step.seen}


class _Seen:
    """What has come of a drill."""

    def __init__(self, drill_id: str, clock: Callable[[], float]) -> None:
        self.ended = asyncio.Event()
        self.problem = ""
        self._id = drill_id
        self._clock = clock
        self._begun = clock()
        self._steps: dict[str, Step] = {}

    def begin(self) -> None:
        """The request goes out now."""
        self._begun = self._clock()

    def note(self, name: str, seen: str) -> None:
        """A step has come, if it had not before."""
        step = Step(name=name, seconds=round(self._clock() - self._begun, 3), seen=seen)
        self._steps.setdefault(name, step)

    def take(self, topic: str, record: Record) -> None:
        """Take a record of the decision topics."""
        if topic == topics.ROLLBACKS.name:
            command = broker.read_event(RollbackCommand, topic, record)
            if command is not None and command.rollback_id == self._id:
                self._ordered(command)
            return
        status = broker.read_event(RollbackStatus, topic, record)
        if status is not None and status.rollback_id == self._id:
            self._answered(status)

    def _ordered(self, command: RollbackCommand) -> None:
        signed = "signed" if command.signature else "not signed"
        self.note(ORDER, f"{command.from_version or 'nothing'} -> {command.to_version or 'nothing'}, {signed}")
        if command.state is RollbackState.REFUSED:
            self.problem = f"{command.reason.refusal}: there is no version to go back to"
            self.ended.set()

    def _answered(self, status: RollbackStatus) -> None:
        if status.state is RollbackState.ACCEPTED:
            self.note(ACCEPTED, status.executor)
            return
        self.note(ACCEPTED, status.executor)
        self.note(ANSWER, f"{status.executor}: {status.message}")
        if status.state is not RollbackState.NOOP:
            self.problem = f"the executor {status.executor} answered {status.state.value}: {status.message}"
        self.ended.set()

    def steps(self) -> list[Step]:
        """Every step, those that did not come too."""
        names = (REQUEST, ORDER, ACCEPTED, ANSWER)
        return [self._steps.get(name, Step(name=name, seconds=None, seen="")) for name in names]
