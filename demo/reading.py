"""Reads topics to the ends that they have at each call: the demo looks at decisions between its steps alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import TOPICS
from streams.engine.clients import make_reader
from streams.engine.lag import LagReader
from streams.engine.processor import Record
from streams.engine.topics import TopicNames
from streams.settings import Settings

_RECORD_BYTES: Final = max(topic.max_message_bytes for topic in TOPICS)


class TopicReader:
    """Reads topics to the ends that they have at each call; no group, no commits.

    Parameters
    ----------
    settings, names
        Where the topics are.
    topic_names
        Names in the topic table.
    lag
        Knows where logs end.
    """

    def __init__(self, settings: Settings, names: TopicNames, topic_names: Sequence[str], lag: LagReader) -> None:
        self._names = names
        self._topics = tuple(topic_names)
        self._lag = lag
        self._consumer: AIOKafkaConsumer = make_reader(settings, max_record_bytes=_RECORD_BYTES, client="demo")

    async def start(self, *, at_end: bool = False) -> None:
        """Connect, and stand at the beginning or at the end."""
        ends = await self._ends()
        await self._consumer.start()
        self._consumer.assign(list(ends))
        first = ends if at_end else await self._consumer.beginning_offsets(list(ends))
        for partition in ends:
            self._consumer.seek(partition, first[partition])

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def read_to_end(self) -> list[tuple[str, Record]]:
        """Everything up to the ends as they are now; topic by topic in the given order."""
        ends = await self._ends()
        found: dict[str, list[Record]] = {name: [] for name in self._topics}
        while [each for each, end in ends.items() if await self._consumer.position(each) < end]:
            for partition, records in (await self._consumer.getmany(timeout_ms=50, max_records=5_000)).items():
                found[self._names.table(partition.topic)] += records
        return [(name, record) for name, records in found.items() for record in records]

    async def _ends(self) -> dict[TopicPartition, int]:
        ends = await self._lag.ends(self._topics)
        return {TopicPartition(self._names.in_use(name), partition): end for (name, partition), end in ends.items()}
