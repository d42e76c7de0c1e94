"""The same log on the broker, read by one worker and by three of which one is killed: the same decisions."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers.kafka import KafkaBroker
from schemas import topics
from streams.engine.lag import LagReader
from streams.engine.processor import EVERY_PARTITION, Output
from streams.engine.publisher import Publisher
from streams.engine.topics import ensure_topics
from streams.settings import Settings, StageName
from streams.stages import STAGES
from tests.integration.engine.engine_support import make_settings, read_all
from tests.property.decisions.decision_world import (
    N_PARTITIONS,
    Course,
    Decisions,
    Log,
    Traffic,
    control_events,
    decide,
    end_of_log,
    make_log,
)
from tests.recovery.worker_process import run

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]


async def prepare(kafka: KafkaBroker, log: Log, **engine: object) -> Settings:
    """An application with its control events, and with the log on its topics."""
    settings = make_settings(kafka.bootstrap_servers, **engine)
    settings = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"events_partitions": N_PARTITIONS})}
    )
    await ensure_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(
            *(Output(topic=topic, key=b"k", value=event.to_bytes()) for topic, event in control_events())
        )
        for topic, events in log.items():
            await publisher.publish_many(
                Output(topic=topic, key=event["prediction_id"].encode(), value=json.dumps(event).encode())
                for event in events
            )
            value, headers = end_of_log()
            await publisher.publish(
                Output(topic=topic, key=None, value=value, headers=headers, partition=EVERY_PARTITION)
            )
    return settings


async def decided(settings: Settings) -> Decisions:
    """Wait for all stages, one after the other, and read what they said."""
    async with LagReader(settings) as lag:
        for stage in STAGES:
            await lag.wait_until_consumed(stage, timeout_seconds=60)
    decisions = Decisions()
    for topic in (topics.PROFILES, topics.METRICS, topics.ALERTS, topics.ROLLBACKS):
        for record in await read_all(settings, topic.name):
            decisions.take(topic.name, record.value)
    return decisions


async def test_one_worker_and_three_decide_the_same(kafka: KafkaBroker, tmp_path: Path) -> None:
    log = make_log(Traffic(seed=3))
    settings = await prepare(kafka, log, commit_max_records=20_000)
    with run(settings, tmp_path) as worker:
        alone = await decided(settings)
        await asyncio.to_thread(worker.end)

    settings = await prepare(kafka, log, commit_max_records=7, fetch_max_records=7)
    with ExitStack() as stack:
        workers = [stack.enter_context(run(settings, tmp_path)) for _ in range(3)]
        async with LagReader(settings) as lag:
            async with asyncio.timeout(40):
                while not any((await lag.positions(StageName.PROFILER)).values()):
                    await asyncio.sleep(0.02)
        workers[0].process.kill()
        together = await decided(settings)
        for worker in workers[1:]:
            await asyncio.to_thread(worker.end)
    assert together == alone
    assert alone == decide(log, Course())
