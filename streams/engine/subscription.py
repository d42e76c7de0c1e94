"""Subscription: a topic of one partition, read by one member of a group; a record counts once it was dealt with.

At least once: who dies between dealing with a record and saying so leaves it to be dealt with again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, NoOffsetForPartitionError

from schemas.topics import Topic
from streams.engine.clients import make_group_consumer, start_reader
from streams.engine.errors import FetchError
from streams.engine.processor import Record
from streams.engine.topics import TopicNames
from streams.settings import Settings

log = structlog.get_logger(__name__)

ALERT_WEBHOOK_GROUP: Final = "alert-webhook"
_CHUNK_RECORDS: Final = 50


def subscription_group(settings: Settings, name: str) -> str:
    """Name of a subscription's group, under the application's own."""
    return f"{settings.engine.application_id}-{name}"


class Subscription:
    """Deals with what comes on a topic from the first start on; a later start goes on where the last one stopped.

    Parameters
    ----------
    settings, names
        Where the topic is.
    topic
        One of the table.
    name
        Of the subscription: the same one goes on.
    handle
        Deals with a record; what it raises ends the subscription, with the record to come again.
    """

    def __init__(
        self,
        settings: Settings,
        names: TopicNames,
        *,
        topic: Topic,
        name: str,
        handle: Callable[[Record], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._topic = names.in_use(topic.name)
        self._max_bytes = topic.max_message_bytes
        self._group = subscription_group(settings, name)
        self._handle = handle
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the group and begin to read."""
        consumer = make_group_consumer(self._settings, self._group, instance_id=None, max_record_bytes=self._max_bytes)
        consumer.subscribe([self._topic])
        await start_reader(consumer, self._settings)
        self._reading = asyncio.create_task(self._read(consumer), name=f"subscription {self._group}")

    async def wait(self) -> None:
        """Wait until it ends: by `stop`, or by an error, which is raised."""
        if self._reading is None:
            msg = f"the subscription {self._group} is not started: expected start() first"
            raise FetchError(msg)
        await asyncio.wait({self._reading})
        if not self._reading.cancelled():
            await self._reading

    async def stop(self) -> None:
        """Stop reading, and leave the group."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                try:
                    fetched = await consumer.getmany(timeout_ms=500, max_records=_CHUNK_RECORDS)
                except NoOffsetForPartitionError:
                    await self._begin(consumer)
                    continue
                for partition, records in fetched.items():
                    for record in records:
                        await self._handle(record)
                        await self._commit(consumer, partition, record.offset + 1)
        except KafkaError as error:
            msg = f"the subscription {self._group} to {self._topic} failed: {error!r}"
            raise FetchError(msg) from error
        finally:
            await consumer.stop()  # not cut short: half closed, it would stay a member and hold up the others

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        """For the first time: from now on, and that is written down, or a restart would leave a gap."""
        for partition in consumer.assignment():
            end = (await consumer.end_offsets([partition]))[partition]
            consumer.seek(partition, end)
            await self._commit(consumer, partition, end)
            log.info("subscription_begins", group=self._group, topic=self._topic, offset=end)
        await asyncio.sleep(0)

    async def _commit(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        try:
            await consumer.commit({partition: offset})
        except (CommitFailedError, IllegalStateError) as error:  # it is another member's now, who deals with it again
            log.warning("subscription_moved", group=self._group, topic=self._topic, offset=offset, error=repr(error))
