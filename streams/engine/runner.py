"""Runs a stage in this process: its group's consumer, one task for every partition that is ours, their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from streams import telemetry
from streams.engine.clients import start_reader
from streams.engine.clock import Clock
from streams.engine.commit import make_committer
from streams.engine.errors import FetchError, PositionError, TopicLayoutError
from streams.engine.feed import GroupFeed
from streams.engine.layout import watch_layout
from streams.engine.owners import watch_owners
from streams.engine.parts import TaskParts, TaskState
from streams.engine.processor import Processor, Staged
from streams.engine.state_folder import open_state_folder
from streams.engine.steps import OnStep, no_fault
from streams.engine.task import Task
from streams.engine.topics import TopicNames
from streams.local.instance import InstanceFolder
from streams.settings import ProcessingGuarantee, Settings, StageName
from streams.stages import STAGES

log = structlog.get_logger(__name__)

_SUPERVISE_SECONDS: Final = 0.25
_FETCH_SECONDS: Final = 1.0
_HANDOVER_SECONDS: Final = 1.0


class StageRunner:
    """A stage in this process.

    Parameters
    ----------
    stage, settings, names
        What to run.
    make_processor
        Makes the Processor of a partition.
    on_committed
        Called after every commit, and after batches that had nothing to say.
    on_closed
        Called when a partition has gone elsewhere, or at the end.
    clock
        Time.
    on_step
        Awaited before and after every step of a commit; tests crash there.
    """

    def __init__(
        self,
        stage: StageName,
        settings: Settings,
        names: TopicNames,
        make_processor: Callable[[int], Processor],
        on_committed: Callable[[StageName, int, Staged], None] = lambda *_: None,
        on_closed: Callable[[StageName, int], None] = lambda *_: None,
        *,
        clock: Clock | None = None,
        on_step: OnStep = no_fault,
    ) -> None:
        self.stage = stage
        self._settings = settings
        self._names = names
        self._make_processor = make_processor
        self._on_committed = on_committed
        self._on_closed = on_closed
        self._clock = clock or Clock()
        self._on_step = on_step
        self._topics = {names.in_use(topic.name): topic.name for topic in STAGES[stage].inputs}
        self._tasks: dict[int, Task] = {}
        self._closing: dict[int, asyncio.Task[None]] = {}
        self._assigned: frozenset[TopicPartition] | None = None
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._feed: GroupFeed | None = None
        self._folder: InstanceFolder | None = None
        self._supervised = self.fetch_beat = self._clock.monotonic()

    # What others see

    @property
    def beat(self) -> float:
        """Monotonic time of the last turn of the slowest loop: tasks and supervisor.

        The fetch loop is left out, since it rightly waits through a rebalance; `fetch_beat` has it.
        """
        return min([self._supervised, *(task.beat for task in self._tasks.values())])

    @property
    def is_ready(self) -> bool:
        """Whether partitions are assigned (possibly none) and all of them restored."""
        assigned = self._assigned
        if assigned is None or self._ended.is_set():
            return False
        partitions = {each.partition for each in assigned}
        return partitions == set(self._tasks) and all(task.state is TaskState.RUNNING for task in self._tasks.values())

    @property
    def restore_progress(self) -> dict[int, float]:
        """Share of the changelog that is read, by partition."""
        return {partition: task.restore_progress for partition, task in self._tasks.items()}

    @property
    def task_states(self) -> dict[int, TaskState]:
        """State of every task, by partition."""
        return {partition: task.state for partition, task in sorted(self._tasks.items())}

    # Its life

    async def start(self) -> None:
        """Join the group; returns before partitions are assigned."""
        self._folder = await open_state_folder(self.stage, self._settings)
        feed = self._feed = GroupFeed(self.stage, self._settings, self._names, on_step=self._on_step)
        try:
            await start_reader(feed.consumer, self._settings)
        except BaseException:
            await feed.consumer.stop()
            if self._folder is not None:
                self._folder.close()
            raise
        feed.consumer.subscribe(list(self._topics), listener=_Listener(self))
        layout = watch_layout(self.stage, self._settings, self._names)
        owners = watch_owners(self.stage, self._settings, self._names, is_idle=lambda: self._assigned == frozenset())
        loops = [self._fetch(feed), self._supervise(feed), feed.commit_offsets(), layout, owners]
        self._loops = [asyncio.create_task(self._guarded(loop)) for loop in loops]

    async def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Wait until `is_ready`; raises what ended the runner, if something did."""
        async with asyncio.timeout(timeout_seconds):
            while not self.is_ready:
                if self._ended.is_set():
                    await self.wait()
                await asyncio.sleep(0.01)

    async def wait(self) -> None:
        """Wait until it ends, and raise what ended it unless that was `stop`."""
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """End the tasks (a commit under way ends first), leave the group."""
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        self._loops = []
        for partition in list(self._tasks):
            self._close(partition)
        if self._closing:
            await asyncio.wait(self._closing.values())
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.flush_offsets()
            await feed.consumer.stop()
        if self._folder is not None:
            self._folder.close()
        self._assigned = None
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        """End the runner by an error, which `wait` raises."""
        if self._failure is None:
            log.error("stage_failed", stage=self.stage.value, error=str(error), kind=type(error).__name__)
            self._failure = error
        self._ended.set()

    async def _guarded(self, loop: asyncio.Future[None] | object) -> None:
        try:
            await loop  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - a loop that ended for whatever reason ends the stage
            self.fail(error)

    # Fetching

    async def _fetch(self, feed: GroupFeed) -> None:
        consumer = feed.consumer
        chunk = self._settings.engine.fetch_max_records
        while True:
            self.fetch_beat = self._clock.monotonic()
            try:
                fetched = await consumer.getmany(timeout_ms=round(_FETCH_SECONDS * 1000), max_records=chunk)
            except KafkaError as error:
                self._judge(error)
                continue
            for partition, records in fetched.items():
                task = self._tasks.get(partition.partition)
                if task is not None:
                    task.offer(self._topics[partition.topic], records)
            if fetched:
                await asyncio.sleep(0)  # getmany does not give way while it has records at hand

    def _judge(self, error: KafkaError) -> None:
        """Raise what does not go away by itself."""
        where = f"stage {self.stage.value} cannot fetch"
        if type(error).__name__ == "OffsetOutOfRangeError":
            msg = (
                f"{where}: {error!r}; records were deleted before they were read. Lengthen the topic's retention, or"
                " start with another PLUMBLINE_ENGINE_APPLICATION_ID"
            )
            raise PositionError(msg) from error
        if error.retriable:
            log.warning("fetch_failed", stage=self.stage.value, error=repr(error))
            return
        msg = f"{where}: {error!r}"
        raise FetchError(msg) from error

    # The group: the callbacks only note, the supervisor acts

    async def revoked(self) -> None:
        """Note that a rebalance begins: every task is suspended, none is closed yet."""
        if self._feed is not None:
            self._feed.release()
        self._assigned = None
        self._changed.clear()  # an assignment that nobody has looked at is void
        for task in self._tasks.values():
            task.suspend()
        if self._settings.engine.processing_guarantee is ProcessingGuarantee.AT_LEAST_ONCE and self._tasks:
            # No fence: let commits that are under way land before the partitions may go to others.
            quiet = [asyncio.ensure_future(task.quiet()) for task in self._tasks.values()]
            _, late = await asyncio.wait(quiet, timeout=_HANDOVER_SECONDS)
            for each in late:
                each.cancel()

    def assigned(self, partitions: frozenset[TopicPartition]) -> None:
        """Note what is ours now."""
        if self._feed is None:
            return
        self._feed.hold(partitions)
        self._assigned = partitions
        telemetry.REBALANCES.labels(stage=self.stage.value).inc()
        self._changed.set()

    async def _supervise(self, feed: GroupFeed) -> None:
        while True:
            self._supervised = self._clock.monotonic()
            if self._changed.is_set() and self._assigned is not None:
                self._changed.clear()
                self._reconcile(feed, self._assigned)
            for task in self._tasks.values():
                if task.failure is not None:
                    raise task.failure
            self._closing = {p: closing for p, closing in self._closing.items() if not closing.done()}
            self.measure()
            try:
                async with asyncio.timeout(_SUPERVISE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _reconcile(self, feed: GroupFeed, assigned: frozenset[TopicPartition]) -> None:
        partitions = {each.partition for each in assigned}
        n_expected = self._names.n_partitions(STAGES[self.stage].spread)
        if partitions and max(partitions) >= n_expected:
            msg = (
                f"stage {self.stage.value} was given partition {max(partitions)}: expected {n_expected} partitions of"
                f" {sorted(self._topics)}; a count must not change while state exists, since keys move to other"
                " partitions than their state"
            )
            raise TopicLayoutError(msg)
        for partition in sorted(partitions):
            ours = {each.topic for each in assigned if each.partition == partition}
            if ours != set(self._topics):
                msg = (
                    f"partition {partition} of stage {self.stage.value} came with topics {sorted(ours)}: expected"
                    f" {sorted(self._topics)}; a topic was deleted, or has another partition count, or another member"
                    f" of group {self._names.group(self.stage)!r} reads other topics"
                )
                raise TopicLayoutError(msg)
        for partition in set(self._tasks) - partitions:
            self._close(partition)
        for partition in sorted(partitions):
            if partition in self._tasks:
                self._tasks[partition].resume()
            else:
                self._tasks[partition] = self._make_task(feed, partition)
                self._tasks[partition].start(after=self._closing.get(partition))
        log.info("partitions_assigned", stage=self.stage.value, partitions=sorted(partitions))

    def _make_task(self, feed: GroupFeed, partition: int) -> Task:
        return Task(
            TaskParts(
                stage=self.stage,
                partition=partition,
                settings=self._settings,
                names=self._names,
                make_processor=self._make_processor,
                on_committed=self._on_committed,
                feed=feed,
                committer=make_committer(self._settings, self._names, self.stage, partition, self._on_step),
                clock=self._clock,
                folder=None if self._folder is None else self._folder.task(partition),
                on_step=self._on_step,
            )
        )

    def _close(self, partition: int) -> None:
        task = self._tasks.pop(partition)

        async def close() -> None:
            await task.close()
            try:
                self._on_closed(self.stage, partition)
            except Exception:  # metrics and pages must not stop a hand-over
                log.exception("on_closed_failed", stage=self.stage.value, partition=partition)

        self._closing[partition] = asyncio.create_task(close(), name=f"close {self.stage.value} {partition}")

    def measure(self) -> None:
        """Bring the gauges of this stage up to date."""
        stage = self.stage.value
        states = [task.state for task in self._tasks.values()]
        for state in TaskState:
            telemetry.TASKS.labels(stage=stage, state=state.value).set(states.count(state))
        for partition, task in self._tasks.items():
            telemetry.QUEUE.labels(stage=stage, partition=str(partition)).set(task.n_queued)
            for topic, n_records in task.lag_records.items():
                telemetry.CONSUMER_LAG.labels(stage=stage, topic=topic, partition=str(partition)).set(n_records)
        telemetry.WORKER_READY.labels(stage=stage).set(self.is_ready)
        telemetry.LOOP_BEAT_AGE.labels(stage=stage).set(max(0.0, self._clock.monotonic() - self.beat))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's callbacks on; an exception in them would be swallowed, so it ends the runner instead."""

    def __init__(self, runner: StageRunner) -> None:
        self._runner = runner

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Note it."""
        del revoked
        try:
            await self._runner.revoked()
        except Exception as error:  # noqa: BLE001 - see the class
            self._runner.fail(error)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note it."""
        try:
            self._runner.assigned(frozenset(assigned))
        except Exception as error:  # noqa: BLE001 - see the class
            self._runner.fail(error)
