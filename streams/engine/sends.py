"""Sends a batch of records, and checks every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from streams.engine.processor import EVERY_PARTITION, Output
from streams.engine.topics import TopicNames


class Sends:
    """Send futures of one batch: every one is checked, none is left with an error that nobody saw."""

    def __init__(self, producer: AIOKafkaProducer, names: TopicNames) -> None:
        self._producer = producer
        self._names = names
        self._futures: list[asyncio.Future[RecordMetadata]] = []

    async def output(self, output: Output) -> None:
        """Send an output to its partition, or to all."""
        topic = self._names.in_use(output.topic)
        partitions: Iterable[int | None] = [output.partition]
        if output.partition == EVERY_PARTITION:
            partitions = sorted(await self._producer.partitions_for(topic))
        for partition in partitions:
            await self.record(topic, output.key, output.value, partition, output.headers)

    async def record(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Send one record."""
        self._futures.append(
            await self._producer.send(topic, value=value, key=key, partition=partition, headers=list(headers))
        )

    async def done(self) -> list[RecordMetadata]:
        """Wait for all and raise the first error: a failed send does not fail a transaction by itself."""
        results = await asyncio.gather(*self._futures, return_exceptions=True)
        self._futures = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def forget(self) -> None:
        """Give up on what is still open, after an error."""
        for future in self._futures:
            future.add_done_callback(lambda each: each.cancelled() or each.exception())
