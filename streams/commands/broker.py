"""What commands ask of the broker: everything on some topics up to now, and a few records published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.cloudevents import event_headers
from schemas.topics import Topic
from streams.commands.console import UsageError, note
from streams.engine.follower import Follower
from streams.engine.processor import Headers, Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, describe_topics
from streams.responders.signatures import signature_headers
from streams.settings import Settings

SOURCE = "plumbline/cli"
Event = TypeVar("Event", bound=BaseModel)


async def check_topics(settings: Settings, topics: Sequence[Topic]) -> None:
    """Wait for the broker as long as the settings allow, and refuse topics that are missing or laid out otherwise."""
    wanted = {topic.name for topic in topics}
    for described in await describe_topics(settings, stages=()):
        if described.table_name not in wanted:
            continue
        if not described.exists:
            msg = f"topic {described.name!r} does not exist: create it with `plumbline topics create`"
            raise UsageError(msg)
        if described.advice:
            msg = f"topic {described.name!r} has {described.advice}"
            raise UsageError(msg)


async def scan(
    settings: Settings, topics: Sequence[Topic], on_record: Callable[[str, Record], None], *, merged: bool = False
) -> None:
    """Hand over everything that the topics hold up to now, by the table's names."""
    await check_topics(settings, topics)
    follower = Follower(
        settings, TopicNames(settings), topics=[topic.name for topic in topics], on_record=on_record, merged=merged
    )
    await follower.start()
    try:
        await follower.caught_up()
    finally:
        await follower.stop()


async def follow(settings: Settings, topic: Topic, on_record: Callable[[str, Record], None]) -> None:
    """Hand over what comes from now on, for ever."""
    await check_topics(settings, [topic])
    follower = Follower(settings, TopicNames(settings), topics=[topic.name], on_record=on_record, start="end")
    await follower.start()
    try:
        await follower.wait()
    finally:
        await follower.stop()


def read_event(kind: type[Event], topic: str, record: Record) -> Event | None:
    """Read a record's value; None, with a note, where it is not what the topic carries."""
    if record.value is None:
        return None
    try:
        return kind.model_validate_json(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        note(f"left out: {topic}, partition {record.partition}, offset {record.offset}: {place}: {first['msg']}")
        return None


async def collect(settings: Settings, topic: Topic, kind: type[Event]) -> list[tuple[Event, Record]]:
    """Return every event of a topic, in log order within a partition."""
    found: list[tuple[Event, Record]] = []

    def take(name: str, record: Record) -> None:
        event = read_event(kind, name, record)
        if event is not None:
            found.append((event, record))

    await scan(settings, [topic], take)
    return found


def event_output(
    topic: Topic, event: Any, *, key: str, event_id: str, at: datetime, signing_key: str | None = None
) -> Output:
    """Make the record of an event that the command line publishes; with a key, signed over its value."""
    headers: Headers = event_headers(event_id=event_id, topic=topic.name, source=SOURCE, subject=key, time=at)
    value: bytes = event.to_bytes()
    if signing_key is not None:
        signed = signature_headers(signing_key, value)
        headers = [*headers, *((name, text.encode()) for name, text in signed.items())]
    return Output(topic=topic.name, key=key.encode(), value=value, headers=headers)


async def publish(settings: Settings, topics: Sequence[Topic], outputs: Iterable[Output]) -> int:
    """Publish records to topics that are there, and wait until all are acknowledged; returns how many."""
    await check_topics(settings, topics)
    async with Publisher(settings) as publisher:
        return await publisher.publish_many(outputs)
