"""How far a stage's group is behind its inputs; one client, reused, a few milliseconds a call.

Ends are those of the log, open transactions included: a commit is true before every partition has its marker, and
the last stable offset, which readers of committed records see, would then leave out what was just committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.topics import TOPICS
from streams.engine.clients import make_reader, open_admin, start_reader
from streams.engine.ends import end_offsets
from streams.engine.errors import EngineError, FetchError
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from streams.stages import STAGES

_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """One input partition of a stage: where the group is, and where the log ends."""

    topic: str
    """The table's name."""
    partition: int
    position: int | None
    """The group's committed offset; None where it has none yet."""
    end: int

    @property
    def n_records(self) -> int:
        """How many offsets are left; transaction markers among them."""
        return max(0, self.end - (self.position or 0))


class LagReader:
    """Committed offsets against end offsets; `async with LagReader(settings) as lag`.

    Parameters
    ----------
    settings, names
        Which application, and where its topics are.
    """

    def __init__(self, settings: Settings, names: TopicNames | None = None) -> None:
        self._settings = settings
        self._names = names or TopicNames(settings)
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._coordinators: dict[str, int] = {}
        self._looking_up = asyncio.Lock()

    async def start(self) -> None:
        """Connect."""
        self._admin = await open_admin(self._settings)
        self._reader = make_reader(self._settings, client="lag", sees_open_transactions=True)
        await start_reader(self._reader, self._settings)

    async def stop(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await self._reader.stop()
        if self._admin is not None:
            await self._admin.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def ends(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Return the end offset of every partition of some topics (table names), open transactions included."""
        _, reader = self._clients()
        wanted = [each for topic in topics for each in self._partitions(topic)]
        async with self._looking_up:  # one reader, one assignment at a time
            ends = await end_offsets(reader, wanted, self._settings)
        return {(self._names.table(each.topic), each.partition): end for each, end in ends.items()}

    async def positions(self, stage: StageName) -> dict[tuple[str, int], int | None]:
        """Return the group's committed offset for every input partition of a stage; None where it has none."""
        admin, _ = self._clients()
        wanted = [each for topic in STAGES[stage].inputs for each in self._partitions(topic.name)]
        group = self._names.group(stage)
        try:
            if group not in self._coordinators:
                self._coordinators[group] = await admin.find_coordinator(group)
            found = await admin.list_consumer_group_offsets(
                group, group_coordinator_id=self._coordinators[group], partitions=wanted
            )
        except KafkaError as error:
            self._coordinators.pop(group, None)  # it may have moved; the next call looks again
            if not error.retriable:
                msg = f"offsets of group {group!r} could not be read: {error!r}"
                raise FetchError(msg) from error
            found = {}
        positions: dict[tuple[str, int], int | None] = {}
        for each in wanted:
            offset = found[each].offset if each in found else -1
            positions[self._names.table(each.topic), each.partition] = None if offset < 0 else offset
        return positions

    async def stage_lag(self, stage: StageName) -> list[PartitionLag]:
        """Return position and end of every input partition of a stage."""
        ends = await self.ends([topic.name for topic in STAGES[stage].inputs])
        positions = await self.positions(stage)
        return [
            PartitionLag(topic=topic, partition=partition, position=positions[topic, partition], end=end)
            for (topic, partition), end in sorted(ends.items())
        ]

    async def wait_until_consumed(
        self,
        stage: StageName,
        *,
        topics: Sequence[str] | None = None,
        ends: Mapping[tuple[str, int], int] | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Wait until a stage has committed its inputs up to their ends.

        Parameters
        ----------
        stage
            Whose group.
        topics
            Which of its inputs, by table name; all by default.
        ends
            From `ends`; by default the ends as they are now, so that what is in an open transaction is waited for too.
        timeout_seconds
            After this long an `EngineError` names the partition that is furthest behind.
        """
        chosen = topics if topics is not None else [topic.name for topic in STAGES[stage].inputs]
        wanted = dict(ends) if ends is not None else await self.ends(chosen)
        positions: dict[tuple[str, int], int | None] = {}
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    positions = await self.positions(stage)
                    if all((positions.get(each) or 0) >= end for each, end in wanted.items()):
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            topic, partition = max(wanted, key=lambda each: wanted[each] - (positions.get(each) or 0))
            msg = (
                f"stage {stage.value} has consumed {topic}, partition {partition}, to"
                f" {positions.get((topic, partition))} after {timeout_seconds:g} s: expected {wanted[topic, partition]}"
            )
            raise EngineError(msg) from None

    def _partitions(self, topic: str) -> list[TopicPartition]:
        spread = next(each.spread for each in TOPICS if each.name == topic)
        in_use = self._names.in_use(topic)
        return [TopicPartition(in_use, partition) for partition in range(self._names.n_partitions(spread))]

    def _clients(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._admin is None or self._reader is None:
            msg = "the lag reader is not started: expected start() or `async with` first"
            raise FetchError(msg)
        return self._admin, self._reader
