"""One tenure of a task: from a take-over until it is lost or closed. It goes as a whole, nothing is mended.

Add what was fetched, cut a batch, stage it (pure, before any transaction is open), commit it, apply it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Final, NoReturn

import structlog

from streams import telemetry
from streams.engine.changelog import FORMAT, CommitRecord
from streams.engine.commit import Commit
from streams.engine.cutting import POSITIONS_INTERVAL_SECONDS, CutRules, Pending, describe
from streams.engine.dead_letters import PROCESSING_ERROR, to_output
from streams.engine.inbox import Inbox
from streams.engine.keep import Keep
from streams.engine.parts import ProcessorCrashedError, TaskParts
from streams.engine.poison import PoisonHunt
from streams.engine.processor import CommitContext, DeadLetter, Record, Staged
from streams.engine.steps import Step, around
from streams.engine.takeover import TakenOver
from streams.local.errors import StorageError

log = structlog.get_logger(__name__)

_COMMIT_DEADLINES: Final = 3.0
"""A commit may take this many transaction timeouts; a broker that is back within them finds it still valid."""


class Tenure:
    """What a task is while it runs.

    Parameters
    ----------
    parts
        The task's.
    taken
        What the take-over brought.
    inbox
        Where fetched records wait.
    hunt
        What is known of a record that makes the Processor crash.
    """

    def __init__(self, parts: TaskParts, taken: TakenOver, inbox: Inbox, hunt: PoisonHunt) -> None:
        now = parts.clock.monotonic()
        self._parts = parts
        self._engine = parts.settings.engine
        self._rules = CutRules.of(self._engine)
        self._inbox = inbox
        self._hunt = hunt
        self._processor = taken.processor
        self._generation = taken.generation
        self._life = taken.life
        self._keep = Keep(parts.folder, taken.processor, position=taken.record_at, seq=taken.seq, life=taken.life)
        self._ends = taken.ends
        self._seq = taken.seq
        self._committed = dict(taken.positions)
        self._read = dict(taken.positions)
        self._pending = Pending()
        self._letters: list[DeadLetter] = []
        self._last_cut = self._last_commit = self._last_heartbeat = now
        self._last_commit_seconds = 0.0
        self._unsaid = True  # at first positions are committed with nothing else to say, so that the group has some

    @property
    def lag_records(self) -> dict[str, int]:
        """Offsets between what was processed and the end, by topic."""
        return {topic: max(0, self._end(topic) - self._read[topic]) for topic in self._parts.topics}

    # Taking

    def take(self, now: float) -> bool:
        """Hand the next chunk to the Processor; False where there is none, or the batch is full."""
        limit = self._hunt.limit
        if self._rules.is_full(self._pending, limit=limit):
            return False
        most = self._engine.fetch_max_records
        chunk = self._inbox.take(most if limit is None else min(most, limit - self._pending.n_records))
        if chunk is None:
            return False
        topic, records = chunk
        self._pending.add(topic, records, now=now)
        if self._hunt.poison:
            records = self._set_aside(topic, records)
        try:
            if records:
                self._processor.add(topic, records)
        except Exception as error:  # noqa: BLE001 - our own code, whatever it raises
            self._crashed(error, at=describe(topic, self._parts.partition, records[0].offset, records[-1].offset))
        self._read[topic] = self._pending.last[topic] + 1
        return True

    def _set_aside(self, topic: str, records: Sequence[Record]) -> Sequence[Record]:
        poison = self._hunt.poison
        self._letters += [
            DeadLetter(record=record, reason=PROCESSING_ERROR, message=poison[topic, record.offset])
            for record in records
            if (topic, record.offset) in poison
        ]
        return [record for record in records if (topic, record.offset) not in poison]

    def _crashed(self, error: Exception, *, at: str | None = None) -> NoReturn:
        telemetry.PROCESSOR_CRASHES.labels(stage=self._parts.label).inc()
        at = at or self._pending.describe(self._parts.partition)
        self._hunt.crashed(self._pending, start=self._committed, error=error, at=at)
        msg = f"{type(error).__name__}: {error}; at {at}"
        raise ProcessorCrashedError(msg) from error

    # When to cut

    def _end(self, topic: str) -> int:
        seen = self._parts.feed.end(topic, self._parts.partition)
        return max(self._ends.get(topic, 0), seen or 0)

    async def _positions(self) -> dict[str, int]:
        """Return the next offsets to process: behind transaction markers where nothing of a topic is queued."""
        positions = dict(self._read)
        for topic in self._parts.topics:
            fetched = await self._parts.feed.position(topic, self._parts.partition)
            if fetched is not None and not self._inbox.has(topic):
                positions[topic] = max(positions[topic], fetched)
        return positions

    def _is_drained(self, positions: dict[str, int]) -> bool:
        return not self._inbox.n_records and all(positions[topic] >= self._end(topic) for topic in self._parts.topics)

    def _heartbeat_is_due(self, now: float) -> bool:
        return now - self._last_heartbeat >= self._engine.heartbeat_interval_seconds

    def _positions_are_due(self, now: float) -> bool:
        interval = min(POSITIONS_INTERVAL_SECONDS, self._engine.heartbeat_interval_seconds)
        return now - self._last_commit >= interval

    async def is_due(self, now: float) -> bool:
        """Whether the batch is to be cut now."""
        pending = self._pending
        if self._heartbeat_is_due(now):
            return True
        if pending.n_records:
            if self._rules.is_full(pending, limit=self._hunt.limit) or self._rules.is_old(pending, now=now):
                return True
            gap = self._rules.drained_gap_seconds(self._last_commit_seconds)
            if now - self._last_cut < gap or self._inbox.n_records:
                return False
            return self._is_drained(await self._positions())
        return self._positions_are_due(now) and (self._unsaid or await self._positions() != self._committed)

    def until_due(self, now: float) -> float:
        """Return how long there is nothing to do, unless something arrives."""
        until = [self._last_heartbeat + self._engine.heartbeat_interval_seconds - now]
        if self._pending.since is not None:
            gap = self._rules.drained_gap_seconds(self._last_commit_seconds)
            drained = self._last_cut + gap - now
            until.append(self._pending.since + self._rules.interval_seconds - now)
            if drained > 0:
                until.append(drained)
        return max(0.0, min(until))

    # The commit

    async def cut(self) -> None:
        """Stage the batch, commit it where it has something to say, and apply it."""
        clock = self._parts.clock
        now = clock.monotonic()
        heartbeat = self._heartbeat_is_due(now)
        positions = await self._positions()
        context = CommitContext(
            partition=self._parts.partition,
            seq=self._seq + 1,
            positions=positions,
            previous_positions=dict(self._committed),
            now_ms=clock.wall_ms(),
            caught_up=self._is_drained(positions),
        )
        staged = self._stage(context, heartbeat=heartbeat)
        moved = self._unsaid or positions != self._committed
        written = None
        if not staged.is_empty or (moved and (self._positions_are_due(now) or self._hunt.limit is not None)):
            written = await self._commit(context, staged)
        if heartbeat:
            self._last_heartbeat = now
        async with around(self._parts.on_step, Step.APPLY):
            self._apply(staged, context)
        if written is not None:
            async with self._deadline():
                await self._parts.committer.forward(written)
            self._keep.committed(self._parts.committer.written_at, written.seq)
            # Only now: who waits for the group's offsets may then read what came of them.
            self._parts.feed.committed(self._parts.partition, self._committed)

    def _stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        try:
            staged = self._processor.stage(context, heartbeat=heartbeat)
        except Exception as error:  # noqa: BLE001 - our own code, whatever it raises
            self._crashed(error)
        if self._letters:
            staged = dataclasses.replace(staged, dead_letters=[*staged.dead_letters, *self._letters])
        return staged

    def _deadline(self) -> asyncio.Timeout:
        return asyncio.timeout(_COMMIT_DEADLINES * self._engine.transaction_timeout_seconds)

    async def _commit(self, context: CommitContext, staged: Staged) -> CommitRecord:
        parts = self._parts
        started = parts.clock.monotonic()
        record = CommitRecord(
            format=FORMAT,
            seq=context.seq,
            generation=self._generation,
            life=self._life,
            positions={parts.names.in_use(topic): offset for topic, offset in context.positions.items()},
        )
        letters = [to_output(each, stage=parts.stage, names=parts.names) for each in staged.dead_letters]
        commit = Commit(record=record, changes=staged.changes, outputs=staged.outputs, dead_letters=letters)
        try:
            async with self._deadline():
                written = await parts.committer.commit(commit)
        except Exception:
            telemetry.COMMITS_ABORTED.labels(stage=parts.label).inc()
            raise
        self._seq = context.seq
        self._committed = dict(context.positions)
        self._unsaid = False
        self._last_commit = parts.clock.monotonic()
        self._last_commit_seconds = self._last_commit - started
        telemetry.COMMITS.labels(stage=parts.label).inc()
        telemetry.COMMIT_SECONDS.labels(stage=parts.label).observe(self._last_commit_seconds)
        return written

    def _apply(self, staged: Staged, context: CommitContext) -> None:
        """Make the batch the state: after its commit, or at once where it had nothing to say."""
        try:
            self._processor.apply(staged)
        except StorageError:  # the disk's fault, not a record's
            raise
        except Exception as error:  # noqa: BLE001 - our own code, whatever it raises
            self._crashed(error)
        self._count(staged)
        self._pending = Pending()
        self._letters = []
        self._last_cut = self._parts.clock.monotonic()
        self._read = dict(context.positions)
        self._hunt.committed(self._committed)
        try:
            self._parts.on_committed(self._parts.stage, self._parts.partition, staged)
        except Exception:  # metrics and pages must not cost a task its state
            log.exception("on_committed_failed", stage=self._parts.label, partition=self._parts.partition)

    def close(self) -> None:
        """Write down what is committed, so that the next start need not read it."""
        self._keep.close()

    def _count(self, staged: Staged) -> None:
        label, pending = self._parts.label, self._pending
        telemetry.count_events(label, staged.counts)
        for letter in staged.dead_letters:
            telemetry.DEAD_LETTERS.labels(stage=label, reason=letter.reason).inc()
        for topic, n_records in pending.n_by_topic.items():
            telemetry.RECORDS.labels(stage=label, topic=topic).inc(n_records)
        if pending.last_timestamp_ms:
            age = (self._parts.clock.wall_ms() - pending.last_timestamp_ms) / 1000
            partition = str(self._parts.partition)
            telemetry.PROCESSING_LAG.labels(stage=label, partition=partition).set(max(0.0, age))
            telemetry.CLOCK_BEHIND.labels(stage=label, partition=partition).set(max(0.0, -age))
