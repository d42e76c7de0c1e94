"""What an application keeps on the broker, and how it is deleted: groups, changelogs, and the counts between stages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from schemas.topics import PROFILES
from streams.engine.ends import bounds
from streams.engine.errors import EngineError
from streams.engine.expansion import topic_counts
from streams.engine.groups import delete_group, members
from streams.engine.names import TopicNames
from streams.settings import Settings
from streams.stages import STAGES

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What there is of an application."""

    groups: tuple[str, ...]
    """Consumer groups that exist."""
    members: dict[str, list[str]]
    """Groups that have members, and who they are."""
    changelogs: dict[str, int]
    """Topics that exist, and how many records they hold; markers and superseded ones among them."""
    profiles: dict[str, int]
    """The topic between stage 1 and stage 2, the same way: its deltas are numbered by the changelogs."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.groups or self.changelogs or any(self.profiles.values()))


async def find(admin: AIOKafkaAdminClient, settings: Settings, names: TopicNames) -> Kept:
    """Look at what there is."""
    known = {group for group, *_ in await admin.list_consumer_groups()}
    groups = tuple(group for stage in STAGES if (group := names.group(stage)) in known)
    busy = {group: who for group in groups if (who := await members(admin, group))}
    return Kept(
        groups=groups,
        members=busy,
        changelogs=await _sizes(admin, settings, [names.changelog(stage) for stage in STAGES]),
        profiles=await _sizes(admin, settings, [names.in_use(PROFILES.name)]),
    )


async def _bounds(
    admin: AIOKafkaAdminClient, settings: Settings, topics: list[str]
) -> dict[TopicPartition, tuple[int, int]]:
    counts = await topic_counts(admin, topics)
    partitions = [TopicPartition(topic, p) for topic, n in counts.items() for p in range(n)]
    return await bounds(settings, partitions) if partitions else {}


async def _sizes(admin: AIOKafkaAdminClient, settings: Settings, topics: list[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for partition, (begin, end) in (await _bounds(admin, settings, topics)).items():
        sizes[partition.topic] = sizes.get(partition.topic, 0) + end - begin
    return sizes


async def forget(admin: AIOKafkaAdminClient, settings: Settings, kept: Kept) -> None:
    """Delete all of it, offsets first: interrupted, it can be repeated.

    Raises
    ------
    GroupInUseError
        Where a worker has joined meanwhile.
    EngineError
        Where the broker refuses.
    """
    for group in kept.groups:
        await delete_group(admin, group)
    await _empty(admin, settings, list(kept.profiles))
    if kept.changelogs:
        response = await admin.delete_topics(list(kept.changelogs))
        for topic, code in response.topic_error_codes:
            if code and for_code(code) is not UnknownTopicOrPartitionError:
                msg = f"topic {topic!r} could not be deleted: {for_code(code).__name__}"
                raise EngineError(msg)
    async with asyncio.timeout(settings.kafka.connect_timeout_seconds):
        while set(kept.changelogs) & set(await admin.list_topics()):  # it is marked at once, and gone a little later
            await asyncio.sleep(_POLL_SECONDS)


async def _empty(admin: AIOKafkaAdminClient, settings: Settings, topics: list[str]) -> None:
    found = await _bounds(admin, settings, topics)
    filled = {each: RecordsToDelete(before_offset=end) for each, (begin, end) in found.items() if begin < end}
    if filled:
        await admin.delete_records(filled)
