"""A stream task: owns one partition of a stage, through take-overs, tenures, rebalances and its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog

from streams import telemetry
from streams.engine.errors import TaskLostError
from streams.engine.inbox import Inbox
from streams.engine.losses import Losses
from streams.engine.parts import ProcessorCrashedError, TaskParts, TaskState
from streams.engine.poison import PoisonHunt
from streams.engine.processor import Record
from streams.engine.takeover import take_over
from streams.engine.tenure import Tenure

log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_TURN_SECONDS: Final = 2.0
"""An idle task turns at least this often, for its beat."""
_CLOSE_SECONDS: Final = 2.0


class Task:
    """One partition of a stage.

    Parameters
    ----------
    parts
        What it is made of.
    """

    def __init__(self, parts: TaskParts) -> None:
        engine = parts.settings.engine
        self._parts = parts
        self._said = {"stage": parts.label, "partition": parts.partition}
        self._inbox = Inbox(engine.queue_max_records)
        self._hunt = PoisonHunt(engine.on_processing_error, partition=parts.partition)
        self._losses = Losses(engine.max_task_losses, who=f"task {parts.partition} of stage {parts.label}")
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running: asyncio.Task[None] | None = None
        self._tenure: Tenure | None = None
        self._state = TaskState.FENCING
        self._suspended = False
        self._resumed = False
        self._needs_seek = False
        self._paused = False
        self._stopping = False
        self.beat = parts.clock.monotonic()
        self.restore_progress = 0.0

    # What the runner sees and calls

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
        """Offsets between what was processed and the end, by topic; empty while it takes over."""
        return {} if self._tenure is None else self._tenure.lag_records

    @property
    def failure(self) -> BaseException | None:
        """What ended it, if it ended by an error."""
        if self._running is None or not self._running.done() or self._running.cancelled():
            return None
        return self._running.exception()

    def start(self, after: asyncio.Task[None] | None = None) -> None:
        """Begin to take the partition over, once an earlier task of the same partition is closed."""
        name = f"task {self._parts.label} {self._parts.partition}"
        self._running = asyncio.create_task(self._run(after), name=name)

    def offer(self, topic: str, records: Sequence[Record]) -> None:
        """Take fetched records into the queue."""
        if self._tenure is None:
            return
        self._inbox.offer(topic, records)
        if self._inbox.is_full and not self._paused:
            self._paused = True
            self._parts.feed.pause(self._parts.partition)
        self._wake.set()

    def suspend(self) -> None:
        """Commit no more for now: the group is rebalancing."""
        self._suspended = True

    def resume(self) -> None:
        """Go on, with producer and memory as they are: the partition is ours (again)."""
        if self._suspended:
            self._suspended = False
            self._resumed = self._needs_seek = True
        self._wake.set()

    async def quiet(self) -> None:
        """Wait until no commit is under way."""
        await self._idle.wait()

    async def close(self) -> None:
        """Let a commit that is under way end, drop what is staged or queued, and drop the producer."""
        self._stopping = True
        self._wake.set()
        if self._running is not None:
            if self._tenure is None:
                self._running.cancel()
            await asyncio.wait({self._running}, timeout=_CLOSE_SECONDS)
            self._running.cancel()
            await asyncio.wait({self._running}, timeout=_CLOSE_SECONDS)
        self._state = TaskState.CLOSED
        telemetry.drop_task(self._parts.label, self._parts.partition)

    # Its life

    async def _run(self, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait({after})
        try:
            while not self._stopping:
                if self._suspended:
                    # Whose the partition is, the group is about to say: a fence now would hit its next owner.
                    await self._sleep(_TURN_SECONDS)
                    continue
                try:
                    await self._work(await self._take_over())
                    self._close_tenure()
                except ProcessorCrashedError as crash:
                    log.error("processor_crashed", **self._said, error=str(crash))
                except Exception as error:  # noqa: BLE001 - whatever it was: fence, restore, resume; or end, loudly
                    self._lost(error)
                    await self._sleep(_RETRY_SECONDS)
        finally:
            self._tenure = None
            await self._parts.committer.close()

    def _close_tenure(self) -> None:
        if self._tenure is not None:
            self._tenure.close()

    def _lost(self, error: Exception) -> None:
        taking_over = self._tenure is None
        self._tenure = None
        n_losses = self._losses.judge(error, now=self._parts.clock.monotonic(), taking_over=taking_over)
        if n_losses is None:
            log.warning("broker_away", **self._said, error=repr(error))
            return
        telemetry.TASK_LOSSES.labels(stage=self._parts.label, reason=type(error).__name__).inc()
        log.warning("task_lost", **self._said, error=repr(error), losses=n_losses)

    async def _take_over(self) -> Tenure:
        started = self._parts.clock.monotonic()
        self._tenure = None
        taken = await take_over(self._parts, on_state=self._set_state, on_progress=self._progress)
        self._inbox.reset(taken.positions)
        self._needs_seek = True
        self._resumed = False
        self._set_state(TaskState.RUNNING)
        seconds = self._parts.clock.monotonic() - started
        telemetry.RESTORE_SECONDS.labels(stage=self._parts.label).observe(seconds)
        log.info("task_restored", **self._said, seq=taken.seq, entries=taken.n_entries, seconds=round(seconds, 3))
        return Tenure(self._parts, taken, self._inbox, self._hunt)

    def _set_state(self, state: TaskState) -> None:
        self._state = state

    def _progress(self, ratio: float) -> None:
        self.beat = self._parts.clock.monotonic()
        self.restore_progress = ratio
        labels = {"stage": self._parts.label, "partition": str(self._parts.partition)}
        telemetry.RESTORE_PROGRESS.labels(**labels).set(ratio)

    async def _work(self, tenure: Tenure) -> None:
        self._tenure = tenure
        while not self._stopping:
            now = self.beat = self._parts.clock.monotonic()
            if self._suspended or (self._needs_seek and not await self._go_on()):
                await self._sleep(_RETRY_SECONDS)
                continue
            took = tenure.take(now)
            if self._paused and self._inbox.is_low:
                self._paused = False
                self._parts.feed.resume(self._parts.partition)
            if await tenure.is_due(now):
                await self._cut(tenure)
            elif took:
                await asyncio.sleep(0)
            if not took and not self._inbox.n_records:
                await self._sleep(min(_TURN_SECONDS, tenure.until_due(self._parts.clock.monotonic())))

    async def _cut(self, tenure: Tenure) -> None:
        self._idle.clear()
        try:
            await tenure.cut()
        finally:
            self._idle.set()

    async def _go_on(self) -> bool:
        """Seek to where the queue ends, after a take-over or a rebalance; False where that has to wait."""
        feed, partition = self._parts.feed, self._parts.partition
        if self._resumed:
            self._resumed = False
            end = await feed.changelog_end(partition)
            if not self._parts.committer.is_owner(end):
                telemetry.OWNERSHIP_OVERLAPS.labels(stage=self._parts.label).inc()
                msg = f"the changelog of partition {partition} has grown to {end} since the task was suspended"
                raise TaskLostError(msg)
        if self._suspended or not feed.seek(partition, self._inbox.next_positions):
            return False
        self._needs_seek = self._paused = False
        return True

    async def _sleep(self, seconds: float) -> None:
        """Wait for something to do, and no longer than this."""
        self._wake.clear()
        if not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        self.beat = self._parts.clock.monotonic()
