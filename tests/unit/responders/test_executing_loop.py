from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from decision_samples import NOW, command, record, status

from schemas import topics
from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.engine.errors import PublishError
from streams.engine.processor import ListRecord, Output
from streams.engine.topics import TopicNames
from streams.responders.executing import Executor
from streams.settings import Settings


class Serving:
    """A serving side that can fail in every way."""

    def __init__(self, version: str = "8") -> None:
        self.version = version
        self.read_error: Exception | None = None
        self.switch_error: Exception | None = None
        self.is_stuck = False

    async def current_version(self, _environment: str, _model_name: str) -> str | None:
        if self.read_error is not None:
            raise self.read_error
        return self.version

    async def switch(self, command: RollbackCommand) -> None:
        if not self.is_stuck:
            self.version = str(command.to_version)
        if self.switch_error is not None:
            raise self.switch_error

    def event_time(self) -> datetime:
        return NOW


class FakePublisher:
    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.error: Exception | None = None

    async def publish(self, *outputs: Output) -> None:
        if self.error is not None:
            raise self.error
        self.outputs += outputs

    @property
    def states(self) -> list[str]:
        found = [each.value or b"" for each in self.outputs if each.topic == topics.ROLLBACK_STATUS.name]
        return [RollbackStatus.model_validate_json(value).state.value for value in found]

    @property
    def deployments(self) -> list[DeploymentEvent]:
        found = [each.value or b"" for each in self.outputs if each.topic == topics.DEPLOYMENTS.name]
        return [DeploymentEvent.model_validate_json(value) for value in found]


@pytest.fixture
def serving() -> Serving:
    return Serving()


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def executor(serving: Serving, publisher: FakePublisher, monkeypatch: pytest.MonkeyPatch) -> Executor:
    settings = Settings()
    made = Executor(settings=settings, names=TopicNames(settings), serving=serving, name="registry", now=lambda: NOW)
    monkeypatch.setattr(made, "_publisher", publisher)
    return made


def give(executor: Executor, *events: Any) -> None:
    names = {RollbackCommand: topics.ROLLBACKS.name, RollbackStatus: topics.ROLLBACK_STATUS.name}
    for event in events:
        name = names[type(event)]
        executor._fold(name, record(name, event))


async def test_a_command_is_executed_read_back_and_announced(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    give(executor, command())
    await executor.reconcile()
    await executor.reconcile()
    assert publisher.states == ["accepted", "executing", "succeeded"]
    assert serving.version == "7"
    (deployed,) = publisher.deployments
    assert (deployed.model_version, deployed.generation, deployed.cause) == ("7", 3, "rollback-1")


async def test_the_world_counts_not_what_the_switch_said(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    serving.switch_error = TimeoutError("no answer")
    give(executor, command())
    await executor.reconcile()
    assert publisher.states[-1] == "succeeded", "it raised, and yet it switched"


async def test_a_switch_that_did_not_come_about_has_failed(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    serving.is_stuck, serving.switch_error = True, RuntimeError("denied")
    give(executor, command())
    await executor.reconcile()
    assert publisher.states[-1] == "failed"
    last = RollbackStatus.model_validate_json(publisher.outputs[-1].value or b"")
    assert last.message == "switch raised RuntimeError('denied'); current_version is '8' after the switch: expected '7'"
    assert publisher.deployments == []


async def test_an_unreadable_serving_side_is_asked_again(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    serving.read_error = ConnectionError("down")
    give(executor, command())
    await executor.reconcile()
    assert publisher.outputs == []
    serving.read_error = None
    await executor.reconcile()
    assert publisher.states[-1] == "succeeded"


async def test_a_crash_after_the_switch_is_settled_at_the_next_start(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    serving.version = "7"
    give(executor, command(), status(RollbackState.EXECUTING))
    await executor.reconcile()
    assert publisher.states == ["succeeded"]
    assert len(publisher.deployments) == 1


async def test_a_crash_before_the_switch_does_not_begin_the_answers_anew(
    executor: Executor, publisher: FakePublisher
) -> None:
    give(executor, command(), status(RollbackState.EXECUTING))
    await executor.reconcile()
    assert publisher.states == ["succeeded"]


async def test_a_refusal_is_answered_with_its_reason(
    executor: Executor, publisher: FakePublisher, serving: Serving
) -> None:
    serving.version = "9"
    give(executor, command())
    await executor.reconcile()
    last = RollbackStatus.model_validate_json(publisher.outputs[-1].value or b"")
    assert last.state is RollbackState.FAILED
    assert last.message.startswith("unexpected_current_version: current_version is '9': expected '8'")


async def test_a_broker_that_is_gone_ends_the_executor_loudly(executor: Executor, publisher: FakePublisher) -> None:
    publisher.error = PublishError("gone")
    give(executor, command())
    with pytest.raises(PublishError):
        await executor.reconcile()


async def test_records_that_cannot_be_read_are_passed_over(executor: Executor, publisher: FakePublisher) -> None:
    executor._fold(topics.ROLLBACKS.name, ListRecord(topic=topics.ROLLBACKS.name, value=b"{"))
    executor._fold(topics.ROLLBACKS.name, ListRecord(topic=topics.ROLLBACKS.name, key=b"k"))
    give(executor, command(mode="dry_run"))
    await executor.reconcile()
    assert publisher.outputs == []
