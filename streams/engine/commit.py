"""How a commit is made atomic: by a transaction, or by one record that holds all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from schemas.topics import TOPICS
from streams import telemetry
from streams.engine import changelog
from streams.engine.changelog import COMMIT_KEY, CommitRecord
from streams.engine.clients import drop_producer, start_producer, start_transactional_producer
from streams.engine.errors import TaskLostError
from streams.engine.processor import Change, Output
from streams.engine.sends import Sends
from streams.engine.steps import OnStep, Step, around, no_fault
from streams.engine.topics import CHANGELOG_MAX_BYTES, TopicNames
from streams.settings import ProcessingGuarantee, Settings, StageName

_MAX_BYTES: Final = {topic.name: topic.max_message_bytes for topic in TOPICS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All of one commit: the record (positions, seq), and what becomes true with it."""

    record: CommitRecord
    changes: Sequence[Change]
    outputs: Sequence[Output]
    dead_letters: Sequence[Output]


class Committer(Protocol):
    """Owns a task's producer."""

    written_at: int
    """Offset of the last commit record that it wrote; -1 where the broker did not say."""

    async def start(self) -> None:
        """Start a producer; under exactly_once this fences the task's older owner."""

    def restored(self, end: int) -> None:
        """Take the end of the changelog as it was restored."""

    async def commit(self, commit: Commit) -> CommitRecord:
        """Make it true and return the record as written; where this raises, the task is lost."""

    async def forward(self, record: CommitRecord) -> None:
        """Send on what a commit record holds; one of exactly_once holds nothing."""

    def is_owner(self, changelog_end: int) -> bool:
        """Whether nobody else has written the changelog, as far as that can be told from its end."""

    async def close(self) -> None:
        """Drop the producer, in bounded time."""


class TransactionCommitter:
    """exactly_once: changes, outputs, dead letters, commit record and offsets in one transaction.

    Parameters
    ----------
    settings, names, stage, partition
        Which task this is.
    on_step
        Awaited before and after every step.
    """

    def __init__(
        self,
        settings: Settings,
        names: TopicNames,
        stage: StageName,
        partition: int,
        on_step: OnStep = no_fault,
    ) -> None:
        self._settings = settings
        self._names = names
        self._stage = stage
        self._partition = partition
        self._on_step = on_step
        self._producer: AIOKafkaProducer | None = None
        self.written_at = -1

    async def start(self) -> None:
        """Fence the older owner; returns once its open transaction is resolved."""
        await self.close()
        transactional_id = self._names.transactional_id(self._stage, self._partition)
        self._producer = await start_transactional_producer(self._settings, transactional_id)

    def restored(self, end: int) -> None:
        """Need nothing of it: the broker's epochs say who may write."""

    async def commit(self, commit: Commit) -> CommitRecord:
        """Commit in one transaction."""
        producer = _started(self._producer)
        _check_outputs(commit.outputs)
        topic = self._names.changelog(self._stage)
        changes = changelog.change_records(commit.changes, max_bytes=CHANGELOG_MAX_BYTES)
        record = changelog.encode_commit(commit.record)
        offsets = {TopicPartition(name, self._partition): offset for name, offset in commit.record.positions.items()}
        sends = Sends(producer, self._names)
        try:
            await producer.begin_transaction()
            async with around(self._on_step, Step.OUTPUTS):
                for output in (*commit.dead_letters, *commit.outputs):
                    await sends.output(output)
            async with around(self._on_step, Step.CHANGELOG):
                for key, value in changes:
                    await sends.record(topic, key, value, self._partition)
                await sends.record(topic, COMMIT_KEY, record, self._partition)
                written = await sends.done()
            async with around(self._on_step, Step.OFFSETS):
                await producer.send_offsets_to_transaction(offsets, self._names.group(self._stage))
            async with around(self._on_step, Step.COMMIT):
                await producer.commit_transaction()
        except BaseException:
            sends.forget()
            raise
        self.written_at = written[-1].offset
        return commit.record

    async def forward(self, record: CommitRecord) -> None:
        """Send on what an at_least_once worker left behind, once, after a switch of the guarantee."""
        if not (record.changes or record.outputs):
            return
        await self.commit(
            Commit(
                record=msgspec.structs.replace(record, changes=(), outputs=()),
                changes=changelog.load_changes(record),
                outputs=changelog.load_outputs(record),
                dead_letters=(),
            )
        )

    def is_owner(self, changelog_end: int) -> bool:
        """Leave that to the next commit: a fenced producer fails there."""
        del changelog_end
        return True

    async def close(self) -> None:
        """Drop the producer; an open transaction is resolved by the next owner's fence."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop_producer(producer)


class TailCommitter:
    """at_least_once: one record with changes and outputs inside is the commit; it is forwarded afterwards.

    Parameters
    ----------
    settings, names, stage, partition
        Which task this is.
    on_step
        Awaited before and after every step.
    """

    def __init__(
        self,
        settings: Settings,
        names: TopicNames,
        stage: StageName,
        partition: int,
        on_step: OnStep = no_fault,
    ) -> None:
        self._settings = settings
        self._names = names
        self._stage = stage
        self._partition = partition
        self._on_step = on_step
        self._producer: AIOKafkaProducer | None = None
        self._end = 0
        self.written_at = -1

    async def start(self) -> None:
        """Start a producer; there is no fence."""
        await self.close()
        client = self._names.transactional_id(self._stage, self._partition)
        self._producer = await start_producer(self._settings, client=client)

    def restored(self, end: int) -> None:
        """Expect the next record of the changelog at this offset."""
        self._end = end

    async def commit(self, commit: Commit) -> CommitRecord:
        """Write the dead letters, then the commit record; that alone is the commit."""
        producer = _started(self._producer)
        _check_outputs(commit.outputs)  # once the commit record is written, every part of it must be forwardable
        changelog.change_records(commit.changes, max_bytes=CHANGELOG_MAX_BYTES)
        record = msgspec.structs.replace(
            commit.record,
            changes=changelog.store_changes(commit.changes),
            outputs=changelog.store_outputs(commit.outputs),
        )
        value = changelog.encode_commit(record)
        changelog.check_size(f"commit record {record.seq}", value, max_bytes=CHANGELOG_MAX_BYTES)
        sends = Sends(producer, self._names)
        try:
            async with around(self._on_step, Step.OUTPUTS):
                for letter in commit.dead_letters:
                    await sends.output(letter)
                await sends.done()
            async with around(self._on_step, Step.CHANGELOG):
                await sends.record(self._names.changelog(self._stage), COMMIT_KEY, value, self._partition)
                (written,) = await sends.done()
        except BaseException:
            sends.forget()
            raise
        self._expect(written, record.seq)
        return record

    def _expect(self, written: RecordMetadata, seq: int) -> None:
        # Without a fence a frozen owner can wake; it shows as a record between two of ours.
        if written.offset >= 0 and written.offset != self._end:
            telemetry.OWNERSHIP_OVERLAPS.labels(stage=self._stage.value).inc()
            msg = (
                f"commit record {seq} of {self._names.changelog(self._stage)}, partition {self._partition}, landed at"
                f" offset {written.offset}: expected {self._end}; somebody else writes this changelog"
            )
            raise TaskLostError(msg)
        self._end = written.offset + 1
        self.written_at = written.offset

    async def forward(self, record: CommitRecord) -> None:
        """Send on changes and outputs, and wait for all of them."""
        sends = Sends(_started(self._producer), self._names)
        topic = self._names.changelog(self._stage)
        try:
            changes = changelog.change_records(changelog.load_changes(record), max_bytes=CHANGELOG_MAX_BYTES)
            async with around(self._on_step, Step.FORWARD_CHANGES):
                for key, value in changes:
                    await sends.record(topic, key, value, self._partition)
                for written in await sends.done():
                    self._end = max(self._end, written.offset + 1)
            async with around(self._on_step, Step.FORWARD_OUTPUTS):
                for output in changelog.load_outputs(record):
                    await sends.output(output)
                await sends.done()
        except BaseException:
            sends.forget()
            raise

    def is_owner(self, changelog_end: int) -> bool:
        """Whether the changelog ends where this task left it."""
        return changelog_end == self._end

    async def close(self) -> None:
        """Drop the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop_producer(producer)


def make_committer(
    settings: Settings, names: TopicNames, stage: StageName, partition: int, on_step: OnStep = no_fault
) -> Committer:
    """Make the committer of a task for the guarantee in the settings."""
    kinds: dict[ProcessingGuarantee, Any] = {
        ProcessingGuarantee.EXACTLY_ONCE: TransactionCommitter,
        ProcessingGuarantee.AT_LEAST_ONCE: TailCommitter,
    }
    committer: Committer = kinds[settings.engine.processing_guarantee](settings, names, stage, partition, on_step)
    return committer


def _started(producer: AIOKafkaProducer | None) -> AIOKafkaProducer:
    if producer is None:
        msg = "the task's producer is not started: expected start() before a commit"
        raise TaskLostError(msg)
    return producer


def _check_outputs(outputs: Sequence[Output]) -> None:
    for output in outputs:
        most = _MAX_BYTES[output.topic]
        changelog.check_size(f"output for {output.topic!r}", output.value, max_bytes=most)
