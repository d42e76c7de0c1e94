"""A broker session: Apache Kafka of its own, the events on it once, and settings for every run that reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from benchmarks import events
from brokers.kafka import KafkaBroker
from schemas import topics
from schemas.base import Config, Event
from schemas.identifiers import model_key
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.references import Reference
from streams.commands.apply import monitor_key
from streams.engine.clients import open_admin
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings

N_PARTITIONS: Final = 12
_INTERLEAVED: Final = 2_000
"""Predictions, then their labels, in turns of this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Events that lie on two topics: predictions and as many labels."""

    name: str
    n_pairs: int

    @property
    def n_events(self) -> int:
        """Predictions and labels."""
        return 2 * self.n_pairs

    @property
    def predictions(self) -> str:
        """Topic of the predictions."""
        return f"{self.name}.predictions"

    @property
    def labels(self) -> str:
        """Topic of the labels."""
        return f"{self.name}.labels"


class BenchBroker(KafkaBroker):
    """Apache Kafka that waits 3 s for the members of a new group, as it does by default.

    Two processes then have half of the partitions each from their first record on.
    """

    def prepare(self) -> None:
        """Write the configuration, the wait in it."""
        super().prepare()
        with (self.folder / "server.properties").open("a") as config:
            config.write("group.initial.rebalance.delay.ms=3000\n")


@dataclass(slots=True)
class Session:
    """One broker, and what lies on it.

    Parameters
    ----------
    bootstrap_servers
        Where the broker answers.
    folder
        For state and recovery files of the programs under measurement.
    data
        The broker's data folder, where it is ours: sizes of topics are read there.
    """

    bootstrap_servers: str
    folder: Path
    data: Path | None = None
    _recordings: dict[int, Recording] = field(default_factory=dict)
    _runs: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def fresh(self, recording: Recording | None = None, **groups: Mapping[str, Any]) -> Settings:
        """Return settings of an application that has never run: its own groups, changelogs and output topics."""
        number = next(self._runs)
        run = f"run{number}"
        given: dict[str, dict[str, Any]] = {
            "kafka": {"bootstrap_servers": self.bootstrap_servers},
            "topics": {"prefix": f"{run}.", "events_partitions": N_PARTITIONS},
            "engine": {"application_id": f"bench-{run}"},
            "log": {"format": "json"},
        }
        if recording is not None:
            given["topics"]["overrides"] = {
                topics.PREDICTIONS.name: recording.predictions,
                topics.LABELS.name: recording.labels,
            }
        for group, values in groups.items():
            given.setdefault(group, {}).update(values)
        return Settings.model_validate(given)

    async def record(self, n_pairs: int) -> Recording:
        """Put n predictions and their labels on topics of their own, once for a session."""
        if n_pairs in self._recordings:
            return self._recordings[n_pairs]
        recording = self._recordings[n_pairs] = Recording(name=f"bench{n_pairs}", n_pairs=n_pairs)
        settings = self.fresh(recording)
        wanted = [topics.PREDICTIONS, topics.LABELS]
        await ensure_topics(settings, TopicNames(settings), stages=(), topics=wanted)
        async with Publisher(settings) as publisher:
            drawn = events.events(n_pairs)
            while turn := list(islice(drawn, _INTERLEAVED)):
                await publisher.publish_many(
                    Output(topic=topics.PREDICTIONS.name, key=key, value=value) for key, value, _ in turn
                )
                await publisher.publish_many(
                    Output(topic=topics.LABELS.name, key=key, value=value) for key, _, value in turn
                )
        return recording

    async def apply(
        self,
        settings: Settings,
        *,
        specs: Iterable[ModelSpec] = (),
        monitors: Iterable[Monitor] = (),
        references: Iterable[Reference] = (),
    ) -> None:
        """Create an application's topics, and publish what is to be watched."""
        await ensure_topics(settings, TopicNames(settings))
        async with Publisher(settings) as publisher:
            await publisher.publish_many(
                [
                    *(_said(topics.MODELS.name, model_key(s.environment, s.model_name), s) for s in specs),
                    *(_said(topics.MONITORS.name, monitor_key(m), m) for m in monitors),
                    *(_said(topics.REFERENCES.name, r.reference_id, r) for r in references),
                ]
            )

    async def create(self, name: str, n_partitions: int = N_PARTITIONS) -> None:
        """Create a topic with the broker's defaults."""
        admin = await open_admin(self.fresh())
        try:
            await admin.create_topics([NewTopic(name, n_partitions, 1)])
            while True:
                (described,) = await admin.describe_topics([name])
                if not described["error_code"] and len(described["partitions"]) == n_partitions:
                    return
                await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def topic_bytes(self, name: str) -> int | None:
        """Bytes of a topic's log on the broker's disk; None where the broker is not ours."""
        if self.data is None:
            return None
        return sum(log.stat().st_size for log in self.data.glob(f"{name}-[0-9]*/*.log"))


def _said(topic: str, key: str, event: Config | Event) -> Output:
    return Output(topic=topic, key=key.encode(), value=event.to_bytes())


def environment(settings: Settings) -> dict[str, str]:
    """Settings as the variables that a worker reads; those that were not given are left to their defaults."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    return {
        f"PLUMBLINE_{group}_{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for group, values in given.items()
        for name, value in values.items()
    }


async def read_topic(bootstrap_servers: str, topic: str, n_partitions: int = 1) -> list[Any]:
    """Everything that a topic holds now, in committed transactions: aiokafka's ConsumerRecords."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, each) for each in range(n_partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()
