"""SIGTERM ends a worker within five seconds whatever it is at, and costs nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from brokers.kafka import KafkaBroker
from streams.engine.changelog import pack, state_key
from streams.engine.clients import open_admin, start_producer
from streams.engine.lag import LagReader
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import LABELS, PREDICTIONS, PROFILES, make_settings, read_all
from tests.recovery.test_fault_points import wait_for_transaction
from tests.recovery.worker_process import WorkerProcess, n_counted, predictions, run

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
PROFILER = StageName.PROFILER
N_LOAD = 10_000


class World:
    """An application, and what was sent to it."""

    def __init__(self, kafka: KafkaBroker, publisher: Publisher, settings: Settings, tmp_path: Path) -> None:
        self.kafka = kafka
        self.settings = settings
        self.tmp_path = tmp_path
        self.n_sent = 0
        self._publisher = publisher

    def worker(self) -> Any:
        return run(self.settings, self.tmp_path, "--stage", PROFILER.value)

    async def send(self, n: int) -> None:
        await self._publisher.publish_many(predictions(self.n_sent, n))
        self.n_sent += n

    async def under_load(self, worker: WorkerProcess) -> None:
        """Return while it works: it has committed some of the load, and there is more."""
        await asyncio.to_thread(worker.wait_until_ready)
        n_before = await self.n_profiles()
        sending = asyncio.create_task(self.send(N_LOAD))
        async with asyncio.timeout(20):
            while await self.n_profiles() == n_before:
                await asyncio.sleep(0.01)
        await sending

    async def n_profiles(self) -> int:
        partition = TopicPartition(TopicNames(self.settings).in_use(PROFILES), 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await consumer.start()
        try:
            ends: dict[TopicPartition, int] = await consumer.end_offsets([partition])
            return ends[partition]
        finally:
            await consumer.stop()

    async def check(self) -> None:
        """A last worker counts what is left, ends in order, and the sum is what was sent."""
        with self.worker() as worker:
            async with LagReader(self.settings) as lag:
                await lag.wait_until_consumed(PROFILER, timeout_seconds=60)
            assert await asyncio.to_thread(worker.end) == 0, worker.said
        assert n_counted(await read_all(self.settings, PROFILES)) == self.n_sent


@asynccontextmanager
async def make_world(kafka: KafkaBroker, tmp_path: Path, **engine: Any) -> AsyncIterator[World]:
    settings = make_settings(
        kafka.bootstrap_servers, **{"commit_max_records": 500, "group_instance_id": "one", **engine}
    )
    await ensure_topics(settings)
    async with Publisher(settings) as publisher:
        yield World(kafka, publisher, settings, tmp_path)


async def test_under_load_it_leaves_no_transaction_open(kafka: KafkaBroker, tmp_path: Path) -> None:
    async with make_world(kafka, tmp_path) as world:
        with world.worker() as worker:
            await world.under_load(worker)
            assert await asyncio.to_thread(worker.end) == 0, worker.said
            assert "worker_stopped" in worker.said
        await wait_for_transaction(world.settings, is_open=False)
        await world.check()


class Holding(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member that keeps a rebalance waiting, once it has partitions to give up."""

    def __init__(self) -> None:
        self.joined = asyncio.Event()
        self.release = asyncio.Event()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if self.joined.is_set():
            await self.release.wait()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.joined.set()


@asynccontextmanager
async def member(settings: Settings, listener: Holding) -> AsyncIterator[None]:
    names = TopicNames(settings)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        group_id=names.group(PROFILER),
        partition_assignment_strategy=(RangePartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="latest",
    )
    consumer.subscribe([names.in_use(PREDICTIONS), names.in_use(LABELS)], listener=listener)
    starting = asyncio.create_task(consumer.start())
    try:
        yield
    finally:
        listener.release.set()
        await asyncio.wait({starting}, timeout=10)
        starting.cancel()
        await consumer.stop()


async def test_while_a_rebalance_waits_for_somebody_else(kafka: KafkaBroker, tmp_path: Path) -> None:
    async with make_world(kafka, tmp_path) as world:
        holding = Holding()
        with world.worker() as worker:
            await world.under_load(worker)
            async with member(world.settings, holding):
                await asyncio.wait_for(holding.joined.wait(), 20)
                async with member(world.settings, Holding()):
                    await _until_rebalancing(world.settings)
                    assert await asyncio.to_thread(worker.end) in {0, 1}, worker.said
                    holding.release.set()
        await world.check()


async def _until_rebalancing(settings: Settings) -> None:
    admin = await open_admin(settings)
    group = TopicNames(settings).group(PROFILER)
    try:
        async with asyncio.timeout(20):
            while True:
                (answer,) = await admin.describe_consumer_groups([group])
                if answer.groups[0][2] == "PreparingRebalance":
                    return
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_with_the_broker_frozen_and_with_the_broker_dead(kafka: KafkaBroker, tmp_path: Path) -> None:
    async with make_world(kafka, tmp_path) as world:
        with world.worker() as worker:
            await world.under_load(worker)
            kafka.kill(signal.SIGSTOP)
            try:
                assert await asyncio.to_thread(worker.end) in {0, 1}, worker.said
            finally:
                kafka.kill(signal.SIGCONT)
        with world.worker() as worker:
            await world.under_load(worker)
            kafka.kill()
            try:
                assert await asyncio.to_thread(worker.end) in {0, 1}, worker.said
            finally:
                await asyncio.to_thread(kafka.start)
        await world.check()


async def test_while_it_restores(kafka: KafkaBroker, tmp_path: Path) -> None:
    """Thirty entries, of which each takes a quarter of a second: the loop hardly ever turns."""
    async with make_world(kafka, tmp_path) as world:
        producer = await start_producer(world.settings)
        for number in range(30):
            key, value = state_key(f"{number}"), pack(b"1")
            name = TopicNames(world.settings).changelog(PROFILER)
            await producer.send_and_wait(name, key=key, value=value, partition=number % 2)
        await producer.stop()
        command = [sys.executable, "-m", "tests.recovery.slow_restore"]
        with run(world.settings, tmp_path, command=command) as worker:
            await asyncio.to_thread(worker.wait_until_said, "worker_started")
            async with asyncio.timeout(20):
                while "%" not in worker.get("/readyz")[1] or " 0%" in worker.get("/readyz")[1]:
                    await asyncio.sleep(0.05)
            assert await asyncio.to_thread(worker.end) in {0, 1}, worker.said
