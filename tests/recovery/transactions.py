"""Whether a transaction is open, as the broker sees it."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.engine.topics import TopicNames
from streams.settings import Settings
from tests.integration.engine.engine_support import PROFILES


async def wait_for_transaction(settings: Settings, *, is_open: bool) -> None:
    """Wait until the outputs' partition has an open transaction on it; where none is to be, there is none."""
    partition = TopicPartition(TopicNames(settings).in_use(PROFILES), 0)
    servers = settings.kafka.bootstrap_servers
    stable, all_ = (
        AIOKafkaConsumer(bootstrap_servers=servers, isolation_level=level)
        for level in ("read_committed", "read_uncommitted")
    )
    await asyncio.gather(stable.start(), all_.start())
    try:
        async with asyncio.timeout(10):
            while True:
                ends = await stable.end_offsets([partition]), await all_.end_offsets([partition])
                if (ends[0] != ends[1]) == is_open:
                    return
                assert is_open, f"an open transaction: {ends}"
    finally:
        await asyncio.gather(stable.stop(), all_.stop())
