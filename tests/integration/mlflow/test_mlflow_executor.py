"""Rollbacks on a real MLflow registry: whatever happens, the alias moves at most once, and somebody says how."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from decision_samples import command
from mlflow_server import Mlflow

from brokers.tansu import TansuBroker
from schemas import topics
from schemas.base import Event
from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from schemas.topics import Topic
from streams.commands import broker as broker_commands
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.responders.executing import Executor
from streams.responders.mlflow_alias import MlflowAlias
from streams.responders.service import Responders
from streams.settings import (
    EngineSettings,
    ExecutorSettings,
    KafkaSettings,
    ProcessingGuarantee,
    Settings,
    TopicSettings,
)

_numbers = itertools.count()


class Stand:
    """A model of its own in the registry and on the broker: version 2 serves, version 1 served before."""

    def __init__(self, mlflow: Mlflow, tansu: TansuBroker) -> None:
        self.name = f"model-{next(_numbers)}"
        self.mlflow = mlflow
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=tansu.bootstrap_servers),
            topics=TopicSettings(prefix=f"{self.name}.", events_partitions=1, models_partitions=1),
            engine=EngineSettings(application_id=self.name, processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE),
            executor=ExecutorSettings(kind="mlflow", mlflow_url=mlflow.url, name="registry"),
        )

    async def prepare(self) -> Stand:
        self.mlflow.register(self.name, n_versions=2, champion=2)
        await ensure_topics(self.settings)
        at = datetime.now(UTC) - timedelta(days=1)
        for version in (1, 2):
            await self.publish(
                topics.DEPLOYMENTS,
                DeploymentEvent(
                    deployment_id=f"d{version}", model_name=self.name, model_version=str(version), generation=version,
                    deployed_at=at,
                ),
            )  # fmt: skip
        return self

    def order(self, **changes: Any) -> RollbackCommand:
        fields = {
            "model_name": self.name, "from_version": "2", "to_version": "1", "expected_current_version": "2",
            "generation": 2, "expires_at": datetime.now(UTC) + timedelta(hours=1), **changes,
        }  # fmt: skip
        return command(RollbackState.APPROVED, **fields)

    async def publish(self, topic: Topic, *events: Event) -> None:
        async with Publisher(self.settings) as publisher:
            await publisher.publish(*(Output(topic=topic.name, key=b"k", value=e.to_bytes()) for e in events))

    async def answers(self) -> list[RollbackStatus]:
        return [
            status for status, _ in await broker_commands.collect(self.settings, topics.ROLLBACK_STATUS, RollbackStatus)
        ]

    async def states(self) -> list[str]:
        return [status.state.value for status in await self.answers()]

    async def announced(self) -> list[DeploymentEvent]:
        found = await broker_commands.collect(self.settings, topics.DEPLOYMENTS, DeploymentEvent)
        return [deployment for deployment, _ in found][2:]

    def executor(self, serving: MlflowAlias | None = None, name: str = "registry") -> Executor:
        side = serving or MlflowAlias(self.mlflow.url, alias="champion", timeout_seconds=20)
        return Executor(settings=self.settings, names=TopicNames(self.settings), serving=side, name=name)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await holds():
            return
        await asyncio.sleep(0.1)
    pytest.fail("it did not come about in time")


@pytest.fixture
async def stand(mlflow: Mlflow, tansu: TansuBroker) -> Stand:
    return await Stand(mlflow, tansu).prepare()


async def until_ended(stand: Stand, n: int = 1) -> None:
    ended = {"succeeded", "failed", "noop"}

    async def holds() -> bool:
        return sum(state in ended for state in await stand.states()) >= n

    await eventually(holds)


async def test_the_alias_moves_is_read_back_and_announced_with_its_cause(stand: Stand) -> None:
    await stand.publish(topics.ROLLBACKS, stand.order())
    service = Responders(settings=stand.settings, names=TopicNames(stand.settings))  # as a worker runs it
    await service.start()
    await until_ended(stand)
    await service.stop()
    assert await stand.states() == ["accepted", "executing", "succeeded"]
    assert stand.mlflow.champion(stand.name) == "1"
    (made,) = await stand.announced()
    assert (made.model_version, made.generation, made.cause) == ("1", 3, "rollback-1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"to_version": "9"}, "version 9 of"),
        ({"expected_current_version": "1", "to_version": "9"}, "unexpected_current_version"),
        ({"generation": 1}, "generation_moved"),
    ],
    ids=["its target has vanished", "an old command", "somebody has deployed since"],
)
async def test_what_cannot_be_done_changes_nothing_and_is_answered(
    stand: Stand, changes: dict[str, Any], message: str
) -> None:
    await stand.publish(topics.ROLLBACKS, stand.order(**changes))
    executor = stand.executor()
    await executor.start()
    await until_ended(stand)
    await executor.stop()
    last = (await stand.answers())[-1]
    assert (last.state, last.current_version) == (RollbackState.FAILED, "2")
    assert message in last.message
    assert stand.mlflow.champion(stand.name) == "2"
    assert await stand.announced() == []


async def test_an_expired_command_is_left_alone(stand: Stand) -> None:
    await stand.publish(topics.ROLLBACKS, stand.order(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    executor = stand.executor()
    await executor.start()
    await executor.reconcile()
    await executor.stop()
    assert await stand.states() == []
    assert stand.mlflow.champion(stand.name) == "2"


class Dying(MlflowAlias):
    """Moves the alias, and is never heard of again."""

    def __init__(self, url: str) -> None:
        super().__init__(url, alias="champion", timeout_seconds=20)
        self.moved = asyncio.Event()

    async def switch(self, command: RollbackCommand) -> None:
        await super().switch(command)
        self.moved.set()
        await asyncio.Event().wait()


async def test_one_that_dies_after_the_switch_is_completed_by_the_next(stand: Stand) -> None:
    dying = Dying(stand.mlflow.url)
    await stand.publish(topics.ROLLBACKS, stand.order())
    first = stand.executor(dying)
    await first.start()
    await asyncio.wait_for(dying.moved.wait(), 30)
    await first.stop()
    assert await stand.states() == ["accepted", "executing"]
    second = stand.executor()
    await second.start()
    await until_ended(stand)
    await second.stop()
    assert await stand.states() == ["accepted", "executing", "succeeded"]
    assert len(await stand.announced()) == 1


class Counting(MlflowAlias):
    """Counts how often the registry is written to."""

    def __init__(self, url: str) -> None:
        super().__init__(url, alias="champion", timeout_seconds=20, transport=httpx.AsyncHTTPTransport())
        self.n_switches = 0

    async def switch(self, command: RollbackCommand) -> None:
        self.n_switches += 1
        await super().switch(command)


async def test_two_executors_at_once_end_in_one_world(stand: Stand) -> None:
    both = [stand.executor(name=f"registry-{i}") for i in range(2)]
    for executor in both:
        await executor.start()
    await stand.publish(topics.ROLLBACKS, stand.order())
    await until_ended(stand)
    for executor in both:
        await executor.stop()
    assert stand.mlflow.champion(stand.name) == "1"
    assert {state for state in await stand.states() if state not in {"accepted", "executing"}} <= {"succeeded", "noop"}
    made = await stand.announced()
    assert len({each.deployment_id for each in made}) == 1
    assert {each.model_version for each in made} == {"1"}


async def test_a_command_that_comes_twice_is_done_once(stand: Stand) -> None:
    counting = Counting(stand.mlflow.url)
    executor = stand.executor(counting)
    await executor.start()
    await stand.publish(topics.ROLLBACKS, stand.order(), stand.order())
    await until_ended(stand)
    await stand.publish(topics.ROLLBACKS, stand.order())
    await executor.reconcile()
    await executor.stop()
    assert await stand.states() == ["accepted", "executing", "succeeded"]
    assert counting.n_switches == 1


class Away(httpx.AsyncBaseTransport):
    """A network that is down until it is not."""

    def __init__(self) -> None:
        self.is_down = True
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("no route", request=request)
        return await self._network.handle_async_request(request)


async def test_a_registry_that_is_away_is_asked_again(stand: Stand) -> None:
    network = Away()
    await stand.publish(topics.ROLLBACKS, stand.order())
    executor = stand.executor(MlflowAlias(stand.mlflow.url, alias="champion", timeout_seconds=5, transport=network))
    await executor.start()
    await executor.reconcile()
    assert await stand.states() == []
    network.is_down = False
    await until_ended(stand)
    await executor.stop()
    assert await stand.states() == ["accepted", "executing", "succeeded"]


@pytest.mark.parametrize(
    ("target", "state", "message"),
    [("1", "noop", "a drill: 2 serves, and would be switched to 1"), ("9", "failed", "version 9 of")],
)
async def test_a_drill_reads_back_and_checks_and_changes_nothing(
    stand: Stand, target: str, state: str, message: str
) -> None:
    order = stand.order(mode="dry_run", is_drill=True, to_version=target)
    await stand.publish(topics.ROLLBACKS, order)
    executor = stand.executor()
    await executor.start()
    await until_ended(stand)
    await executor.stop()
    assert await stand.states() == ["accepted", state]
    assert message in (await stand.answers())[-1].message
    assert stand.mlflow.champion(stand.name) == "2"
    assert await stand.announced() == []
