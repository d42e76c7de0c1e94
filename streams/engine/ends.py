"""Where a log ends, truly.

A broker answers ListOffsets with the end of the log. The embedded one answers with the *first* offset of the last
batch plus one, which is short wherever a batch has several records; the high watermark that comes with a fetch is
right on both. So under at_least_once, the only guarantee that the embedded broker has, ends are looked up by a
fetch of the last batch; it answers at once, since there is something to answer with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.clients import make_reader, start_reader
from streams.settings import ProcessingGuarantee, Settings

_LOOKUP_SECONDS: Final = 10.0


async def end_offsets(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], settings: Settings
) -> dict[TopicPartition, int]:
    """Return the end offsets of some partitions; raises TimeoutError where the broker does not answer.

    The consumer must have no group; its assignment is replaced, so assign after this.
    """
    if consumer.assignment() != set(partitions):
        # Makes the client ask for the metadata of all their topics at once: it would back off for every single one.
        consumer.assign(partitions)
        for each in partitions:
            consumer.pause(each)
            consumer.seek(each, 0)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    if settings.engine.processing_guarantee is ProcessingGuarantee.EXACTLY_ONCE:
        return ends
    filled = [each for each in partitions if ends[each] > 0]
    if not filled:
        return ends
    consumer.assign(filled)
    for each in filled:
        consumer.seek(each, ends[each] - 1)
    async with asyncio.timeout(_LOOKUP_SECONDS):
        while any(consumer.highwater(each) is None for each in filled):
            await consumer.getmany(timeout_ms=50)
    return {**ends, **{each: max(ends[each], consumer.highwater(each)) for each in filled}}


async def bounds(settings: Settings, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """Return first and end offset of some partitions, through a client of its own."""
    consumer = make_reader(settings, client="bounds")
    try:
        await start_reader(consumer, settings)
        ends = await end_offsets(consumer, partitions, settings)
        begins = await consumer.beginning_offsets(partitions)
        return {each: (begins[each], ends[each]) for each in partitions}
    finally:
        await consumer.stop()
