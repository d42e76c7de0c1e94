"""Stage 1 as a Processor: predictions and labels in, profile deltas and heartbeats out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from schemas.identifiers import split_model_key
from streams.control.view import ControlView
from streams.engine.processor import Checkpoint, CommitContext, Record, Staged
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.local.errors import UnusableStateError
from streams.profiler.batch import NO_MODEL, Batch, ModelBatch
from streams.profiler.compaction import RunBook
from streams.profiler.join import Joined
from streams.profiler.keeping import Keeper, Snapshot, read_snapshot, restore_book
from streams.profiler.model import ROW_COLUMNS, ModelState, Tally, is_label_over, is_over, open_from, second_of
from streams.profiler.packing import Array
from streams.profiler.recording import Overlay, numbered, record
from streams.profiler.restoring import META_KEY, Meta, Restored, small_entries
from streams.profiler.samples import Sampler, chosen
from streams.profiler.saying import counts, deltas, heartbeat_output
from streams.profiler.shelf import Shelf
from streams.profiler.staging import ModelChange, open_changes, stage_model
from streams.profiler.watermarks import Clock, Horizons
from streams.settings import Settings


class ProfilerProcessor:
    """Joins and counts one partition.

    Parameters
    ----------
    partition
        The task's partition.
    settings
        Bounds of what comes in, and the number of partitions.
    control
        What is in force; read, never changed.
    """

    def __init__(self, *, partition: int, settings: Settings, control: ControlView) -> None:
        self._partition = partition
        self._settings = settings
        self._control = control
        self._models = Models(control, max_models=settings.ingest.max_models)
        n_partitions = settings.topics.events_partitions
        self._predictions = PredictionReader(settings.ingest, self._models, n_partitions=n_partitions)
        self._labels = LabelReader(settings.ingest, self._models, n_partitions=n_partitions)
        self._states: dict[str, ModelState] = {}
        self._book = RunBook()
        self._unattributed = Tally()
        self._samplers: dict[str, Sampler] = {}
        self._stored_plans: set[str] = set()
        self._keeper = Keeper()
        self._snapshot: Snapshot | None = None
        self._restored = Restored(Shelf())
        self._born_ms = 0
        self._batch = self._new_batch()
        self._horizons: dict[str, Horizons] = {}
        self._revision = -1

    def _new_batch(self) -> Batch:
        return Batch(self._predictions, self._labels, self._samplers, self._settings.ingest.redact)

    # Restoring

    def restore(self, key: str, value: bytes | None) -> None:
        """Take one entry of the changelog."""
        self._restored.take(key, value)

    def restored(self) -> None:
        """Build the state from the entries."""
        for _ in self.restoring():
            pass

    def restoring(self) -> Iterator[None]:
        """Do what `restored` does, with pauses."""
        restored = self._restored
        meta = restored.meta()
        self._born_ms = meta.born_ms
        self._unattributed = Tally(**meta.unattributed)
        self._states = restored.models(self._control.plan_by_id, self._keeper.new)
        if self._snapshot is not None:
            self._take_snapshot(self._snapshot)
        yield from restored.rows(self._book, self._states, lambda: self._keeper.spill(self._states))
        for state in self._states.values():
            self._models.add(state.names)
            self._stored_plans.update(state.plan_ids.names)
            if state.rows.levels is not None and self._snapshot is None:
                yield from state.rows.levels.compact()
            self._forget(state, self._horizons_of(state.key))
        self._restored, self._snapshot = Restored(Shelf()), None

    # Local files

    def use_folder(self, folder: Path) -> None:
        """Keep rows in files of this folder when there are many; called before anything is restored."""
        self._keeper = Keeper(folder, memory_rows=self._settings.engine.state_memory_rows)
        self._restored = Restored(Shelf(folder))

    def restore_local(self, snapshot: bytes) -> None:
        """Begin with a snapshot and its files; entries of the changelog from there on follow by `restore`."""
        self._snapshot = read_snapshot(snapshot)
        self._restored.begin(self._snapshot.entries)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        born = msgspec.msgpack.decode(snapshot.entries[META_KEY], type=Meta).born_ms
        if born != self._born_ms:
            msg = f"local files are of a state that began at {born}: expected {self._born_ms}, as the changelog says"
            raise UnusableStateError(msg)
        restore_book(self._book, snapshot.book)
        for key, (rows, waiting) in snapshot.tables.items():
            self._states[key].rows.restore(rows)
            self._states[key].waiting.restore(waiting)

    def checkpoint(self, *, closing: bool) -> Checkpoint | None:
        """Write down the state as of the last commit, where it is time to, or where the task closes."""
        if self._keeper.folder is None or not (closing or self._keeper.is_due):
            return None
        meta = Meta(
            self._book.next_number, msgspec.to_builtins(self._unattributed), sorted(self._book.sizes), self._born_ms
        )
        snapshot = self._keeper.snapshot(self._states, self._book, small_entries(meta, self._states))
        return Checkpoint(snapshot=snapshot, files=self._keeper.files(self._states))

    def close(self) -> None:
        """Give up what was being merged."""
        for state in self._states.values():
            for table in (state.rows, state.waiting):
                if table.levels is not None:
                    table.levels.close()

    def _maintain(self, changes: Sequence[ModelChange]) -> None:
        """Do a share of the work on files, in proportion to what came."""
        for change in changes:
            state, horizons = change.state, change.horizons
            joined = change.joined
            if joined is None or state.rows.levels is None or state.waiting.levels is None:
                continue
            for rows in state.rows.levels.maintain(
                len(joined.rows["high"]) + len(joined.touched), partial(is_over, state, horizons=horizons)
            ):
                self._bury(state, rows)
            over = partial(is_label_over, state, horizons=horizons)
            for _ in state.waiting.levels.maintain(len(joined.waiting["high"]), over):
                pass
        self._keeper.spill(self._states)

    def _horizons_of(self, key: str) -> Horizons:
        if self._control.revision != self._revision:
            self._horizons, self._revision = {}, self._control.revision
        if key not in self._horizons:
            self._horizons[key] = Horizons.of(self._control.spec(key))
        return self._horizons[key]

    # A batch

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Take a chunk of predictions or labels."""
        self._batch.add(topic, records)

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        """Join and count the batch, and write down what changes."""
        batch, self._batch = self._batch, self._new_batch()
        changes = [
            self._stage_model(key, pending, context) for key, pending in sorted(batch.models.items()) if key != NO_MODEL
        ]
        nobody = batch.models.get(NO_MODEL)
        overlay = Overlay(
            born_ms=self._born_ms or context.now_ms,
            number=self._book.next_number,
            changes=changes,
            unattributed=self._unattributed if nobody is None else self._unattributed.plus(nobody.dead()),
        )
        outputs = [
            output
            for change in changes
            for output in deltas(change, context, inferred=self._control.spec(change.state.key).inferred)
        ]
        if heartbeat:
            n_partitions = self._settings.topics.events_partitions
            said = self._said(overlay)
            outputs.append(heartbeat_output(said, overlay.unattributed, context, n_partitions=n_partitions))
        return Staged(
            outputs=outputs,
            changes=record(overlay, self._book, self._states, self._stored_plans) if batch.models else (),
            dead_letters=batch.dead_letters,
            overlay=overlay,
            counts=counts(overlay, self._unattributed),
        )

    def _said(self, overlay: Overlay) -> dict[str, tuple[Clock, dict[str, int]]]:
        """Clock and totals of every model, as they are after the commit."""
        said = {key: (s.clock, s.totals(self._horizons_of(key))) for key, s in self._states.items()}
        return {**said, **{change.state.key: (change.clock, change.totals()) for change in overlay.changes}}

    def _stage_model(self, key: str, pending: ModelBatch, context: CommitContext) -> ModelChange:
        state = self._states.get(key)
        if state is None:
            names = pending.names or self._models.follow(*split_model_key(key))
            state = self._keeper.new(names)
        change = stage_model(state, pending, self._horizons_of(key), caught_up=context.caught_up)
        change.samples = chosen(pending.taken)
        return change

    # The commit holds

    def apply(self, staged: Staged) -> None:
        """Make the staged batch the state."""
        overlay: Overlay = staged.overlay
        self._unattributed = overlay.unattributed
        if overlay.rewrite is not None:
            self._book.apply(overlay.rewrite)
        self._book.where.reach(overlay.number)
        if overlay.run_size:
            self._book.sizes[overlay.number] = overlay.run_size
        if staged.changes:
            self._book.next_number = overlay.number + 1
            self._born_ms = overlay.born_ms
        self._stored_plans.update(overlay.plans)
        for change in overlay.changes:
            self._apply_model(change, overlay.number)
        self._maintain(overlay.changes)

    def _apply_model(self, change: ModelChange, number: int) -> None:
        state = change.state
        self._states[state.key] = state
        state.clock, state.tally = change.clock, change.tally
        if change.joined is not None:
            self._apply_rows(state, change.joined, number)
            state.next_rid += len(change.joined.rows["high"]) + len(change.joined.waiting["high"])
        state.open_rows.close_before(open_from(state.clock, change.horizons))
        state.open_labels.close_before(open_from(state.clock, change.horizons))
        if change.sweeps:
            state.swept = change.swept
            self._forget(state, change.horizons)
        if change.samples:
            self._samplers[state.key].commit(change.samples)

    def _apply_rows(self, state: ModelState, joined: Joined, number: int) -> None:
        added, removed = open_changes(state, joined)
        state.open_rows.change(second_of(added), second_of(removed))
        waited = state.waiting["timestamp"][joined.resumed]
        state.open_labels.change(second_of(joined.waiting["timestamp"]), second_of(waited))
        mark = np.full(len(joined.touched), number)
        state.rows.set(joined.touched, {**joined.labels, "mark": mark})
        resumed = joined.resumed
        rid, home = state.waiting["rid"][resumed], self._book.where.now(state.waiting["home"][resumed])
        self._book.graves_of(state.key).bury("labels", rid, home, np.full(len(resumed), number))
        state.waiting.drop(resumed)
        rows, waiting = numbered(joined, state.next_rid, number)
        state.rows.append(rows)
        state.waiting.append(waiting)
        self._book.turnover += len(rid) + len(rows["high"]) + len(waiting["high"])

    def _forget(self, state: ModelState, horizons: Horizons) -> None:
        """Drop what nothing can ask for any more of what is in memory; files are gone through bit by bit."""
        rows = {name: state.rows[name] for name in ROW_COLUMNS}
        gone = np.flatnonzero(is_over(state, rows, horizons) & state.rows.alive)
        self._bury(state, {name: rows[name][gone] for name in ("rid", "home", "mark")})
        labels = {"timestamp": state.waiting["timestamp"]}
        over = np.flatnonzero(is_label_over(state, labels, horizons) & state.waiting.alive)
        self._book.turnover += len(over)
        state.rows.drop(gone)
        state.waiting.drop(over)

    def _bury(self, state: ModelState, rows: Mapping[str, Array]) -> None:
        """Marks on dropped rows are kept as long as the log holds the rows."""
        where = self._book.where
        home, mark = where.now(rows["home"]), where.mark(rows["home"], rows["mark"])
        marked = mark != home
        self._book.graves_of(state.key).bury("rows", rows["rid"][marked], home[marked], mark[marked])
        self._book.turnover += len(home)
