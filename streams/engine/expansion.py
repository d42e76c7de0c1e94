"""Growing topics on the broker, with a stage's state: what is asked of Kafka, step by step.

The order makes every interruption safe: the changelog grows first and the inputs last, so until all is done the counts
differ, and no worker starts; and the new state becomes true in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streams.engine import changelog
from streams.engine.changelog import COMMIT_KEY, FORMAT, CommitRecord, new_life
from streams.engine.clients import drop_producer, make_reader, start_reader, start_transactional_producer
from streams.engine.clock import Clock
from streams.engine.ends import bounds, end_offsets
from streams.engine.names import TopicNames
from streams.engine.processor import Output, Record
from streams.engine.restore import restore_state
from streams.engine.sends import Sends
from streams.engine.topics import CHANGELOG_MAX_BYTES, partition_counts
from streams.settings import Settings, StageName

__all__ = [
    "Admin",
    "NewState",
    "StoredState",
    "fence",
    "grow",
    "input_ends",
    "read_state",
    "scan",
    "topic_counts",
    "write_state",
]

Admin = AIOKafkaAdminClient

_TRANSACTION_SECONDS = 900.0
"""Kafka's own limit (transaction.max.timeout.ms); a gigabyte of state takes a fraction of it."""
_IN_FLIGHT = 200
_LONGEST_IDLE_SECONDS = 30.0


@dataclass(slots=True)
class StoredState:
    """A changelog partition: the live entries, and the last commit record."""

    entries: dict[str, bytes] = field(default_factory=dict)
    record: CommitRecord | None = None

    def take(self, key: str, value: bytes | None) -> None:
        """Take an entry in log order."""
        self.entries.pop(key, None)
        if value is not None:
            self.entries[key] = value


@dataclass(frozen=True, slots=True, kw_only=True)
class NewState:
    """What a changelog partition shall hold: entries to be written, keys to be deleted, and the commit record."""

    entries: Mapping[str, bytes]
    gone: Sequence[str]
    seq: int
    generation: int
    positions: Mapping[str, int]
    """By name in use."""


async def topic_counts(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """Return the partition counts of those topics that exist."""
    existing = set(await admin.list_topics())
    return {name: n for name, (n, _) in (await partition_counts(admin, [t for t in topics if t in existing])).items()}


async def grow(admin: AIOKafkaAdminClient, settings: Settings, topic: str, n_partitions: int) -> None:
    """Grow a topic, and wait until its new partitions answer; one that has the count already is left alone."""
    n_before = (await topic_counts(admin, [topic]))[topic]
    if n_before < n_partitions:
        await admin.create_partitions({topic: NewPartitions(total_count=n_partitions)})
    async with asyncio.timeout(settings.kafka.connect_timeout_seconds):
        while True:
            found = (await partition_counts(admin, [topic])).get(topic, (0, False))
            if found == (n_partitions, True):
                break
            await asyncio.sleep(0.05)
    await bounds(settings, [TopicPartition(topic, p) for p in range(n_partitions)])


async def input_ends(settings: Settings, topics: Sequence[str], n_partitions: int) -> dict[tuple[str, int], int]:
    """Return the end offset of each of the first so many partitions of some topics."""
    partitions = [TopicPartition(topic, p) for topic in topics for p in range(n_partitions)]
    found = await bounds(settings, partitions)
    return {(each.topic, each.partition): end for each, (_, end) in found.items()}


async def fence(settings: Settings, names: TopicNames, stage: StageName, n_partitions: int) -> None:
    """Fence every task's producer: what it left open is resolved, and nothing of it can be written any more."""
    for partition in range(n_partitions):
        producer = await start_transactional_producer(settings, names.transactional_id(stage, partition))
        await drop_producer(producer)


async def read_state(settings: Settings, names: TopicNames, stage: StageName, n_partitions: int) -> list[StoredState]:
    """Read a stage's changelog, partition by partition."""
    found = []
    for partition in range(n_partitions):
        state = StoredState()
        restored = await restore_state(
            settings,
            topic=names.changelog(stage),
            partition=partition,
            restore=state.take,
            on_progress=lambda _: None,
            clock=Clock(),
        )
        state.record = restored.record
        found.append(state)
    return found


async def scan(
    settings: Settings, topic: str, n_partitions: int, on_records: Callable[[Sequence[Record]], None]
) -> dict[int, int]:
    """Hand over everything that a topic holds now, in chunks of one partition; returns the end offsets."""
    partitions = [TopicPartition(topic, p) for p in range(n_partitions)]
    consumer: AIOKafkaConsumer = make_reader(settings, max_record_bytes=CHANGELOG_MAX_BYTES, client="scan")
    try:
        await start_reader(consumer, settings)
        ends = await end_offsets(consumer, partitions, settings)
        begins = await consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for each in partitions:
            consumer.seek(each, begins[each])
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            async with asyncio.timeout(_LONGEST_IDLE_SECONDS):
                fetched = await consumer.getmany(timeout_ms=500, max_records=5_000)
            for each, records in fetched.items():
                on_records([record for record in records if record.offset < ends[each]])
        return {each.partition: end for each, end in ends.items()}
    finally:
        await consumer.stop()


async def write_state(
    settings: Settings, names: TopicNames, stage: StageName, states: Sequence[NewState], outputs: Sequence[Output]
) -> None:
    """Make the new state of all partitions true at once, together with what the old one had still to say."""
    engine = settings.engine.model_copy(update={"transaction_timeout_seconds": _TRANSACTION_SECONDS})
    patient = settings.model_copy(update={"engine": engine})
    producer = await start_transactional_producer(patient, f"{names.group(stage)}-expand")
    try:
        await producer.begin_transaction()
        for output in outputs:
            sends = Sends(producer, names)
            await sends.output(output)
            await sends.done()
        for partition, state in enumerate(states):
            await _write_partition(producer, names, stage, partition, state)
        await producer.commit_transaction()
    finally:
        await drop_producer(producer)


async def _write_partition(
    producer: AIOKafkaProducer, names: TopicNames, stage: StageName, partition: int, state: NewState
) -> None:
    topic, sends = names.changelog(stage), Sends(producer, names)
    written: list[tuple[str, bytes | None]] = [*((key, None) for key in state.gone), *state.entries.items()]
    for number, (key, value) in enumerate(written, start=1):
        stored = None if value is None else changelog.pack(value)
        changelog.check_size(f"state key {key!r}", stored, max_bytes=CHANGELOG_MAX_BYTES)
        await sends.record(topic, changelog.state_key(key), stored, partition)
        if number % _IN_FLIGHT == 0:
            await sends.done()
    record = CommitRecord(
        format=FORMAT, seq=state.seq, generation=state.generation, positions=dict(state.positions), life=new_life()
    )
    await sends.record(topic, COMMIT_KEY, changelog.encode_commit(record), partition)
    await sends.done()
