"""Stage 1 as a Processor: predictions and labels in, profile deltas and heartbeats out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.identifiers import split_model_key
from streams.control.view import ControlView
from streams.engine.processor import CommitContext, Record, Staged
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.profiler.batch import NO_MODEL, Batch, ModelBatch
from streams.profiler.compaction import RunBook
from streams.profiler.join import Joined
from streams.profiler.model import ModelState, Tally, forgettable_labels, forgettable_rows
from streams.profiler.recording import Overlay, numbered, record
from streams.profiler.restoring import Restored
from streams.profiler.samples import Sampler, chosen
from streams.profiler.saying import counts, deltas, heartbeat_output
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
        self._restored = Restored()
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
        meta = self._restored.meta()
        self._book.next_number = meta.next_run
        self._unattributed = Tally(**meta.unattributed)
        self._states = self._restored.build(self._book, self._control.plan_by_id)
        for state in self._states.values():
            self._models.add(state.names)
            self._stored_plans.update(state.plan_ids.names)
            self._forget(state, self._horizons_of(state.key))

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
            state = ModelState(names)
        change = stage_model(state, pending, self._horizons_of(key), caught_up=context.caught_up)
        change.samples = chosen(pending.taken)
        return change

    # The commit holds

    def apply(self, staged: Staged) -> None:
        """Make the staged batch the state."""
        overlay: Overlay = staged.overlay
        self._unattributed = overlay.unattributed
        if overlay.rewrite is not None:
            self._book.apply(overlay.rewrite, self._states)
        if overlay.run_size:
            self._book.sizes[overlay.number] = overlay.run_size
        if staged.changes:
            self._book.next_number = overlay.number + 1
        self._stored_plans.update(overlay.plans)
        for change in overlay.changes:
            self._apply_model(change, overlay.number)

    def _apply_model(self, change: ModelChange, number: int) -> None:
        state = change.state
        self._states[state.key] = state
        state.clock, state.tally = change.clock, change.tally
        if change.joined is not None:
            self._apply_rows(state, change.joined, number)
            state.next_rid += len(change.joined.rows["high"]) + len(change.joined.waiting["high"])
        state.open_rows.close_before(state.clock.latest - change.horizons.label)
        state.open_labels.close_before(state.clock.latest - change.horizons.label)
        if change.sweeps:
            state.swept = change.swept
            self._forget(state, change.horizons)
        if change.samples:
            self._samplers[state.key].commit(change.samples)

    def _apply_rows(self, state: ModelState, joined: Joined, number: int) -> None:
        added, removed = open_changes(state, joined)
        state.open_rows.change(added, removed)
        state.open_labels.change(joined.waiting["timestamp"], state.waiting["timestamp"][joined.resumed])
        mark = np.full(len(joined.touched), number)
        state.rows.set(joined.touched, {**joined.labels, "mark": mark})
        resumed = joined.resumed
        rid, home = state.waiting["rid"][resumed], state.waiting["home"][resumed]
        self._book.graves_of(state.key).bury("labels", rid, home, np.full(len(resumed), number))
        state.waiting.drop(resumed)
        rows, waiting = numbered(joined, state.next_rid, number)
        state.rows.append(rows)
        state.waiting.append(waiting)
        self._book.turnover += len(rid) + len(rows["high"]) + len(waiting["high"])

    def _forget(self, state: ModelState, horizons: Horizons) -> None:
        """Drop what nothing can ask for any more; marks on dropped rows are kept as long as the log holds the rows."""
        gone = forgettable_rows(state, horizons)
        rid, home, mark = (state.rows[name][gone] for name in ("rid", "home", "mark"))
        marked = mark != home
        self._book.graves_of(state.key).bury("rows", rid[marked], home[marked], mark[marked])
        labels = forgettable_labels(state, horizons)
        self._book.turnover += len(gone) + len(labels)
        state.rows.drop(gone)
        state.waiting.drop(labels)
