"""Topics that change under a running stage: it ends, and says which topic and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from brokers.kafka import KafkaBroker
from schemas import topics
from streams.engine.clients import open_admin
from streams.engine.errors import TopicLayoutError
from streams.engine.lag import LagReader
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import LABELS, PREDICTIONS, CountingProcessor, make_settings

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
PROFILER = StageName.PROFILER
_TOPICS = (topics.PREDICTIONS, topics.LABELS, topics.PROFILES, topics.DEAD_LETTERS)


@asynccontextmanager
async def running(kafka: KafkaBroker) -> AsyncIterator[tuple[Settings, StageRunner, AIOKafkaAdminClient]]:
    """A stage at work, and an administrator."""
    settings = make_settings(kafka.bootstrap_servers, layout_check_interval_seconds=0.5)
    await ensure_topics(settings, stages=[PROFILER], topics=_TOPICS)
    runner = StageRunner(PROFILER, settings, TopicNames(settings), CountingProcessor)
    admin = await open_admin(settings)
    async with Publisher(settings) as publisher, LagReader(settings) as lag:
        await publisher.publish_many(Output(topic=PREDICTIONS, key=b"%d" % i, value=b"x") for i in range(20))
        await runner.start()
        await lag.wait_until_consumed(PROFILER, timeout_seconds=30)
    try:
        yield settings, runner, admin
    finally:
        await admin.close()
        await runner.stop()


@pytest.mark.parametrize("which", ["one input", "all inputs", "changelog"])
async def test_a_topic_that_is_deleted_ends_the_stage(kafka: KafkaBroker, which: str) -> None:
    async with running(kafka) as (settings, runner, admin):
        names = TopicNames(settings)
        inputs = [names.in_use(LABELS), names.in_use(PREDICTIONS)]
        gone = {"one input": inputs[:1], "all inputs": inputs, "changelog": [names.changelog(PROFILER)]}[which]
        await admin.delete_topics(gone)
        # The group notices some of it first, and says which topics it still has.
        said = r"topic '.*' is gone: it was deleted while stage profiler ran|came with topics .* a topic was deleted"
        with pytest.raises(TopicLayoutError, match=said):
            await asyncio.wait_for(runner.wait(), 20)


async def test_partitions_that_are_added_end_the_stage_and_are_refused_at_the_next_start(kafka: KafkaBroker) -> None:
    async with running(kafka) as (settings, runner, admin):
        grown = {TopicNames(settings).in_use(topic): NewPartitions(total_count=3) for topic in (PREDICTIONS, LABELS)}
        await admin.create_partitions(grown)
        with pytest.raises(TopicLayoutError, match=r"has 3 partitions now: expected 2|expected 2 partitions of"):
            await asyncio.wait_for(runner.wait(), 20)
        with pytest.raises(TopicLayoutError, match="has 3 partitions, expected 2"):
            await ensure_topics(settings, stages=[PROFILER], topics=_TOPICS)
