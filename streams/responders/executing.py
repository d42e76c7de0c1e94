"""Executor: the loop around `streams.responders.executor.decide`; a service for whoever has a serving side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import mode
import structlog
from pydantic import BaseModel, ValidationError

from schemas import topics
from schemas.cloudevents import event_headers
from schemas.deployments import DeploymentEvent
from schemas.identifiers import model_key, stable_id
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams import telemetry
from streams.control.view import ControlView
from streams.engine.errors import EngineError
from streams.engine.follower import Follower
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames
from streams.responders.executor import (
    Decision,
    Execute,
    Ignore,
    Refuse,
    Rehearsing,
    ServingSide,
    Settle,
    World,
    decide,
    deployment_of,
    status_of,
)
from streams.responders.rollback_book import BookedRollback, RollbackBook
from streams.settings import Settings

log = structlog.get_logger(__name__)

NAME: Final = "executor"
_LOOK_AGAIN_SECONDS: Final = 1.0
_TOPICS: Final = (topics.DEPLOYMENTS.name, topics.ROLLBACK_STATUS.name, topics.ROLLBACKS.name)


class Executor(mode.Service):
    """Executes rollback commands on a serving side.

    Parameters
    ----------
    settings, names
        Where the topics are.
    serving
        What is acted on.
    name
        Who answers, in `RollbackStatus.executor`.
    key
        Key of the commands' signatures; the governor's `governor.signing_key` by default. With none, signatures are
        not looked at.
    now
        Wall clock, aware.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        names: TopicNames,
        serving: ServingSide,
        name: str,
        key: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        configured = settings.governor.signing_key
        self._key = key or (configured.get_secret_value() if configured is not None else None)
        self._serving = serving
        self._name = name
        self._now = now
        self._book = RollbackBook()
        self._deployments = ControlView()
        self._changed = asyncio.Event()
        self._ignored: set[tuple[str, str]] = set()
        self._publisher = Publisher(settings, names)
        self._follower = Follower(settings, names, topics=_TOPICS, on_record=self._fold, merged=True)

    def _fold(self, topic: str, record: Record) -> None:
        if record.value is None:
            return
        if topic == topics.DEPLOYMENTS.name:
            self._deployments.apply_record(topic, record)
            return
        try:
            if topic == topics.ROLLBACKS.name:
                self._book.apply_command(RollbackCommand.model_validate_json(record.value))
                self._changed.set()
            else:
                self._book.apply_status(RollbackStatus.model_validate_json(record.value))
        except ValidationError as error:
            log.warning("record_unreadable", topic=topic, offset=record.offset, error=str(error))
            telemetry.RESPONSES.labels(responder=NAME, outcome="unreadable").inc()

    async def on_start(self) -> None:
        """Read what was ordered and done so far, before anything is done."""
        await self._publisher.start()
        await self._follower.start()
        await self._follower.caught_up()

    async def on_stop(self) -> None:
        """Stop following."""
        await self._follower.stop()
        await self._publisher.stop()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._follower.wait()

    @mode.Service.task
    async def _reconcile_forever(self) -> None:
        while not self.should_stop:
            self._changed.clear()
            await self.reconcile()
            try:
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def reconcile(self) -> None:
        """Do what is to be done about every approved command, one after the other."""
        for command in self._book.in_state(RollbackState.APPROVED):
            booked = self._book.get(command.rollback_id)
            if booked is None:
                continue
            try:
                await self._handle(booked)
            except EngineError:
                raise
            except Exception:  # the serving side could not be read: nothing is decided, and it is asked again
                log.exception("serving_side_failed", rollback_id=command.rollback_id)
                telemetry.RESPONSES.labels(responder=NAME, outcome="unreachable").inc()

    async def _handle(self, booked: BookedRollback) -> None:
        command = booked.command
        key = model_key(command.environment, command.model_name)
        champions = [each for each in self._deployments.deployments(key) if each.role == "champion"]
        current = await self._serving.current_version(command.environment, command.model_name)
        world = World(current_version=current, generation=champions[-1].generation if champions else None)
        decision: Decision = decide(command, world, answer=booked.answer, key=self._key, now=self._now())
        if isinstance(decision, Execute):
            await self._execute(command, current)
        elif isinstance(decision, Refuse):
            await self._answer(command, RollbackState.FAILED, current, f"{decision.reason}: {decision.message}")
        elif isinstance(decision, Settle) and command.is_drill:
            await self._rehearse(command, current, decision.message)
        elif isinstance(decision, Settle):
            if decision.state is RollbackState.SUCCEEDED:
                await self._announce(command)
            await self._answer(command, decision.state, current, decision.message)
        else:
            self._say_ignored(decision)

    def _say_ignored(self, decision: Ignore) -> None:
        """Say it once for each command and reason."""
        said = (decision.command.idempotency_key, decision.reason)
        if said not in self._ignored:
            self._ignored.add(said)
            log.info("rollback_ignored", rollback_id=decision.command.rollback_id, reason=decision.reason)
            telemetry.RESPONSES.labels(responder=NAME, outcome=decision.reason).inc()

    async def _execute(self, command: RollbackCommand, current: str | None) -> None:
        await self._answer(command, RollbackState.ACCEPTED, current)
        await self._answer(command, RollbackState.EXECUTING, current)
        message = ""
        try:
            await self._serving.switch(command)
        except Exception as error:  # whatever a serving side raises is its answer: said here, and read back below
            message = f"switch raised {error!r}; "
            log.exception("switch_failed", rollback_id=command.rollback_id)
        current = await self._serving.current_version(command.environment, command.model_name)
        if current == command.to_version:
            await self._announce(command)
            await self._answer(command, RollbackState.SUCCEEDED, current)
            return
        message += f"current_version is {current!r} after the switch: expected {command.to_version!r}"
        await self._answer(command, RollbackState.FAILED, current, message)

    async def _rehearse(self, command: RollbackCommand, current: str | None, message: str) -> None:
        """Answer a drill: what a switch would meet is looked at where the serving side can say it."""
        await self._answer(command, RollbackState.ACCEPTED, current)
        if isinstance(self._serving, Rehearsing):
            try:
                await self._serving.check(command)
            except Exception as error:  # noqa: BLE001 - whatever a serving side raises is its answer
                await self._answer(command, RollbackState.FAILED, current, f"a drill: check raised {error!r}")
                return
        await self._answer(command, RollbackState.NOOP, current, message)

    async def _announce(self, command: RollbackCommand) -> None:
        """Publish the deployment that the rollback made, once."""
        key = model_key(command.environment, command.model_name)
        earlier = self._deployments.deployments(key)
        if any(each.cause == command.rollback_id for each in earlier) or command.to_version is None:
            return
        at = self._serving.event_time()
        deployment: DeploymentEvent = deployment_of(command, earlier, version=command.to_version, at=at)
        record_key = f"{key}/{deployment.deployment_id}"
        await self._publish(topics.DEPLOYMENTS.name, deployment, record_key, deployment.deployment_id, at)

    async def _answer(
        self, command: RollbackCommand, state: RollbackState, current: str | None, message: str = ""
    ) -> None:
        at = self._serving.event_time()
        status = status_of(command, state, executor=self._name, current_version=current, at=at, message=message)
        if not self._book.apply_status(status):
            return  # said before, in an earlier life
        key = model_key(command.environment, command.model_name)
        event_id = stable_id("status", command.idempotency_key, state)
        await self._publish(topics.ROLLBACK_STATUS.name, status, key, event_id, at)
        telemetry.RESPONSES.labels(responder=NAME, outcome=state.value).inc()
        log.info("rollback_answered", rollback_id=command.rollback_id, state=state.value, message=message)

    async def _publish(self, topic: str, event: BaseModel, key: str, event_id: str, at: datetime) -> None:
        source = f"plumbline/executor/{self._name}"
        headers = event_headers(event_id=event_id, topic=topic, source=source, subject=key, time=at)
        value = event.model_dump_json(by_alias=True).encode()
        await self._publisher.publish(Output(topic=topic, key=key.encode(), value=value, headers=headers))
