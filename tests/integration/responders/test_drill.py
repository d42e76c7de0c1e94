"""A drill on a broker: request, governor, executor, answer; nothing changed, and what is missing is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from brokers.tansu import TansuBroker
from schemas import topics
from schemas.deployments import DeploymentEvent
from schemas.rollbacks import RollbackCommand
from streams.commands.console import CommandError
from streams.commands.drill import drill
from streams.control.view import ControlView
from streams.engine.follower import Follower
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord, Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.governor.processor import GovernorProcessor
from streams.responders.executing import Executor
from streams.settings import (
    EngineSettings,
    GovernorSettings,
    KafkaSettings,
    ProcessingGuarantee,
    Settings,
    TopicSettings,
)


class Alias:
    """A serving side that must not be touched."""

    def __init__(self) -> None:
        self.n_switches = 0
        self.problem = ""

    async def current_version(self, environment: str, model_name: str) -> str | None:
        del environment, model_name
        return "2"

    async def switch(self, command: RollbackCommand) -> None:
        self.n_switches += 1

    async def check(self, command: RollbackCommand) -> None:
        if self.problem:
            raise RuntimeError(self.problem)

    def event_time(self) -> datetime:
        return datetime.now(UTC)


class Governor:
    """The governor's own processor, fed from the topic of interventions."""

    def __init__(self, settings: Settings, control: ControlView) -> None:
        self._settings = settings
        self._harness = Harness(lambda: GovernorProcessor(partition=0, settings=settings, control=control))
        self._queue: asyncio.Queue[Record] = asyncio.Queue()
        self._follower = Follower(
            settings, TopicNames(settings), topics=[topics.INTERVENTIONS.name],
            on_record=lambda _, record: self._queue.put_nowait(record), start="end",
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._follower.start()
        await self._follower.caught_up()
        self._task = asyncio.create_task(self._decide())

    async def _decide(self) -> None:
        while True:
            r = await self._queue.get()
            record = ListRecord(
                topic=topics.INTERVENTIONS.name, offset=r.offset, timestamp=r.timestamp, key=r.key, value=r.value,
                headers=r.headers,
            )  # fmt: skip
            self._harness.add([record])
            staged = self._harness.commit()
            async with Publisher(self._settings) as publisher:
                await publisher.publish(*staged.outputs)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._follower.stop()


@pytest.fixture
async def settings(tansu: TansuBroker, request: pytest.FixtureRequest) -> Settings:
    name = f"drill{abs(hash(request.node.name)) % 100_000}"
    made = Settings(
        kafka=KafkaSettings(bootstrap_servers=tansu.bootstrap_servers),
        topics=TopicSettings(prefix=f"{name}.", events_partitions=1, models_partitions=1),
        engine=EngineSettings(application_id=name, processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE),
        governor=GovernorSettings(signing_key=SecretStr("key")),
    )
    await ensure_topics(made)
    return made


def deployments(n: int) -> list[DeploymentEvent]:
    at = datetime.now(UTC) - timedelta(days=2)
    return [
        DeploymentEvent(
            deployment_id=f"d{version}", model_name="m", model_version=str(version), generation=version,
            deployed_at=at + timedelta(hours=version),
        )
        for version in range(1, n + 1)
    ]  # fmt: skip


@pytest.fixture
async def control(settings: Settings) -> ControlView:
    view = ControlView()
    async with Publisher(settings) as publisher:
        for each in deployments(2):
            view.apply(topics.DEPLOYMENTS.name, each.to_bytes())
            await publisher.publish(Output(topic=topics.DEPLOYMENTS.name, key=b"k", value=each.to_bytes()))
    return view


@pytest.fixture
async def governor(settings: Settings, control: ControlView) -> AsyncIterator[Governor]:
    made = Governor(settings, control)
    await made.start()
    yield made
    await made.stop()


async def rehearse(settings: Settings, *, seconds: float = 15) -> None:
    await drill(settings, environment="production", model="m", actor="ada", timeout_seconds=seconds, as_json=False)


@pytest.mark.usefixtures("governor")
async def test_every_step_is_timed_and_nothing_is_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    alias = Alias()
    executor = Executor(settings=settings, names=TopicNames(settings), serving=alias, name="registry")
    await executor.start()
    await rehearse(settings)
    alias.problem = "the registry is read-only"
    with pytest.raises(CommandError, match=r"the executor registry answered failed.*read-only"):
        await rehearse(settings)
    await executor.stop()
    shown = capsys.readouterr().out
    for step in ("request is on its topic", "governor orders", "2 -> 1, signed", "would be switched to 1"):
        assert step in shown
    assert alias.n_switches == 0


@pytest.mark.usefixtures("governor")
async def test_an_executor_that_is_away_is_named(settings: Settings) -> None:
    with pytest.raises(CommandError, match="missing: executor has it"):
        await rehearse(settings, seconds=2)


async def test_a_governor_that_is_away_is_named(settings: Settings) -> None:
    with pytest.raises(CommandError, match="missing: governor orders"):
        await rehearse(settings, seconds=2)


async def test_with_one_version_there_is_nothing_to_go_back_to(settings: Settings) -> None:
    view = ControlView()
    view.apply(topics.DEPLOYMENTS.name, deployments(1)[0].to_bytes())
    governor = Governor(settings, view)
    await governor.start()
    with pytest.raises(CommandError, match="no_healthy_target"):
        await rehearse(settings)
    await governor.stop()
