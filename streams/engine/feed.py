"""The one consumer of a stage's group, as its tasks see it: seek, pause, position, end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from streams.engine.clients import make_group_consumer
from streams.engine.ends import bounds
from streams.engine.steps import OnStep, Step, around, no_fault
from streams.engine.topics import TopicNames
from streams.settings import ProcessingGuarantee, Settings, StageName
from streams.stages import STAGES

log = structlog.get_logger(__name__)

_OFFSETS_SECONDS: Final = 0.1
"""Where a commit does not carry the group's offsets, they follow this often, for all tasks at once."""
_FLUSH_SECONDS: Final = 1.0


class GroupFeed:
    """The consumer of a stage's group.

    Parameters
    ----------
    stage, settings, names
        Whose group.
    on_step
        Awaited before and after the group's offsets, where a commit does not carry them.
    """

    def __init__(self, stage: StageName, settings: Settings, names: TopicNames, *, on_step: OnStep = no_fault) -> None:
        self._stage = stage
        self._names = names
        self._settings = settings
        self._on_step = on_step
        self._topics = tuple(topic.name for topic in STAGES[stage].inputs)
        engine = settings.engine
        self._carried = engine.processing_guarantee is ProcessingGuarantee.EXACTLY_ONCE
        instance_id = engine.group_instance_id
        self.consumer: AIOKafkaConsumer = make_group_consumer(
            settings,
            names.group(stage),
            instance_id=None if instance_id is None else f"{instance_id}-{stage.value}",
            max_record_bytes=max(topic.max_message_bytes for topic in STAGES[stage].inputs),
        )
        self._offsets: dict[TopicPartition, int] = {}
        self._noted = asyncio.Event()
        self._member = asyncio.Event()
        """Set from an assignment to the next rebalance."""

    def partition(self, topic: str, partition: int) -> TopicPartition:
        """Return the partition of an input, by the table's name."""
        return TopicPartition(self._names.in_use(topic), partition)

    def _inputs(self, partition: int) -> list[TopicPartition]:
        return [self.partition(topic, partition) for topic in self._topics]

    def _assigned(self, partition: int) -> list[TopicPartition]:
        assigned = self.consumer.assignment()
        return [each for each in self._inputs(partition) if each in assigned]

    def seek(self, partition: int, positions: Mapping[str, int]) -> bool:
        """Fetch from these positions on; False where the partition is not ours at the moment."""
        inputs = self._inputs(partition)
        if self._assigned(partition) != inputs:
            return False
        for topic, each in zip(self._topics, inputs, strict=True):
            self.consumer.seek(each, positions[topic])
        self.consumer.resume(*inputs)
        return True

    def pause(self, partition: int) -> None:
        """Stop fetching a partition; nothing happens where it is not ours."""
        self.consumer.pause(*self._assigned(partition))

    def resume(self, partition: int) -> None:
        """Go on fetching it."""
        self.consumer.resume(*self._assigned(partition))

    def hold(self, partitions: frozenset[TopicPartition]) -> None:
        """Pause fresh partitions at once, with a position of no meaning.

        Without any position the consumer would ask for the group's committed offset and fetch from there; the
        tasks seek before they resume.
        """
        for each in partitions:
            self.consumer.pause(each)
            self.consumer.seek(each, 0)
        self._member.set()

    def release(self) -> None:
        """Commit nothing to the group any more: a rebalance begins."""
        self._member.clear()

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the next offset that will be fetched; None where the partition is not ours."""
        try:
            position: int = await self.consumer.position(self.partition(topic, partition))
        except IllegalStateError:
            return None
        return position

    def end(self, topic: str, partition: int) -> int | None:
        """Return the end of the log as the last fetch saw it; None before that."""
        each = self.partition(topic, partition)
        if each not in self.consumer.assignment():
            return None
        end: int | None = self.consumer.last_stable_offset(each) if self._carried else self.consumer.highwater(each)
        return end

    async def bounds(self, partition: int) -> dict[str, tuple[int, int]]:
        """Return first and end offset by input topic."""
        inputs = self._inputs(partition)
        found = await bounds(self._settings, inputs)
        return {topic: found[each] for topic, each in zip(self._topics, inputs, strict=True)}

    async def changelog_end(self, partition: int) -> int:
        """Return the end of the stage's changelog partition."""
        changelog = TopicPartition(self._names.changelog(self._stage), partition)
        return (await bounds(self._settings, [changelog]))[changelog][1]

    async def group_positions(self, partition: int) -> dict[str, int | None]:
        """Return the group's committed offsets by input topic."""
        found = await asyncio.gather(*(self.consumer.committed(each) for each in self._inputs(partition)))
        return dict(zip(self._topics, found, strict=True))

    def committed(self, partition: int, positions: Mapping[str, int]) -> None:
        """Note positions that hold; a transaction has carried them already."""
        if not self._carried:
            for topic, position in positions.items():
                self._offsets[self.partition(topic, partition)] = position
                self._noted.set()

    async def commit_offsets(self) -> None:
        """Commit to the group what was noted, again and again; for lag tools, since the changelog is the truth."""
        while True:
            await self._noted.wait()
            await self._member.wait()
            await asyncio.sleep(_OFFSETS_SECONDS)
            self._noted.clear()
            await self.flush_offsets()

    async def flush_offsets(self) -> None:
        """Commit to the group what was noted; a failure is said, and the next call tries again.

        Nothing is sent during a rebalance: the broker would look at it after our JoinGroup, on the same connection, and
        find it to be of an older generation; the client then joins anew, and no rebalance would ever be the last one.
        """
        if not self._member.is_set():
            self._noted.set()
            return
        assigned = self.consumer.assignment()
        offsets = {each: at for each, at in self._offsets.items() if each in assigned}
        self._offsets.clear()
        if not offsets:
            return
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                async with around(self._on_step, Step.OFFSETS):
                    await self.consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:  # a rebalance, most likely
            log.info("group_offsets_not_committed", stage=self._stage.value, error=repr(error))
            for each, at in offsets.items():
                self._offsets.setdefault(each, at)
                self._noted.set()
