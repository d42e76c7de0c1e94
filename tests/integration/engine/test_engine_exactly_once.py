"""Exactly once on Apache Kafka: commits that fail anywhere, owners that change, brokers that stop answering."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from engine_support import (
    LABELS,
    PREDICTIONS,
    PROFILES,
    CountingProcessor,
    check_chain,
    make_settings,
    read_all,
    seen_offsets,
)

from brokers.kafka import KafkaBroker
from streams import telemetry
from streams.engine.clients import start_transactional_producer
from streams.engine.errors import EngineError, PositionError, TooManyTaskLossesError, TopicLayoutError
from streams.engine.lag import LagReader
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, describe_topics, ensure_topics
from streams.settings import Settings, StageName

pytestmark = pytest.mark.kafka
PROFILER = StageName.PROFILER


class World:
    """A broker's application of its own: publish, run, wait, look."""

    def __init__(self, settings: Settings, publisher: Publisher, lag: LagReader) -> None:
        self.settings = settings
        self.names = TopicNames(settings)
        self.publisher = publisher
        self.lag = lag
        self.n_published = 0
        self.processors: list[CountingProcessor] = []

    def runner(self, **more: Any) -> StageRunner:
        def make(partition: int) -> CountingProcessor:
            self.processors.append(CountingProcessor(partition, **more))
            return self.processors[-1]

        return StageRunner(PROFILER, self.settings, self.names, make)

    async def publish(self, n: int) -> None:
        for topic in (PREDICTIONS, LABELS):
            outputs = [Output(topic=topic, key=b"%d" % (self.n_published + i), value=b"x" * 100) for i in range(n)]
            await self.publisher.publish_many(outputs)
        self.n_published += n

    async def consumed(self) -> None:
        await self.lag.wait_until_consumed(PROFILER, timeout_seconds=30)

    async def check(self) -> list[Record]:
        profiles = await read_all(self.settings, PROFILES)
        check_chain(profiles)
        seen = seen_offsets(profiles)
        assert len(seen) == 2 * self.n_published
        assert set(seen.values()) == {1}
        return profiles


@asynccontextmanager
async def make_world(kafka: KafkaBroker, **engine: Any) -> AsyncIterator[World]:
    settings = make_settings(kafka.bootstrap_servers, **engine)
    await ensure_topics(settings)
    async with Publisher(settings) as publisher, LagReader(settings) as lag:
        yield World(settings, publisher, lag)


def failing(original: Callable[..., Any], *, after: bool, calls: set[int]) -> Callable[..., Any]:
    """Wrap a producer's method so that some of its calls fail, before or after they did their work."""
    n_calls = 0

    async def wrapper(self: AIOKafkaProducer, *args: Any, **kwargs: Any) -> Any:
        nonlocal n_calls
        if self._txn_manager is None or self._txn_manager.transactional_id is None:
            return await original(self, *args, **kwargs)
        n_calls += 1
        number = n_calls
        if number in calls and not after:
            raise KafkaError("injected, before")
        result = await original(self, *args, **kwargs)
        if number in calls:
            raise KafkaError("injected, after")
        return result

    return wrapper


@pytest.mark.parametrize(
    ("method", "after"),
    [
        ("send", False),
        ("send", True),
        ("send_offsets_to_transaction", False),
        ("send_offsets_to_transaction", True),
        ("commit_transaction", False),
        ("commit_transaction", True),
    ],
)
async def test_a_commit_that_fails_anywhere_changes_nothing_twice(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    async with make_world(kafka) as world:
        await world.publish(200)
        original = getattr(AIOKafkaProducer, method)
        monkeypatch.setattr(AIOKafkaProducer, method, failing(original, after=after, calls={2, 5}))
        runner = world.runner()
        await runner.start()
        await world.consumed()
        for _ in range(3):
            await world.publish(50)
            await world.consumed()
        await runner.stop()
        await world.check()
        assert len(world.processors) > 2  # tasks were lost, and made anew


async def test_a_restart_resumes_from_the_changelog(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        for _ in range(2):
            await world.publish(100)
            runner = world.runner()
            await runner.start()
            await runner.wait_until_ready()
            await world.consumed()
            await runner.stop()
        await world.check()
        assert sum(processor.total for processor in world.processors[-2:]) == 400
        assert any(processor.n_restored for processor in world.processors[-2:])


async def test_two_runners_share_the_partitions_and_hand_them_over(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        first, second = world.runner(), world.runner()
        await first.start()
        await first.wait_until_ready()
        await world.publish(300)
        publishing = asyncio.create_task(publish_steadily(world))
        await second.start()
        await second.wait_until_ready()
        await until(lambda: len(first.task_states) == 1 and len(second.task_states) == 1 and first.is_ready)
        assert set(first.task_states) | set(second.task_states) == {0, 1}
        await first.stop()
        await until(lambda: len(second.task_states) == 2 and second.is_ready)
        await publishing
        await world.consumed()
        await second.stop()
        await world.check()


async def publish_steadily(world: World) -> None:
    for _ in range(40):
        await world.publish(20)


async def until(condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    """Wait for a condition of this process; polled, with a deadline."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_stale_owner_is_fenced_and_comes_back_as_it_should(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        await world.publish(50)
        runner = world.runner()
        await runner.start()
        await world.consumed()
        losses = telemetry.TASK_LOSSES.labels(stage="profiler", reason="ProducerFenced")._value.get()
        usurpers = [
            await start_transactional_producer(world.settings, world.names.transactional_id(PROFILER, partition))
            for partition in (0, 1)
        ]
        await world.publish(50)
        await world.consumed()
        await runner.stop()
        for usurper in usurpers:
            await usurper.stop()
        await world.check()
        assert telemetry.TASK_LOSSES.labels(stage="profiler", reason="ProducerFenced")._value.get() > losses


async def test_a_fenced_owner_does_not_fence_the_next_one_while_the_group_rebalances(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        await world.publish(50)
        runner = world.runner()
        await runner.start()
        await world.consumed()
        lost = telemetry.TASK_LOSSES.labels(stage="profiler", reason="ProducerFenced")._value
        n_lost = lost.get()
        task = runner._tasks[0]
        next_owner = await start_transactional_producer(world.settings, world.names.transactional_id(PROFILER, 0))
        await world.publish(50)
        await until(lambda: lost.get() > n_lost)
        task.suspend()
        turned = task.beat
        await until(lambda: task.beat > turned + 1.5)  # past its first retry
        await next_owner.begin_transaction()
        await next_owner.send_and_wait(world.names.in_use(PROFILES), b"{}", partition=0)
        await next_owner.abort_transaction()
        await next_owner.stop()
        task.resume()
        await world.consumed()
        await runner.stop()
        await world.check()


async def test_a_broker_that_stops_answering_delays_and_duplicates_nothing(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        await world.publish(100)
        runner = world.runner()
        await runner.start()
        await world.consumed()
        publishing = asyncio.create_task(world.publish(500))
        kafka.kill(signal.SIGSTOP)
        try:
            await asyncio.sleep(2.0)  # the outage itself, not a wait for something
        finally:
            kafka.kill(signal.SIGCONT)
        await publishing
        await world.consumed()
        await runner.stop()
        await world.check()


async def test_a_task_that_is_lost_too_often_ends_the_runner(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_world(kafka, max_task_losses=2) as world:
        await world.publish(10)
        every = failing(AIOKafkaProducer.commit_transaction, after=False, calls=set(range(1_000)))
        monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", every)
        runner = world.runner()
        await runner.start()
        with pytest.raises(TooManyTaskLossesError, match="expected at most 2"):
            await asyncio.wait_for(runner.wait(), 20)
        await runner.stop()


async def test_a_group_ahead_of_the_changelog_is_refused(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        await world.publish(10)
        producer = await start_transactional_producer(world.settings, "by-hand")
        await producer.begin_transaction()
        from aiokafka import TopicPartition

        offsets = {TopicPartition(world.names.in_use(PREDICTIONS), 0): 5}
        await producer.send_offsets_to_transaction(offsets, world.names.group(PROFILER))
        await producer.commit_transaction()
        await producer.stop()
        runner = world.runner()
        await runner.start()
        with pytest.raises(PositionError, match="committed offset 5 is ahead of the changelog's 0"):
            await asyncio.wait_for(runner.wait(), 20)
        await runner.stop()


async def test_what_is_in_an_open_transaction_is_waited_for(kafka: KafkaBroker) -> None:
    async with make_world(kafka) as world:
        runner = world.runner()
        await runner.start()
        await world.publish(10)
        await world.consumed()
        producer = await start_transactional_producer(world.settings, f"{world.names.group(PROFILER)}-source")
        await producer.begin_transaction()
        for topic in (PREDICTIONS, LABELS):
            await producer.send_and_wait(world.names.in_use(topic), b"x", key=b"k", partition=0)
        # A reader of committed records sees an end that leaves these two out, and so would not wait for them.
        with pytest.raises(EngineError, match="stage profiler has consumed"):
            await world.lag.wait_until_consumed(PROFILER, timeout_seconds=0.3)
        await producer.commit_transaction()
        await world.consumed()
        await producer.stop()
        await runner.stop()
        world.n_published += 1
        await world.check()


async def test_topics_are_made_once_and_a_wrong_partition_count_is_refused(kafka: KafkaBroker) -> None:
    settings = make_settings(kafka.bootstrap_servers)
    created = await ensure_topics(settings)
    assert len(created) == 21
    assert await ensure_topics(settings) == []
    assert all(each.fits for each in await describe_topics(settings))
    other = settings.model_copy(update={"topics": settings.topics.model_copy(update={"events_partitions": 5})})
    with pytest.raises(TopicLayoutError, match="has 2 partitions, expected 5: set PLUMBLINE_TOPICS_EVENTS_PARTITIONS"):
        await ensure_topics(other)
    wrong = [each for each in await describe_topics(other) if not each.fits]
    assert {each.table_name for each in wrong} >= {PREDICTIONS, LABELS}
