"""Reads topics from the beginning to the end they had at the start, and then goes on following them.

No group, no commits: every follower sees everything. Control events, responders, the CLI and the demo use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import topics as table
from streams.engine.clients import make_reader, start_reader
from streams.engine.ends import end_offsets
from streams.engine.errors import FetchError
from streams.engine.processor import Record
from streams.engine.topics import TopicNames
from streams.settings import Settings

_CHUNK_RECORDS: Final = 500
_MAX_BYTES: Final = max(topic.max_message_bytes for topic in table.TOPICS)


class Follower:
    """Follows topics of the table.

    Parameters
    ----------
    settings, names
        Where the topics are.
    topics
        Names in the topic table.
    on_record
        Called with the table's name and the record, in log order within a partition. An exception ends the
        follower and is raised by `wait` and `caught_up`.
    start
        `beginning`, or `end` for what comes from now on.
    merged
        Hand over what was there at the start in the order in which it was appended, across topics; it is held in
        memory for that, so only for topics that are small.
    """

    def __init__(
        self,
        settings: Settings,
        names: TopicNames,
        *,
        topics: Sequence[str],
        on_record: Callable[[str, Record], None],
        start: Literal["beginning", "end"] = "beginning",
        merged: bool = False,
    ) -> None:
        self._settings = settings
        self._names = names
        self._topics = tuple(topics)
        self._on_record = on_record
        self._start = start
        self._merged = merged
        self._held: list[tuple[int, int, str, Record]] = []
        self._ends: dict[TopicPartition, int] = {}
        self._caught_up = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Capture the ends and begin to read; returns before anything is read."""
        consumer = make_reader(self._settings, max_record_bytes=_MAX_BYTES, client="follower")
        try:
            await start_reader(consumer, self._settings)
            await self._assign(consumer)
        except BaseException:
            await consumer.stop()
            raise
        self._reading = asyncio.create_task(self._read(consumer), name=f"follower of {', '.join(self._topics)}")

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        partitions = [
            TopicPartition(self._names.in_use(topic.name), partition)
            for topic in table.TOPICS
            if topic.name in self._topics
            for partition in range(self._names.n_partitions(topic.spread))
        ]
        self._ends = await end_offsets(consumer, partitions, self._settings)
        first = self._ends if self._start == "end" else await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, first[partition])

    async def caught_up(self) -> None:
        """Wait until everything that was there at the start has been handed over."""
        waiting = asyncio.create_task(self._caught_up.wait())
        try:
            await asyncio.wait({waiting, self._task()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self._caught_up.is_set():
            await self._task()

    async def wait(self) -> None:
        """Wait until it ends: by `stop`, or by an error, which is raised."""
        await asyncio.wait({self._task()})
        if not self._task().cancelled():
            await self._task()

    async def stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _task(self) -> asyncio.Task[None]:
        if self._reading is None:
            msg = "the follower is not started: expected start() first"
            raise FetchError(msg)
        return self._reading

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                await self._check_caught_up(consumer)
                fetched = await consumer.getmany(timeout_ms=50, max_records=_CHUNK_RECORDS)
                for partition, records in fetched.items():
                    self._hand_over(self._names.table(partition.topic), records)
                if fetched:
                    await asyncio.sleep(0)  # getmany does not give way while it has records at hand
        except KafkaError as error:
            msg = f"following {', '.join(self._topics)} failed: {error!r}"
            raise FetchError(msg) from error
        finally:
            await consumer.stop()

    async def _check_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        if self._caught_up.is_set():
            return
        for partition, end in self._ends.items():
            if await consumer.position(partition) < end:
                return
        self._held.sort(key=lambda each: each[:2])
        for _, _, topic, record in self._held:
            self._on_record(topic, record)
        self._held.clear()
        self._caught_up.set()

    def _hand_over(self, topic: str, records: Sequence[Record]) -> None:
        if self._merged and not self._caught_up.is_set():
            rank = self._topics.index(topic)
            self._held += [(record.timestamp, rank, topic, record) for record in records]
            return
        for record in records:
            self._on_record(topic, record)
