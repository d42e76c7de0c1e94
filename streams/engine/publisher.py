"""Publishes outputs outside of a task: the CLI, the responders and the demo."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import RecordMetadata

from schemas.topics import TOPICS
from streams.engine.clients import drop_producer, start_producer
from streams.engine.errors import PublishError
from streams.engine.processor import EVERY_PARTITION, Output
from streams.engine.topics import TopicNames
from streams.settings import Settings

_MAX_BYTES: Final = {topic.name: topic.max_message_bytes for topic in TOPICS}
_FRAMING_BYTES: Final = 256
_MAX_OPEN_BATCHES: Final = 64
_BATCH_RECORDS: Final = 2_000


class Publisher:
    """An idempotent producer for outputs; `async with Publisher(settings, names) as publisher`.

    Parameters
    ----------
    settings, names
        Where the topics are.
    """

    def __init__(self, settings: Settings, names: TopicNames | None = None) -> None:
        self._settings = settings
        self._names = names or TopicNames(settings)
        self._producer: AIOKafkaProducer | None = None
        self._partitioner = DefaultPartitioner()
        self._partitions: dict[str, list[int]] = {}

    async def start(self) -> None:
        """Connect."""
        self._producer = await start_producer(
            self._settings, client=f"{self._settings.engine.application_id}-publisher"
        )

    async def stop(self) -> None:
        """Disconnect, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop_producer(producer)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def publish(self, *outputs: Output) -> None:
        """Publish some outputs and wait until all are acknowledged; raises `PublishError`."""
        await self.publish_many(outputs)

    async def publish_many(self, outputs: Iterable[Output]) -> int:
        """Publish many outputs, in batches by partition, and wait until all are acknowledged.

        The order of the outputs is kept within a partition. Where this raises, some may have been published.

        Returns
        -------
        int
            How many records were published; one for every partition of `EVERY_PARTITION`.
        """
        batches = _Batches(self._started())
        try:
            for output in outputs:
                for topic, partition in await self._targets(output):
                    await batches.append(topic, partition, output)
            await batches.done()
        except (KafkaError, TimeoutError) as error:
            msg = f"publishing failed: {error!r}"
            raise PublishError(msg) from error
        finally:
            batches.forget()
        return batches.n_records

    async def _targets(self, output: Output) -> Sequence[tuple[str, int]]:
        check_output(output)
        topic = self._names.in_use(output.topic)
        partitions = self._partitions.get(topic)
        if partitions is None:
            partitions = self._partitions[topic] = sorted(await self._started().partitions_for(topic))
        if output.partition == EVERY_PARTITION:
            return [(topic, partition) for partition in partitions]
        if output.partition is None:
            return [(topic, self._partitioner(output.key, partitions, partitions))]
        if output.partition not in partitions:
            msg = f"output for {output.topic!r} has partition {output.partition}: expected 0 to {len(partitions) - 1}"
            raise PublishError(msg)
        return [(topic, output.partition)]

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            msg = "the publisher is not started: expected start() or `async with` first"
            raise PublishError(msg)
        return self._producer


def check_output(output: Output) -> None:
    """Refuse what no topic takes; `PublishError` names the size and the limit."""
    if output.key is None and output.value is None:
        msg = f"output for {output.topic!r} has neither key nor value: expected one of them"
        raise PublishError(msg)
    most = _MAX_BYTES.get(output.topic, 1 << 20) - _FRAMING_BYTES
    size = len(output.value or b"") + len(output.key or b"")
    if size > most:
        msg = f"output for {output.topic!r} has key and value of {size} bytes: expected at most {most},"
        msg += " which is max.message.bytes in our table of topics, less the framing"
        raise PublishError(msg)


class _Batches:
    """Open batches by partition; a batch's one future stands for its records."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._open: dict[tuple[str, int], Any] = {}
        self._futures: list[asyncio.Future[RecordMetadata]] = []
        self.n_records = 0

    async def append(self, topic: str, partition: int, output: Output) -> None:
        target = (topic, partition)
        batch = self._open.get(target)
        if batch is None:
            batch = self._open[target] = self._producer.create_batch()
        fields = {"key": output.key, "value": output.value, "timestamp": None, "headers": list(output.headers)}
        if batch.append(**fields) is None or batch.record_count() >= _BATCH_RECORDS:
            full = batch
            batch = self._open[target] = self._producer.create_batch()
            if full.closed() and batch.append(**fields) is None:
                msg = f"output for {topic!r} did not fit into an empty batch: expected any record to"
                raise PublishError(msg)
            await self._send(target, full)
        self.n_records += 1

    async def _send(self, target: tuple[str, int], batch: Any) -> None:
        topic, partition = target
        batch.close()
        self._futures.append(await self._producer.send_batch(batch, topic, partition=partition))
        if len(self._futures) >= _MAX_OPEN_BATCHES:
            await self._check()

    async def _check(self) -> None:
        futures, self._futures = self._futures, []
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def done(self) -> None:
        for target, batch in self._open.items():
            if batch.record_count():
                await self._send(target, batch)
        self._open.clear()
        await self._check()

    def forget(self) -> None:
        for future in self._futures:
            future.add_done_callback(lambda each: each.cancelled() or each.exception())
