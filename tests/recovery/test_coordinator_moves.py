"""A coordinator that moves to another broker: the node that held the group and its transactions is killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from brokers.kafka import KafkaBroker, missing_tool
from brokers.process import HOST
from schemas import topics
from streams.engine.clients import open_admin
from streams.engine.lag import LagReader
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import (
    PREDICTIONS,
    PROFILES,
    CountingProcessor,
    check_chain,
    make_settings,
    read_all,
    seen_offsets,
)

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
PROFILER = StageName.PROFILER
_TOPICS = (topics.PREDICTIONS, topics.LABELS, topics.PROFILES, topics.DEAD_LETTERS)
_GROUPS, _TRANSACTIONS = 0, 1
# The ids of the two tasks differ in their last character, so their transactions lie on neighbouring partitions, and
# each pair of partitions has a leader on either node. Of four, every other cluster has no two neighbours on the second.
_TWO = """
offsets.topic.replication.factor=2
transaction.state.log.replication.factor=2
transaction.state.log.num.partitions=32
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class First(KafkaBroker):
    """The node that stays: broker and controller; internal topics on two nodes."""

    def prepare(self) -> None:
        super().prepare()
        with (self.folder / "server.properties").open("a") as config:
            config.write(_TWO)

    @property
    def controller_port(self) -> int:
        return self._controller_port

    @property
    def cluster_id(self) -> str:
        lines = (self.folder / "data" / "meta.properties").read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))


class Second(KafkaBroker):
    """The node that goes: a broker of the first one's cluster."""

    def __init__(self, folder: Path, first: First) -> None:
        super().__init__(folder)
        self._first = first

    def properties(self, data: Path) -> str:
        first = f"1@{HOST}:{self._first.controller_port}"
        lines = super().properties(data).splitlines()
        kept = [line for line in lines if not line.startswith(("process.roles", "node.id", "controller.quorum"))]
        listeners = f"PLAINTEXT://{HOST}:{self.port}"
        kept = [f"listeners={listeners}" if line.startswith("listeners=") else line for line in kept]
        own = f"process.roles=broker\nnode.id=2\ncontroller.quorum.voters={first}"
        return "\n".join([*kept, own]) + _TWO

    def new_cluster_id(self) -> str:
        return self._first.cluster_id


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[First, Second]]:
    if (missing := missing_tool()) is not None:
        reason = f"needs Apache Kafka: `{missing}` is not installed (Java 17 and Maven)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with First(tmp_path / "first") as first, Second(tmp_path / "second", first) as second:
        yield first, second


async def coordinators(admin: AIOKafkaAdminClient, settings: Settings) -> set[int]:
    """Nodes that coordinate the stage's group and the transactions of its two tasks."""
    names = TopicNames(settings)
    group = names.group(PROFILER)
    asked = [(group, _GROUPS)] + [(names.transactional_id(PROFILER, p), _TRANSACTIONS) for p in range(2)]
    async with asyncio.timeout(30):
        while True:
            try:
                return {await admin.find_coordinator(name, kind) for name, kind in asked}
            except KafkaError:  # the internal topics are being made
                await asyncio.sleep(0.1)


async def application(first: First, second: Second) -> Settings:
    """An application whose group and transactions are coordinated by the second node, its topics on both."""
    servers = f"{first.bootstrap_servers},{second.bootstrap_servers}"
    admin = await open_admin(make_settings(servers))
    try:
        async with asyncio.timeout(
            30
        ):  # a node answers before it may lead: then all internal topics would be the first's
            while len((await admin.describe_cluster())["brokers"]) < 2:
                await asyncio.sleep(0.1)
        for _ in range(200):
            settings = make_settings(servers, session_timeout_seconds=6.0)
            if await coordinators(admin, settings) == {2}:
                break
        else:
            pytest.fail("no application of two hundred has all its coordinators on the second node")
    finally:
        await admin.close()
    settings = settings.model_copy(update={"topics": settings.topics.model_copy(update={"replication_factor": 2})})
    await ensure_topics(settings, stages=[PROFILER], topics=_TOPICS)
    return settings


async def publish(settings: Settings, first: int, n: int) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish_many(
            Output(topic=PREDICTIONS, key=b"%d" % i, value=b"x", partition=i % 2) for i in range(first, first + n)
        )


async def consumed(settings: Settings) -> None:
    async with LagReader(settings) as lag:
        await lag.wait_until_consumed(PROFILER, timeout_seconds=60)


async def test_group_and_transactions_go_on_at_another_node(cluster: tuple[First, Second]) -> None:
    first, second = cluster
    settings = await application(first, second)
    runner = StageRunner(PROFILER, settings, TopicNames(settings), CountingProcessor)
    await runner.start()
    await publish(settings, 0, 200)
    await consumed(settings)
    second.kill()
    await publish(settings, 200, 200)
    await consumed(settings)
    await runner.stop()
    admin = await open_admin(settings)
    assert await coordinators(admin, settings) == {1}
    await admin.close()
    profiles = await read_all(settings, PROFILES)
    check_chain(profiles)
    assert seen_offsets(profiles) == {(p, PREDICTIONS, offset): 1 for p in range(2) for offset in range(200)}
