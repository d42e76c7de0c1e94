"""An application on the broker: events sent to it, workers that count them, and the sum at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from brokers.kafka import KafkaBroker
from streams.engine.lag import LagReader
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import PROFILES, make_settings, read_all
from tests.recovery.worker_process import WorkerProcess, n_counted, predictions, run

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

    def worker(self, stage: StageName = PROFILER) -> AbstractContextManager[WorkerProcess]:
        return run(self.settings, self.tmp_path, "--stage", stage.value)

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
            await asyncio.to_thread(worker.wait_until_ready)
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
