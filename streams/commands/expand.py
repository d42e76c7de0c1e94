"""`plumbline topics expand`: more partitions for predictions and labels, with the state that belongs to them.

A pending prediction lies in the partition that its id had under the old count; its label will come to the one that it
has under the new. So the state moves too (decision 0024).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from schemas import topics
from schemas.base import from_milliseconds
from schemas.events import WATERMARK_TYPE
from streams.commands import broker
from streams.commands.console import CommandError, UsageError, note
from streams.control.view import ControlView
from streams.engine.clients import open_admin
from streams.engine.expansion import (
    Admin,
    NewState,
    StoredState,
    fence,
    grow,
    input_ends,
    read_state,
    scan,
    topic_counts,
    write_state,
)
from streams.engine.groups import wait_until_empty
from streams.engine.names import TopicNames
from streams.engine.partitioning import PARTITIONERS, PartitionerSurvey, Places
from streams.engine.processor import CommitContext, Output, Record
from streams.ingest.arrow import ids_of, is_batch, open_batch
from streams.ingest.envelope import payload_of
from streams.ingest.rejection import RejectedError
from streams.ingest.values import hashes
from streams.profiler.levelling import latest_marks, levelled
from streams.profiler.rekeying import OldState, UnplacedError
from streams.settings import ProcessingGuarantee, Settings, StageName

_INPUTS: Final = (topics.PREDICTIONS, topics.LABELS)
_STAGE: Final = StageName.PROFILER
_PATIENCE_SECONDS: Final = 5.0
"""Beyond a session, for a group to notice that a worker is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Partition counts as they are; before, while and after a change that may have been interrupted."""

    changelog: int
    inputs: Mapping[str, int]
    """By name in use."""

    def old(self, names: TopicNames) -> int:
        """The count that state and predictions have had: predictions grow last."""
        return self.inputs[names.in_use(topics.PREDICTIONS.name)]


async def expand(
    settings: Settings,
    n_partitions: int,
    *,
    partitioner: str = "auto",
    dry_run: bool = False,
    confirm: Callable[[str], bool] = lambda _: True,
    wait: Callable[[float], object] = time.sleep,
    quiet_seconds: float = 3.0,
) -> None:
    """Grow the topics of events and move the profiler's state; can be repeated until it has ended with success.

    Parameters
    ----------
    settings
        Of the application; its `topics.events_partitions` does not matter.
    n_partitions
        The new count.
    partitioner
        `murmur2`, `crc32`, or `auto`: found out from where records lie.
    dry_run
        Say what would be done, and whether everything that is needed is there.
    confirm
        Asked once before anything is changed.
    wait
        Waits so many seconds, to see whether producers still write.
    quiet_seconds
        How long nothing may be written.

    Raises
    ------
    UsageError
        Where the count does not grow, or the guarantee is not exactly_once.
    GroupInUseError
        While workers run.
    CommandError
        Where something is unread, still written, or cannot be placed; nothing has changed then.
    """
    _check(settings, partitioner)
    names = TopicNames(settings)
    admin = await open_admin(settings)
    try:
        counts = await _counts(admin, names, n_partitions)
        if counts.old(names) == n_partitions:
            note(f"{names.in_use(topics.PREDICTIONS.name)} has {n_partitions} partitions already: nothing to do.")
            return
        patience = settings.engine.session_timeout_seconds + _PATIENCE_SECONDS
        await wait_until_empty(admin, [names.group(_STAGE)], within_seconds=patience)
        moved = counts.changelog == n_partitions and await _is_moved(settings, names, n_partitions)
        plan = None if moved else await _Move(settings, names, counts.old(names), n_partitions).prepare(partitioner)
        if plan is not None:
            note(plan.summary)
        if dry_run:
            note("A dry run: nothing was changed.")
            return
        before = await _ends(settings, names, counts.old(names))
        await asyncio.to_thread(wait, quiet_seconds)
        _check_quiet(before, await _ends(settings, names, counts.old(names)), "still written")
        if not confirm(f"Grow {', '.join(_grown(names))} and the state of stage {_STAGE.value} to {n_partitions}?"):
            note("Nothing was changed.")
            return
        await grow(admin, settings, names.changelog(_STAGE), n_partitions)
        await wait_until_empty(admin, [names.group(_STAGE)], within_seconds=0)
        if plan is not None:
            await write_state(settings, names, _STAGE, plan.states, plan.outputs)
        for topic in _grown(names):
            await grow(admin, settings, topic, n_partitions)
        _check_quiet(before, await _ends(settings, names, counts.old(names)), "written while partitions were added")
    finally:
        await admin.close()
    note(
        f"Done. Set PLUMBLINE_TOPICS_EVENTS_PARTITIONS={n_partitions} for every worker and command, start the workers,"
        " and then the producers: a producer that was not restarted may use the old count for some minutes."
    )


def _check(settings: Settings, partitioner: str) -> None:
    if partitioner not in {"auto", *PARTITIONERS}:
        msg = f"--partitioner = {partitioner!r}: expected auto, {' or '.join(PARTITIONERS)}"
        raise UsageError(msg)
    if settings.engine.processing_guarantee is not ProcessingGuarantee.EXACTLY_ONCE:
        msg = (
            "engine.processing_guarantee = 'at_least_once': expected exactly_once, since state can only be moved in a"
            " transaction"
        )
        raise UsageError(msg)


def _grown(names: TopicNames) -> list[str]:
    """Topics of the inputs' count, predictions last: until they have grown, no worker starts."""
    return [names.in_use(each.name) for each in (topics.DEAD_LETTERS, topics.LABELS, topics.PREDICTIONS)]


async def _counts(admin: Admin, names: TopicNames, n_partitions: int) -> Counts:
    wanted = [names.changelog(_STAGE), *_grown(names)]
    found = await topic_counts(admin, wanted)
    for name in wanted:
        if name not in found:
            msg = f"topic {name!r} does not exist: there is nothing to grow; `plumbline topics create` makes it"
            raise UsageError(msg)
        if found[name] > n_partitions:
            msg = f"topic {name!r} has {found[name]} partitions: expected at most the new count, {n_partitions}"
            raise UsageError(msg)
    changelog = found.pop(names.changelog(_STAGE))
    return Counts(changelog=changelog, inputs=found)


async def _is_moved(settings: Settings, names: TopicNames, n_partitions: int) -> bool:
    """Whether the state is that of the new count: one transaction gave every partition its commit record."""
    states = await read_state(settings, names, _STAGE, n_partitions)
    return states[-1].record is not None


async def _ends(settings: Settings, names: TopicNames, n_partitions: int) -> dict[tuple[str, int], int]:
    return await input_ends(settings, [names.in_use(each.name) for each in _INPUTS], n_partitions)


def _check_quiet(before: Mapping[tuple[str, int], int], after: Mapping[tuple[str, int], int], what: str) -> None:
    moved = [each for each, end in after.items() if end != before[each]]
    if moved:
        topic, partition = moved[0]
        msg = (
            f"{topic}, partition {partition}, is {what} (offsets {before[moved[0]]} to {after[moved[0]]}): stop the"
            " producers of predictions and labels; a record that is placed by the old count meets no label by the new"
        )
        raise CommandError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    states: Sequence[NewState]
    outputs: Sequence[Output]
    summary: str


class _Move:
    """The state under the new count, worked out from the changelog and the ids that the topics still hold."""

    def __init__(self, settings: Settings, names: TopicNames, n_old: int, n_new: int) -> None:
        self._settings = settings
        self._names = names
        self._n_old = n_old
        self._n_new = n_new

    async def prepare(self, partitioner: str) -> _Plan:
        """Read everything, and return what would be written."""
        await fence(self._settings, self._names, _STAGE, self._n_old)
        control = ControlView()
        await broker.scan(self._settings, topics.CONTROL_TOPICS, control.apply_record, merged=True)
        stored = await read_state(self._settings, self._names, _STAGE, self._n_old)
        keys = [frozenset(each.entries) for each in stored]
        outputs = self._level(stored, control)
        old = OldState([each.entries for each in stored], plan_by_id=control.plan_by_id, spec_of=control.spec)
        high, low = old.ids()
        places, survey = Places(high, low, self._n_new), PartitionerSurvey(self._n_old)
        for topic in _INPUTS:
            await self._read(topic.name, stored, places, survey)
        chosen = survey.verdict(partitioner)
        try:
            entries = old.rekeyed(self._n_new, places.place(chosen))
        except UnplacedError as error:
            raise self._unplaced(error) from error
        states = [self._new_state(p, stored, keys, each) for p, each in enumerate(entries)]
        summary = (
            f"{len(high)} rows of {len(old.models)} models in {self._n_old} partitions go to {self._n_new}, placed by"
            f" {chosen} ({survey.n_records} keyed records agree)."
        )
        return _Plan(states=states, outputs=outputs, summary=summary)

    def _level(self, stored: Sequence[StoredState], control: ControlView) -> list[Output]:
        """Bring all partitions to one event time; what they have to say about that goes out with the move."""
        marks = latest_marks(each.entries for each in stored)
        said: list[Output] = []
        for partition, state in enumerate(stored):
            if state.record is None:
                continue
            positions = {self._names.table(name): offset for name, offset in state.record.positions.items()}
            context = CommitContext(
                partition=partition,
                seq=state.record.seq + 1,
                positions=positions,
                previous_positions=positions,
                now_ms=0,
                caught_up=True,
            )
            staged = levelled(state.entries, marks, context=context, settings=self._settings, control=control)
            said += staged.outputs
            for change in staged.changes:
                state.take(change.key, change.value)
        return said

    async def _read(self, topic: str, stored: Sequence[StoredState], places: Places, survey: PartitionerSurvey) -> None:
        name = self._names.in_use(topic)
        positions = [0 if each.record is None else each.record.positions.get(name, 0) for each in stored]
        unread = 0

        def take(records: Sequence[Record]) -> None:
            nonlocal unread
            unread += sum(record.offset >= positions[record.partition] for record in records)
            ids = [id_ for record in records for id_ in self._ids(record, survey)]
            places.learn(ids, *hashes(ids))

        await scan(self._settings, name, self._n_old, take)
        if unread:
            msg = (
                f"{name} holds {unread} records that were not read yet: start the workers once more, without producers,"
                " and stop them when `plumbline_consumer_lag_records` is zero"
            )
            raise CommandError(msg)

    def _ids(self, record: Record, survey: PartitionerSurvey) -> list[bytes]:
        """The ids that a record is about: one, or those of a batch's rows."""
        if not is_batch(record.headers):
            id_ = _id_of(record, survey)
            return [] if id_ is None else [id_]
        try:
            return ids_of(open_batch(record, self._settings.ingest))
        except RejectedError:  # a dead letter has no row that waits
            return []

    def _unplaced(self, error: UnplacedError) -> CommandError:
        inputs = " or ".join(self._names.in_use(each.name) for each in _INPUTS)
        first, last = from_milliseconds(error.earliest_ms), from_milliseconds(error.latest_ms)
        msg = (
            f"{error.n_rows} predictions or labels that still wait ({first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
            f" UTC) are no longer on {inputs}, and state holds hashes,"
            " not ids: where their labels will come cannot be told. Keep both topics for the longest label_horizon"
            " (retention.ms), and try again once the youngest of these is older than that; nothing was changed"
        )
        return CommandError(msg)

    def _new_state(
        self,
        partition: int,
        stored: Sequence[StoredState],
        keys: Sequence[frozenset[str]],
        entries: Mapping[str, bytes],
    ) -> NewState:
        """`keys` are those that each changelog holds: each one is written anew or deleted."""
        record = stored[partition].record if partition < len(stored) else None
        held = keys[partition] if partition < len(keys) else frozenset[str]()
        positions = {self._names.in_use(each.name): 0 for each in _INPUTS}
        if record is not None:
            positions |= record.positions
        return NewState(
            entries=entries,
            gone=sorted(held - entries.keys()),
            seq=1 if record is None else record.seq + 1,
            generation=1 if record is None else record.generation + 1,
            positions=positions,
        )


def _id_of(record: Record, survey: PartitionerSurvey) -> bytes | None:
    """The id that a record is about; a keyed one also tells how producers place keys."""
    if record.key is not None:
        kinds = {value for name, value in record.headers if name.lower().replace("-", "_") == "ce_type"}
        if WATERMARK_TYPE.encode() not in kinds:
            survey.see(record.key, record.partition)
        return record.key
    try:
        found = payload_of(record).event.get("prediction_id")
        return found.encode() if isinstance(found, str) else None
    except (RejectedError, UnicodeEncodeError, msgspec.MsgspecError):
        return None
