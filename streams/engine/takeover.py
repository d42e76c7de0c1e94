"""Taking a partition over: fence, restore, and find out where to go on.

State counts only if it is loaded after one's own fence, and positions come from the commit record alone; the
group's committed offset may lag behind a transaction that holds, so it is compared and not trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from streams.engine.changelog import CommitRecord, load_changes, new_life
from streams.engine.clock import Clock
from streams.engine.errors import PositionError
from streams.engine.parts import TaskParts, TaskState
from streams.engine.processor import LocalProcessor, Processor
from streams.engine.restore import YIELD_SECONDS, Restored, restore_state
from streams.local.errors import UnusableStateError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """A restored Processor, and where it stands.

    Attributes
    ----------
    processor
        Restored.
    positions
        Next offset to process by input topic.
    ends
        Where the inputs ended when they were looked at.
    seq
        Number of the last commit.
    record_at
        Its offset in the changelog; -1 without one.
    generation
        Number of this owner.
    life
        The changelog's: see `CommitRecord`.
    n_entries
        Entries of the changelog that were read.
    """

    processor: Processor
    positions: dict[str, int]
    ends: dict[str, int]
    seq: int
    record_at: int
    generation: int
    life: str
    n_entries: int


async def take_over(
    parts: TaskParts, *, on_state: Callable[[TaskState], None], on_progress: Callable[[float], None]
) -> TakenOver:
    """Fence the older owner, restore the state, and return both with the positions to resume from."""
    on_state(TaskState.FENCING)
    on_progress(0.0)
    parts.feed.pause(parts.partition)
    await parts.committer.start()
    on_state(TaskState.RESTORING)
    processor, restored = await _restored(parts, on_progress)
    parts.committer.restored(restored.end)
    record = restored.record
    if record is not None:
        await parts.committer.forward(record)
    bounds = await parts.feed.bounds(parts.partition)
    return TakenOver(
        processor=processor,
        positions=await _positions(parts, record, bounds),
        ends={topic: end for topic, (_, end) in bounds.items()},
        seq=0 if record is None else record.seq,
        record_at=restored.record_at,
        generation=1 if record is None else record.generation + 1,
        life=new_life() if record is None or not record.life else record.life,
        n_entries=restored.n_entries,
    )


async def _restored(parts: TaskParts, on_progress: Callable[[float], None]) -> tuple[Processor, Restored]:
    """Restore from local files and the end of the changelog, or where they are of no use from all of it."""
    folder = parts.folder
    if folder is not None:
        try:
            return await _restore(parts, on_progress, with_files=True)
        except UnusableStateError as error:
            folder.drop(str(error))
    return await _restore(parts, on_progress, with_files=False)


async def _restore(
    parts: TaskParts, on_progress: Callable[[float], None], *, with_files: bool
) -> tuple[Processor, Restored]:
    processor = parts.make_processor(parts.partition)
    manifest = None
    if parts.folder is not None and isinstance(processor, LocalProcessor):
        processor.use_folder(parts.folder.path)
        found = await asyncio.to_thread(parts.folder.load) if with_files else None
        if found is not None:
            manifest, snapshot = found
            processor.restore_local(snapshot)
    restored = await restore_state(
        parts.settings,
        topic=parts.names.changelog(parts.stage),
        partition=parts.partition,
        restore=processor.restore,
        on_progress=on_progress,
        clock=parts.clock,
        start=None if manifest is None else manifest.position,
    )
    record = restored.record
    if manifest is not None and record is not None and record.life != manifest.life:
        msg = "local files are of an earlier life of the changelog: it was deleted, or rewritten, since"
        raise UnusableStateError(msg)
    if manifest is not None and (record is None or record.seq < manifest.seq):
        found_seq = "none" if record is None else record.seq
        msg = f"local files are of commit {manifest.seq}: expected at most {found_seq}, the last of the changelog"
        raise UnusableStateError(msg)
    if record is not None:
        # Under at_least_once the last commit may not have been forwarded: it is sent again, never cut anew.
        for change in load_changes(record):
            processor.restore(change.key, change.value)
    if isinstance(processor, LocalProcessor):
        await _with_pauses(processor.restoring(), parts.clock, lambda: on_progress(1.0))
    else:
        processor.restored()
    if manifest is not None:
        log.info("local_state_used", stage=parts.label, partition=parts.partition, seq=manifest.seq)
    return processor, restored


async def _with_pauses(steps: Iterator[None], clock: Clock, beat: Callable[[], None]) -> None:
    paused = clock.monotonic()
    for _ in steps:
        if clock.monotonic() - paused > YIELD_SECONDS:
            beat()
            await asyncio.sleep(0)
            paused = clock.monotonic()


async def _positions(
    parts: TaskParts, record: CommitRecord | None, bounds: dict[str, tuple[int, int]]
) -> dict[str, int]:
    """Return the commit record's positions, checked against the log and the group."""
    group = await parts.feed.group_positions(parts.partition)
    stored = {} if record is None else {parts.names.table(t): p for t, p in record.positions.items()}
    positions = {}
    for topic in parts.topics:
        begin, end = bounds[topic]
        position = positions[topic] = stored.get(topic, begin)
        where = f"topic {parts.names.in_use(topic)!r}, partition {parts.partition}"
        if not begin <= position <= end:
            msg = (
                f"{where}: the commit record resumes at offset {position}, but the log has {begin} to {end};"
                " records were deleted before they were read, or the topic was created anew: restore it, or"
                " start with another PLUMBLINE_ENGINE_APPLICATION_ID"
            )
            raise PositionError(msg)
        _compare(parts, topic, where, position=position, committed=group.get(topic))
    return positions


def _compare(parts: TaskParts, topic: str, where: str, *, position: int, committed: int | None) -> None:
    if committed is None or committed == position:
        return
    if committed > position:
        msg = (
            f"{where}: the group's committed offset {committed} is ahead of the changelog's {position};"
            " the changelog is the truth, and was lost or the offset was set by hand: restore the changelog,"
            " or reset the group's offset to it"
        )
        raise PositionError(msg)
    log.info("group_offset_behind", topic=topic, partition=parts.partition, by=position - committed)
