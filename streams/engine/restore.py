"""Reads a task's changelog to its end: the state by key, and the last commit record."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.changelog import COMMIT_KEY, CommitRecord, decode_commit, parse_state_key, unpack
from streams.engine.clients import make_reader, start_reader
from streams.engine.clock import Clock
from streams.engine.ends import end_offsets
from streams.engine.topics import CHANGELOG_MAX_BYTES
from streams.local.errors import UnusableStateError
from streams.settings import Settings

YIELD_SECONDS: Final = 0.05
_CHUNK_RECORDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a changelog held.

    Attributes
    ----------
    record
        The last commit record; None on a changelog that has none yet.
    end
        End offset of the changelog when it was read.
    record_at
        Its offset; -1 without one.
    n_entries
        State entries that were read, superseded ones among them.
    """

    record: CommitRecord | None
    record_at: int
    end: int
    n_entries: int


async def restore_state(
    settings: Settings,
    *,
    topic: str,
    partition: int,
    restore: Callable[[str, bytes | None], None],
    on_progress: Callable[[float], None],
    clock: Clock,
    start: int | None = None,
) -> Restored:
    """Feed every entry of a changelog partition to `restore`, in log order.

    It gives way to the others every 50 ms; `on_progress` takes the share that is done, and is called every time.

    Parameters
    ----------
    settings, topic, partition
        Whose changelog.
    restore
        Takes key and value.
    on_progress, clock
        See above.
    start
        Offset to begin from; the first one without.

    Raises
    ------
    UnusableStateError
        Where `start` lies outside the log.
    """
    consumer = make_reader(settings, max_record_bytes=CHANGELOG_MAX_BYTES, client="restore")
    await start_reader(consumer, settings)
    try:
        changelog = TopicPartition(topic, partition)
        end = (await end_offsets(consumer, [changelog], settings))[changelog]
        begin = (await consumer.beginning_offsets([changelog]))[changelog]
        if start is not None:
            if not begin <= start < end:
                msg = f"position {start} in {topic}, partition {partition}: expected one from {begin} to {end - 1}"
                raise UnusableStateError(msg)
            begin = start
        consumer.assign([changelog])
        consumer.seek(changelog, begin)
        return await _read(
            consumer, changelog, begin=begin, end=end, restore=restore, on_progress=on_progress, clock=clock
        )
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer,
    changelog: TopicPartition,
    *,
    begin: int,
    end: int,
    restore: Callable[[str, bytes | None], None],
    on_progress: Callable[[float], None],
    clock: Clock,
) -> Restored:
    last_commit: bytes | None = None
    record_at = -1
    n_entries = 0
    yielded = clock.monotonic()
    # The position, not the last record's offset: transaction markers take offsets too.
    while (position := await consumer.position(changelog)) < end:
        on_progress((position - begin) / max(1, end - begin))
        fetched = await consumer.getmany(timeout_ms=100, max_records=_CHUNK_RECORDS)
        for record in fetched.get(changelog, ()):
            key = parse_state_key(record.key)
            if key is not None:
                restore(key, None if record.value is None else unpack(record.value))
                n_entries += 1
            elif record.key == COMMIT_KEY:
                last_commit, record_at = record.value, record.offset
            if clock.monotonic() - yielded > YIELD_SECONDS:
                on_progress((record.offset - begin) / max(1, end - begin))
                await sleep(0)
                yielded = clock.monotonic()
    on_progress(1.0)
    record = None if last_commit is None else decode_commit(last_commit)
    return Restored(record=record, record_at=record_at, end=end, n_entries=n_entries)
