"""SIGTERM ends a worker within five seconds whatever it is at, and costs nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from brokers.kafka import KafkaBroker
from streams.engine.changelog import pack, state_key
from streams.engine.clients import open_admin, start_producer
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import LABELS, PREDICTIONS
from tests.recovery.transactions import wait_for_transaction
from tests.recovery.worker_process import run
from tests.recovery.world import make_world

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
PROFILER = StageName.PROFILER


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


async def test_with_the_broker_frozen(kafka: KafkaBroker, tmp_path: Path) -> None:
    """With the broker dead: see `test_broker_away`."""
    async with make_world(kafka, tmp_path) as world:
        with world.worker() as worker:
            await world.under_load(worker)
            kafka.kill(signal.SIGSTOP)
            try:
                assert await asyncio.to_thread(worker.end) in {0, 1}, worker.said
            finally:
                kafka.kill(signal.SIGCONT)
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
