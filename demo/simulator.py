"""The serving side: advances event time step by step, sends, waits for the workers, and obeys between the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from demo.account import Sent
from demo.bad_input import BadRecord, known_models, make_bad_records
from demo.errors import DemoError
from demo.executor import Executor
from demo.in_memory import MemoryWire
from demo.journal import Journal, Moment
from demo.options import Options
from demo.registry import MODEL_NAME, Registry
from demo.scenarios import GOOD_VERSION, NEW_VERSION
from demo.traffic import KEY, Traffic, watermarks
from demo.wire import Wire
from schemas import topics
from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.identifiers import model_key
from schemas.models import ModelSpec
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.engine.processor import Output, Record

PROBATION: Final = timedelta(days=7)
"""After a deployment the steps are short for this long: that is when commands come."""
_BAD_INPUT_AFTER: Final = timedelta(days=21)
_PAUSE_SECONDS: Final = 0.25
_MOST_PAUSES: Final = 120
_RESOURCES_EVERY: Final = timedelta(hours=6)

Say = Callable[[str, datetime], None]


@dataclass(slots=True)
class Simulator:
    """One run; `run` ends when every event is accounted for.

    Parameters
    ----------
    options, spec
        What was asked for, and the model as monitors.yaml has it.
    traffic, registry, executor
        The serving side.
    wire
        The broker.
    journal
        Takes what comes back.
    say
        Told what happens, with its event time.
    on_step
        Called after each step.
    kill_worker
        Ends the worker for good and starts another.
    """

    options: Options
    spec: ModelSpec
    traffic: Traffic
    registry: Registry
    executor: Executor
    wire: Wire | MemoryWire
    journal: Journal
    say: Say
    on_step: Callable[[Simulator], None]
    kill_worker: Callable[[], None]
    now: datetime = field(init=False)
    n_events: int = field(default=0, init=False)
    bad_records: list[BadRecord] = field(default_factory=list, init=False)
    n_by_topic: dict[str, int] = field(default_factory=dict, init=False)
    deployed: Moment | None = field(default=None, init=False)
    totals: dict[str, int] = field(default_factory=dict, init=False)
    _killed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.now = self.options.start_at

    @property
    def moment(self) -> Moment:
        """Where the run stands."""
        return Moment(at=self.now, n_events=self.n_events)

    @property
    def sent(self) -> Sent:
        """What was sent so far."""
        return Sent(
            n_predictions=self.n_by_topic.get(topics.PREDICTIONS.name, 0),
            n_labels=self.n_by_topic.get(topics.LABELS.name, 0),
            n_served_by_new_version=int((self.traffic.served == NEW_VERSION).sum()),
            n_resources=self.n_by_topic.get(topics.RESOURCES.name, 0),
        )

    async def run(self) -> None:
        """Serve everything, then say that nothing more will come, and read the books."""
        end = from_milliseconds(self.traffic.last_event_ms + 1)
        while self.now < end:
            await self._deploy_if_due()
            await self._step(min(self._next(), end))
        await self._finish()

    def _next(self) -> datetime:
        """End of the next step: on the grid, and not beyond a deployment."""
        step = self.options.probation_step if self._is_on_probation() else self.options.step
        after = self.now + step - (self.now - self.options.start_at) % step
        due = self.options.deploy_at
        return due if self.now < due < after else after

    def _is_on_probation(self) -> bool:
        """Whether a command may come: a deployment is young, and its case is open."""
        closed = self.journal.first(RollbackState.VERIFIED, RollbackState.INEFFECTIVE)
        return self.deployed is not None and closed is None and self.now - self.deployed.at < PROBATION

    async def _deploy_if_due(self) -> None:
        if self.deployed is None and self.now >= self.options.deploy_at:
            self.deployed = self.moment
            share = f", {self.options.holdback:.0%} stay on {GOOD_VERSION}" if self.options.holdback else ""
            self.say(f"{NEW_VERSION} is deployed{share}", self.now)
            events = self.registry.deploy(NEW_VERSION, self.now, cause="release", holdback=self.options.holdback)
            await self.wire.send(deployment_output(event) for event in events)

    async def _step(self, end: datetime) -> None:
        start_ms, end_ms = milliseconds(self.now), milliseconds(end)
        rows = self.traffic.rows(start_ms, end_ms)
        versions = self.registry.versions_for(self.traffic.draws[rows])
        await self._send([*self.traffic.events(start_ms, end_ms, versions), *self._resources(self.now, end)])
        await self._inject_if_due(end_ms)
        self._kill_if_due()
        self.now = end
        self.wire.see(end_ms)
        await self._obey(await self.wire.settle())
        await self._wait_for_expiry()
        self.on_step(self)

    async def _wait_for_expiry(self) -> None:
        """Where nobody executes commands, give the governor's wall clock the time to let an open one expire."""
        pauses = 0
        while not self.executor.is_up and self.journal.has_open_command():
            if pauses == _MOST_PAUSES:
                msg = f"a command is open after {pauses * _PAUSE_SECONDS:g} s without an executor: expected its expiry"
                raise DemoError(msg)
            pauses += 1
            await self.wire.pause(_PAUSE_SECONDS)
            await self._obey(await self.wire.settle())

    def _resources(self, start: datetime, end: datetime) -> Iterator[Output]:
        at = start - (start - self.options.start_at) % _RESOURCES_EVERY
        while at < end:
            if at >= start:
                yield self.traffic.resources(milliseconds(at), self.registry.alias.version)
            at += _RESOURCES_EVERY

    async def _send(self, outputs: list[Output]) -> None:
        for output in outputs:
            self.n_by_topic[output.topic] = self.n_by_topic.get(output.topic, 0) + 1
        self.n_events += await self.wire.send(outputs)

    async def _inject_if_due(self, end_ms: int) -> None:
        lived = timedelta(milliseconds=end_ms) - timedelta(milliseconds=milliseconds(self.options.start_at))
        if self.bad_records or lived < min(_BAD_INPUT_AFTER, (self.options.until_at - self.options.start_at) / 2):
            return
        landed = np.flatnonzero((self.traffic.flights.arrival_ms >= 0) & (self.traffic.flights.arrival_ms < end_ms))
        records = make_bad_records(self.traffic, int(landed[-1]), seed=self.options.seed)
        self.bad_records = await self.wire.send_bad(records)
        for bad in self.bad_records:
            self.n_by_topic[bad.topic] = self.n_by_topic.get(bad.topic, 0) + 1
        self.n_events += len(self.bad_records)
        self.say(f"{len(self.bad_records)} bad records are sent", from_milliseconds(end_ms))

    def _kill_if_due(self) -> None:
        due = self.options.kill_worker_on
        if due is not None and not self._killed and self.now.date() >= due:
            self._killed = True
            self.say("the worker is killed (SIGKILL), and another one started", self.now)
            self.kill_worker()

    async def _obey(self, records: list[tuple[str, Record]]) -> None:
        answers: list[RollbackStatus | DeploymentEvent] = []
        for topic, record in records:
            event = self.journal.take(topic, record, self.moment)
            if isinstance(event, RollbackStatus):
                self.executor.fold(event)
            elif isinstance(event, RollbackCommand):
                self.say(f"rollback {event.state.value}{_why(event)}", self.now)
                answers += self.executor.obey(event, self.now)
        for answer in answers:
            if isinstance(answer, RollbackStatus):
                self.say(f"executor: {answer.state.value} {answer.message}", self.now)
        await self.wire.send(
            deployment_output(each) if isinstance(each, DeploymentEvent) else status_output(each) for each in answers
        )

    async def _finish(self) -> None:
        horizon = milliseconds(self.spec.label_horizon + self.spec.lateness + self.spec.cell)
        not_before_ms = self.traffic.last_event_ms + horizon
        self.say("the recording is over: final watermarks", self.now)
        final = watermarks(not_before_ms, model_names=known_models(self.bad_records))
        keys = [model_key(DEFAULT_ENVIRONMENT, MODEL_NAME)]
        self.totals = await self.wire.close_books(final, not_before_ms=not_before_ms, keys=keys)
        self.now = from_milliseconds(not_before_ms)
        await self._obey(await self.wire.settle())
        self.on_step(self)


def _why(command: RollbackCommand) -> str:
    """The reason, where a rollback begins; what follows has the same one."""
    if command.state in {RollbackState.REQUESTED, RollbackState.REFUSED}:
        return f": {command.reason.summary}"
    return f": {command.from_version} -> {command.to_version}"


def deployment_output(event: DeploymentEvent) -> Output:
    """A deployment event, as it is sent."""
    key = f"{model_key(event.environment, event.model_name)}/{event.deployment_id}"
    return Output(topic=topics.DEPLOYMENTS.name, key=key.encode(), value=event.to_bytes())


def status_output(status: RollbackStatus) -> Output:
    """An executor's answer, as it is sent."""
    return Output(topic=topics.ROLLBACK_STATUS.name, key=KEY, value=status.to_bytes())
