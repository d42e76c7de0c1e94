"""A stream task: owns one partition of a stage, and turns what arrives into commits.

Take over: fence, restore, seek. Then for ever: add what was fetched, cut a batch, stage it (pure, before any
transaction is open), commit it, apply it. Whatever fails in a commit costs the task its memory: it fences and
restores, and nothing is guessed.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NoReturn, Protocol

import structlog
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streams import telemetry
from streams.engine.changelog import FORMAT, CommitRecord, load_changes
from streams.engine.clock import Clock
from streams.engine.commit import Commit, Committer
from streams.engine.cutting import POSITIONS_INTERVAL_SECONDS, CutRules, Pending
from streams.engine.dead_letters import PROCESSING_ERROR, to_output
from streams.engine.errors import EngineError, PositionError, TaskLostError, TooManyTaskLossesError
from streams.engine.inbox import Inbox
from streams.engine.poison import PoisonHunt
from streams.engine.processor import CommitContext, DeadLetter, Processor, Record, Staged
from streams.engine.restore import restore_state
from streams.engine.topics import TopicNames
from streams.settings import EngineSettings, Settings, StageName
from streams.stages import STAGES

log = structlog.get_logger(__name__)

_LOSS_WINDOW_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 0.5
_TURN_SECONDS: Final = 0.5
"""An idle task turns at least this often, for its beat."""
_COMMIT_DEADLINES: Final = 3.0
"""A commit may take this many transaction timeouts; a broker that is back within them finds it still valid."""
_CLOSE_SECONDS: Final = 2.0
_AUTHORIZATION: Final = (
    TopicAuthorizationFailedError, GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed,
)  # fmt: skip
_AWAY: Final = (KafkaConnectionError, RequestTimedOutError, TimeoutError, OSError)


class TaskState(StrEnum):
    """Where a task is in its life."""

    FENCING = "fencing"
    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Feed(Protocol):
    """What a task needs of its stage's consumer. Topics are the table's names."""

    def seek(self, partition: int, positions: Mapping[str, int]) -> bool:
        """Fetch from these positions on; False where the partition is not ours at the moment."""

    def pause(self, partition: int) -> None:
        """Stop fetching a partition; nothing happens where it is not ours."""

    def resume(self, partition: int) -> None:
        """Go on fetching it."""

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the next offset that will be fetched; None where the partition is not ours."""

    def end(self, topic: str, partition: int) -> int | None:
        """Return the end of the log as the last fetch saw it; None before that."""

    async def bounds(self, partition: int) -> dict[str, tuple[int, int]]:
        """Return first and end offset by input topic."""

    async def changelog_end(self, partition: int) -> int:
        """Return the end of the stage's changelog partition."""

    async def group_positions(self, partition: int) -> dict[str, int | None]:
        """Return the group's committed offsets by input topic."""

    def committed(self, partition: int, positions: Mapping[str, int]) -> None:
        """Note positions that hold, for the group's offsets where the commit did not carry them."""


class ProcessorCrashedError(Exception):
    """Our own code raised; the Processor is discarded with its batch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskParts:
    """What a task is made of; its runner hands it in."""

    stage: StageName
    partition: int
    settings: Settings
    names: TopicNames
    make_processor: Callable[[int], Processor]
    on_committed: Callable[[StageName, int, Staged], None]
    feed: Feed
    committer: Committer
    clock: Clock


class Task:
    """One partition of a stage.

    Parameters
    ----------
    parts
        What it is made of.
    """

    def __init__(self, parts: TaskParts) -> None:
        self._parts = parts
        self._engine: EngineSettings = parts.settings.engine
        self._label = parts.stage.value
        self._topics = tuple(topic.name for topic in STAGES[parts.stage].inputs)
        self._rules = CutRules.of(self._engine)
        self._inbox = Inbox(self._engine.queue_max_records)
        self._hunt = PoisonHunt(self._engine.on_processing_error, partition=parts.partition)
        self._losses: deque[float] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running: asyncio.Task[None] | None = None
        self._state = TaskState.FENCING
        self._accepts = False
        self._suspended = False
        self._resumed = False
        self._needs_seek = False
        self._paused = False
        self._stopping = False
        self.beat = parts.clock.monotonic()
        self.restore_progress = 0.0
        self._begin_life(parts.make_processor(parts.partition), {}, seq=0, generation=0)

    def _begin_life(
        self, processor: Processor, positions: Mapping[str, int], *, seq: int, generation: int
    ) -> None:
        now = self._parts.clock.monotonic()
        self._processor = processor
        self._committed = dict(positions)
        self._read = dict(positions)
        self._seq = seq
        self._generation = generation
        self._pending = Pending()
        self._letters: list[DeadLetter] = []
        self._ends: dict[str, int] = {}
        self._last_commit = self._last_cut = now
        self._last_commit_seconds = 0.0
        self._last_heartbeat = now
        self._unsaid = True
        """Positions are to be committed even with nothing to say: at first, so that the group has offsets."""

    # What the runner calls

    @property
    def partition(self) -> int:
        """Which partition it owns."""
        return self._parts.partition

    @property
    def state(self) -> TaskState:
        """Where it is in its life."""
        if self._suspended and self._state is TaskState.RUNNING:
            return TaskState.SUSPENDED
        return self._state

    @property
    def n_queued(self) -> int:
        """Records fetched and not yet processed."""
        return self._inbox.n_records

    @property
    def lag_records(self) -> dict[str, int]:
        """Offsets between what was processed and the end, by topic."""
        return {
            topic: max(0, self._known_end(topic) - self._read.get(topic, 0)) for topic in self._topics
        }

    @property
    def failure(self) -> BaseException | None:
        """What ended it, if it ended by an error."""
        if self._running is None or not self._running.done() or self._running.cancelled():
            return None
        return self._running.exception()

    def start(self, after: asyncio.Task[None] | None = None) -> None:
        """Begin to take the partition over, once an earlier task of the same partition is closed."""
        name = f"{self._label} task {self.partition}"
        self._running = asyncio.create_task(self._run(after), name=name)

    def offer(self, topic: str, records: Sequence[Record]) -> None:
        """Take fetched records into the queue."""
        if not self._accepts:
            return
        self._inbox.offer(topic, records)
        if self._inbox.is_full and not self._paused:
            self._paused = True
            self._parts.feed.pause(self.partition)
        self._wake.set()

    def suspend(self) -> None:
        """Commit no more for now: the group is rebalancing."""
        self._suspended = True

    def resume(self) -> None:
        """Go on, with producer and memory as they are: the partition is ours (again)."""
        if self._suspended:
            self._suspended = False
            self._resumed = True
            self._needs_seek = True
        self._wake.set()

    async def quiet(self) -> None:
        """Wait until no commit is under way."""
        await self._idle.wait()

    async def close(self) -> None:
        """Let a commit that is under way end, drop what is staged or queued, and drop the producer."""
        self._stopping = True
        self._wake.set()
        if self._running is not None:
            if self._state is not TaskState.RUNNING:
                self._running.cancel()
            await asyncio.wait({self._running}, timeout=_CLOSE_SECONDS)
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=_CLOSE_SECONDS)
        self._state = TaskState.CLOSED
        telemetry.drop_task(self._label, self.partition)

    # Its life

    async def _run(self, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        try:
            while not self._stopping:
                try:
                    await self._take_over()
                    await self._work()
                except ProcessorCrashedError as crash:
                    log.error("processor_crashed", stage=self._label, partition=self.partition, error=str(crash))
                except Exception as error:  # noqa: BLE001 - whatever it was: fence, restore, resume; or end, loudly
                    self._lost(error)
                    await self._sleep(_RETRY_SECONDS)
        finally:
            self._accepts = False
            await self._parts.committer.close()

    async def _sleep(self, seconds: float) -> None:
        self.beat = self._parts.clock.monotonic()
        self._wake.clear()
        if self._stopping:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self.beat = self._parts.clock.monotonic()

    def _lost(self, error: Exception) -> None:
        """Note a loss; raises where the worker has to end."""
        if isinstance(error, _AUTHORIZATION):
            msg = f"task {self.partition} of stage {self._label} may not do what it has to: {error!r}"
            raise EngineError(msg) from error
        if isinstance(error, EngineError) and not isinstance(error, TaskLostError):
            raise error
        said = {"stage": self._label, "partition": self.partition, "error": repr(error)}
        if isinstance(error, _AWAY) and self._state is not TaskState.RUNNING:
            log.warning("broker_away", **said)  # waiting for it costs nothing but time
            return
        now = self._parts.clock.monotonic()
        self._losses.append(now)
        while self._losses[0] < now - _LOSS_WINDOW_SECONDS:
            self._losses.popleft()
        telemetry.TASK_LOSSES.labels(stage=self._label, reason=type(error).__name__).inc()
        log.warning("task_lost", **said, losses=len(self._losses))
        if len(self._losses) > self._engine.max_task_losses:
            msg = (
                f"task {self.partition} of stage {self._label} was lost {len(self._losses)} times in"
                f" {_LOSS_WINDOW_SECONDS:g} s: expected at most {self._engine.max_task_losses}"
                f" (engine.max_task_losses); the last time by {error!r}"
            )
            raise TooManyTaskLossesError(msg) from error

    async def _take_over(self) -> None:
        parts = self._parts
        started = parts.clock.monotonic()
        self._accepts = False
        self._state = TaskState.FENCING
        self._progress(0.0)
        parts.feed.pause(self.partition)
        await parts.committer.start()
        self._state = TaskState.RESTORING
        processor = parts.make_processor(self.partition)
        restored = await restore_state(
            parts.settings,
            topic=parts.names.changelog(parts.stage),
            partition=self.partition,
            restore=processor.restore,
            on_progress=self._progress,
            clock=parts.clock,
        )
        parts.committer.restored(restored.end)
        record = restored.record
        if record is not None:
            # Under at_least_once the last commit may not have been forwarded: it is sent again, never cut anew.
            for change in load_changes(record):
                processor.restore(change.key, change.value)
            await parts.committer.forward(record)
        processor.restored()
        positions = await self._resume_positions(record)
        self._begin_life(
            processor,
            positions,
            seq=0 if record is None else record.seq,
            generation=1 if record is None else record.generation + 1,
        )
        self._ends = {topic: end for topic, (_, end) in (await parts.feed.bounds(self.partition)).items()}
        self._inbox.reset(positions)
        self._needs_seek = True
        self._resumed = False
        self._state = TaskState.RUNNING
        seconds = parts.clock.monotonic() - started
        telemetry.RESTORE_SECONDS.labels(stage=self._label).observe(seconds)
        log.info(
            "task_restored", stage=self._label, partition=self.partition, seq=self._seq,
            entries=restored.n_entries, seconds=round(seconds, 3),
        )  # fmt: skip

    def _progress(self, ratio: float) -> None:
        self.beat = self._parts.clock.monotonic()
        self.restore_progress = ratio
        telemetry.RESTORE_PROGRESS.labels(stage=self._label, partition=str(self.partition)).set(ratio)

    async def _resume_positions(self, record: CommitRecord | None) -> dict[str, int]:
        """Return where to go on: the commit record's positions, checked against the log and the group."""
        parts = self._parts
        bounds = await parts.feed.bounds(self.partition)
        group = await parts.feed.group_positions(self.partition)
        stored = {} if record is None else {parts.names.table(t): p for t, p in record.positions.items()}
        positions = {}
        for topic in self._topics:
            begin, end = bounds[topic]
            position = positions[topic] = stored.get(topic, begin)
            where = f"topic {parts.names.in_use(topic)!r}, partition {self.partition}"
            if not begin <= position <= end:
                msg = (
                    f"{where}: the commit record resumes at offset {position}, but the log has {begin} to {end};"
                    " records were deleted before they were read, or the topic was created anew: restore it, or"
                    " start with another PLUMBLINE_ENGINE_APPLICATION_ID"
                )
                raise PositionError(msg)
            committed = group.get(topic)
            if committed is not None and committed > max(position, begin):
                msg = (
                    f"{where}: the group's committed offset {committed} is ahead of the changelog's {position};"
                    " the changelog is the truth, and was lost or the offset was set by hand: restore the changelog,"
                    " or reset the group's offset to it"
                )
                raise PositionError(msg)
            if committed is not None and committed < position:
                log.info("group_offset_behind", topic=topic, partition=self.partition, by=position - committed)
        return positions

    # Its work

    async def _work(self) -> None:
        self._accepts = True
        while not self._stopping:
            now = self.beat = self._parts.clock.monotonic()
            if self._suspended or (self._needs_seek and not await self._go_on()):
                await self._sleep(_TURN_SECONDS)
                continue
            took = self._take(now)
            if await self._is_due(now):
                await self._cut()
            elif took:
                await asyncio.sleep(0)
            if not took and not self._inbox.n_records:
                await self._sleep(self._until_due(self._parts.clock.monotonic()))

    async def _go_on(self) -> bool:
        """Seek to where the queue ends, after a take-over or a rebalance; False where that has to wait."""
        if self._resumed:
            self._resumed = False
            end = await self._parts.feed.changelog_end(self.partition)
            if not self._parts.committer.is_owner(end):
                telemetry.OWNERSHIP_OVERLAPS.labels(stage=self._label).inc()
                msg = f"the changelog of partition {self.partition} has grown to {end} since it was suspended"
                raise TaskLostError(msg)
        if self._suspended or not self._parts.feed.seek(self.partition, self._inbox.next_positions):
            return False
        self._needs_seek = self._paused = False
        return True

    def _take(self, now: float) -> bool:
        """Hand the next chunk to the Processor; False where there is none, or the batch is full."""
        limit = self._hunt.limit
        if self._rules.is_full(self._pending, limit=limit):
            return False
        room = self._engine.fetch_max_records if limit is None else limit - self._pending.n_records
        chunk = self._inbox.take(min(room, self._engine.fetch_max_records))
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
            self._crashed(error)
        self._read[topic] = self._pending.last[topic] + 1
        if self._paused and self._inbox.is_low:
            self._paused = False
            self._parts.feed.resume(self.partition)
        return True

    def _set_aside(self, topic: str, records: Sequence[Record]) -> Sequence[Record]:
        poison = self._hunt.poison
        self._letters += [
            DeadLetter(record=record, reason=PROCESSING_ERROR, message=poison[topic, record.offset])
            for record in records
            if (topic, record.offset) in poison
        ]
        return [record for record in records if (topic, record.offset) not in poison]

    def _crashed(self, error: Exception) -> NoReturn:
        telemetry.PROCESSOR_CRASHES.labels(stage=self._label).inc()
        self._hunt.crashed(self._pending, start=self._committed, error=error)
        msg = f"{type(error).__name__}: {error}; at {self._pending.describe(self.partition)}"
        raise ProcessorCrashedError(msg) from error

    # When

    def _known_end(self, topic: str) -> int:
        seen = self._parts.feed.end(topic, self.partition)
        return max(self._ends.get(topic, 0), seen or 0)

    async def _positions(self) -> dict[str, int]:
        """Return the next offsets to process: behind transaction markers where nothing of a topic is queued."""
        positions = dict(self._read)
        for topic in self._topics:
            fetched = await self._parts.feed.position(topic, self.partition)
            if fetched is not None and not self._inbox.has(topic):
                positions[topic] = max(positions.get(topic, 0), fetched)
        return positions

    async def _is_drained(self) -> bool:
        if self._inbox.n_records:
            return False
        positions = await self._positions()
        return all(positions[topic] >= self._known_end(topic) for topic in self._topics)

    async def _is_due(self, now: float) -> bool:
        pending = self._pending
        if now - self._last_heartbeat >= self._engine.heartbeat_interval_seconds:
            return True
        if pending.n_records:
            if self._rules.is_full(pending, limit=self._hunt.limit) or self._rules.is_old(pending, now=now):
                return True
            gap = self._rules.drained_gap_seconds(self._last_commit_seconds)
            return now - self._last_cut >= gap and not self._inbox.n_records and await self._is_drained()
        return self._positions_are_due(now) and (self._unsaid or await self._positions() != self._committed)

    def _positions_are_due(self, now: float) -> bool:
        return now - self._last_commit >= min(POSITIONS_INTERVAL_SECONDS, self._engine.heartbeat_interval_seconds)

    def _until_due(self, now: float) -> float:
        """Return how long there is nothing to do, unless something arrives."""
        until = [_TURN_SECONDS, self._last_heartbeat + self._engine.heartbeat_interval_seconds - now]
        if self._pending.since is not None:
            gap = self._rules.drained_gap_seconds(self._last_commit_seconds)
            drained = self._last_cut + gap - now
            # Not yet drained, though the gap is over: the fetch that shows it will wake us, or the interval ends.
            until += [self._pending.since + self._rules.interval_seconds - now]
            until += [drained] if drained > 0 else []
        return max(0.0, min(until))

    # The commit

    async def _cut(self) -> None:
        self._idle.clear()
        try:
            await self._stage_and_commit()
        finally:
            self._idle.set()

    async def _stage_and_commit(self) -> None:
        clock = self._parts.clock
        now = clock.monotonic()
        heartbeat = now - self._last_heartbeat >= self._engine.heartbeat_interval_seconds
        positions = await self._positions()
        context = CommitContext(
            partition=self.partition,
            seq=self._seq + 1,
            positions=positions,
            previous_positions=dict(self._committed),
            now_ms=clock.wall_ms(),
            caught_up=not self._inbox.n_records
            and all(positions[topic] >= self._known_end(topic) for topic in self._topics),
        )
        try:
            staged = self._processor.stage(context, heartbeat=heartbeat)
        except Exception as error:  # noqa: BLE001 - our own code, whatever it raises
            self._crashed(error)
        if self._letters:
            staged = dataclasses.replace(staged, dead_letters=[*staged.dead_letters, *self._letters])
        moved = self._unsaid or positions != self._committed
        written = None
        if not staged.is_empty or (moved and (self._positions_are_due(now) or self._hunt.limit is not None)):
            written = await self._commit(context, staged)
        if heartbeat:
            self._last_heartbeat = now
        self._apply(staged, context)
        if written is not None:
            await self._forward(written)

    async def _commit(self, context: CommitContext, staged: Staged) -> CommitRecord:
        parts = self._parts
        started = parts.clock.monotonic()
        record = CommitRecord(
            format=FORMAT,
            seq=context.seq,
            generation=self._generation,
            positions={parts.names.in_use(topic): offset for topic, offset in context.positions.items()},
        )
        commit = Commit(
            record=record,
            changes=staged.changes,
            outputs=staged.outputs,
            dead_letters=[
                to_output(letter, stage=parts.stage, names=parts.names) for letter in staged.dead_letters
            ],
        )
        try:
            async with asyncio.timeout(_COMMIT_DEADLINES * self._engine.transaction_timeout_seconds):
                written = await parts.committer.commit(commit)
        except Exception:
            telemetry.COMMITS_ABORTED.labels(stage=self._label).inc()
            raise
        self._seq = context.seq
        self._committed = dict(context.positions)
        self._unsaid = False
        self._last_commit = parts.clock.monotonic()
        self._last_commit_seconds = self._last_commit - started
        telemetry.COMMITS.labels(stage=self._label).inc()
        telemetry.COMMIT_SECONDS.labels(stage=self._label).observe(self._last_commit_seconds)
        parts.feed.committed(self.partition, self._committed)
        return written

    async def _forward(self, written: CommitRecord) -> None:
        async with asyncio.timeout(_COMMIT_DEADLINES * self._engine.transaction_timeout_seconds):
            await self._parts.committer.forward(written)

    def _apply(self, staged: Staged, context: CommitContext) -> None:
        """Make the batch the state: after its commit, or at once where it had nothing to say."""
        try:
            self._processor.apply(staged)
        except Exception as error:  # noqa: BLE001 - our own code, whatever it raises
            self._crashed(error)
        self._count(staged)
        self._pending = Pending()
        self._letters = []
        self._last_cut = self._parts.clock.monotonic()
        self._read = dict(context.positions)
        self._hunt.committed(self._committed)
        try:
            self._parts.on_committed(self._parts.stage, self.partition, staged)
        except Exception:  # metrics and pages must not cost a task its state
            log.exception("on_committed_failed", stage=self._label, partition=self.partition)

    def _count(self, staged: Staged) -> None:
        pending = self._pending
        telemetry.count_events(self._label, staged.counts)
        for letter in staged.dead_letters:
            telemetry.DEAD_LETTERS.labels(stage=self._label, reason=letter.reason).inc()
        for topic, n_records in pending.n_by_topic.items():
            telemetry.RECORDS.labels(stage=self._label, topic=topic).inc(n_records)
        if pending.last_timestamp_ms:
            age = max(0.0, (self._parts.clock.wall_ms() - pending.last_timestamp_ms) / 1000)
            telemetry.PROCESSING_LAG.labels(stage=self._label, partition=str(self.partition)).set(age)
