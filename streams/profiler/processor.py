"""Stage 1 as a Processor: predictions and labels in, profile deltas and heartbeats out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from schemas import topics
from schemas.cloudevents import event_headers
from schemas.identifiers import split_model_key
from schemas.profiles import Heartbeat, ProfileDelta, Watermarks
from streams.control.view import ControlView
from streams.engine.processor import EVERY_PARTITION, Change, CommitContext, Output, Record, Staged
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.profiler.batch import NO_MODEL, Batch, ModelBatch
from streams.profiler.compaction import MARK_FIELDS, ROWS_KEPT, WAITING_KEPT, Rewrite, RunBook, run_size
from streams.profiler.join import Joined
from streams.profiler.model import LABEL_FIELDS, ModelState, Tally, forgettable_labels, forgettable_rows
from streams.profiler.restoring import (
    META_KEY,
    MODEL_PREFIX,
    PLAN_PREFIX,
    Meta,
    Restored,
    encode,
    model_record,
    plan_record,
)
from streams.profiler.runs import ModelRun, encode_run, pack_columns, pack_ids, run_key
from streams.profiler.samples import Sampler, feature_kinds
from streams.profiler.staging import ModelChange, open_changes, stage_model
from streams.profiler.watermarks import Horizons
from streams.settings import Settings

SOURCE: Final = "plumbline/profiler"
_CONTENT_TYPE: Final = ("content-type", b"application/msgpack")
_encoder: Final = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class _Overlay:
    """A commit's changes, until it holds."""

    number: int
    changes: list[ModelChange]
    unattributed: Tally
    rewrite: Rewrite | None = None
    run_size: int = 0
    plans: list[str] = field(default_factory=list)


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
        self._predictions = PredictionReader(settings.ingest, self._models)
        self._labels = LabelReader(settings.ingest, self._models)
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
        overlay = _Overlay(
            number=self._book.next_number,
            changes=changes,
            unattributed=self._unattributed if nobody is None else self._unattributed.plus(nobody.dead()),
        )
        outputs = [self._delta(change, context) for change in changes]
        if heartbeat:
            outputs.append(self._heartbeat(overlay, context))
        return Staged(
            outputs=outputs,
            changes=self._changes(overlay) if batch.models else (),
            dead_letters=batch.dead_letters,
            overlay=overlay,
            counts=self._counts(overlay),
        )

    def _stage_model(self, key: str, pending: ModelBatch, context: CommitContext) -> ModelChange:
        state = self._states.get(key)
        if state is None:
            names = pending.names or self._models.follow(*split_model_key(key))
            state = ModelState(names)
        change = stage_model(state, pending, self._horizons_of(key), caught_up=context.caught_up)
        if pending.taken and change.joined is not None:
            accepted = change.joined.acceptance.accepted
            orders = np.sort(np.concatenate([c.order for parts in pending.predictions.values() for c in parts]))
            change.samples = self._samplers[key].chosen(pending.taken, set(orders[accepted].tolist()))
        return change

    # What is written down

    def _changes(self, overlay: _Overlay) -> list[Change]:
        changes: list[Change] = []
        chosen = self._book.chosen(self._states.values())
        if len(chosen):
            overlay.rewrite = self._book.rewrite(self._states.values(), chosen, overlay.number)
            changes += [Change(key=run_key(number), value=None) for number in chosen.tolist()]
            if overlay.rewrite.models:
                changes.append(Change(key=run_key(overlay.number), value=encode_run(overlay.rewrite.models)))
            overlay.number += 1
        runs = [run for change in overlay.changes if (run := _run_of(change)) is not None]
        overlay.run_size = sum(run_size(run) for run in runs)
        if overlay.run_size:
            changes.append(Change(key=run_key(overlay.number), value=encode_run(runs)))
        for change in overlay.changes:
            changes += self._new_plans(change, overlay)
            record = model_record(
                change.state, change.clock, change.tally, next_rid=change.next_rid, swept=change.swept
            )
            changes.append(Change(key=MODEL_PREFIX + change.state.key, value=encode(record)))
        meta = Meta(overlay.number + 1, msgspec.to_builtins(overlay.unattributed))
        return [*changes, Change(key=META_KEY, value=encode(meta))]

    def _new_plans(self, change: ModelChange, overlay: _Overlay) -> Iterable[Change]:
        for plan_id, plan in change.state.plans.items():
            if plan_id not in self._stored_plans and plan_id not in overlay.plans:
                overlay.plans.append(plan_id)
                yield Change(key=PLAN_PREFIX + plan_id, value=encode(plan_record(plan)))

    # What is said

    def _delta(self, change: ModelChange, context: CommitContext) -> Output:
        key = change.state.key
        environment, model_name = split_model_key(key)
        delta = ProfileDelta(
            environment=environment,
            model_name=model_name,
            source_partition=context.partition,
            seq=context.seq,
            watermarks=change.clock.wire(),
            parts=change.parts,
            offsets={
                topic: (context.previous_positions.get(topic, 0), position)
                for topic, position in context.positions.items()
            },
            samples=change.samples,
            outcomes=change.outcomes,
            totals=change.totals(),
            inferred=self._control.spec(key).inferred,
            feature_kinds=feature_kinds(change.samples),
        )
        headers = _headers(f"profile-{context.partition}-{context.seq}-{key}", key)
        return Output(topic=topics.PROFILES.name, key=key.encode(), value=_encoder.encode(delta), headers=headers)

    def _heartbeat(self, overlay: _Overlay, context: CommitContext) -> Output:
        watermarks: dict[str, Watermarks] = {key: state.clock.wire() for key, state in self._states.items()}
        totals = {key: state.totals(self._horizons_of(key)) for key, state in self._states.items()}
        for change in overlay.changes:
            watermarks[change.state.key] = change.clock.wire()
            totals[change.state.key] = change.totals()
        totals[NO_MODEL] = overlay.unattributed.totals(predictions_pending=0, labels_pending=0)
        beat = Heartbeat(
            source_partition=context.partition,
            n_partitions=self._settings.topics.events_partitions,
            seq=context.seq,
            now_ms=context.now_ms,
            caught_up=context.caught_up,
            watermarks=watermarks,
            totals=totals,
        )
        headers = _headers(f"heartbeat-{context.partition}-{context.seq}", f"partition/{context.partition}")
        return Output(
            topic=topics.PROFILES.name,
            key=None,
            value=_encoder.encode(beat),
            headers=headers,
            partition=EVERY_PARTITION,
        )

    def _counts(self, overlay: _Overlay) -> dict[str, int]:
        """What this commit settled; what still waits is no count."""
        counts: dict[str, int] = {}
        for change in overlay.changes:
            before, after = change.state.totals(change.horizons), change.totals()
            for name, value in after.items():
                if not name.endswith("_pending"):
                    counts[name] = counts.get(name, 0) + max(0, value - before[name])
        dead = msgspec.to_builtins(overlay.unattributed)
        for name, value in msgspec.to_builtins(self._unattributed).items():
            counts[name] = counts.get(name, 0) + dead[name] - value
        return {name: count for name, count in counts.items() if count}

    # The commit holds

    def apply(self, staged: Staged) -> None:
        """Make the staged batch the state."""
        overlay: _Overlay = staged.overlay
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
        rows, waiting = _numbered(joined, state.next_rid, number)
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


def _numbered(joined: Joined, next_rid: int, number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """New rows and waiting labels with their ids and their run."""
    n, m = len(joined.rows["high"]), len(joined.waiting["high"])
    home = np.full(n, number)
    rows = {**joined.rows, "rid": np.arange(next_rid, next_rid + n), "home": home, "mark": home}
    rid = np.arange(next_rid + n, next_rid + n + m)
    return rows, {**joined.waiting, "rid": rid, "home": np.full(m, number)}


def _run_of(change: ModelChange) -> ModelRun | None:
    joined = change.joined
    if joined is None:
        return None
    rows, waiting = _numbered(joined, change.state.next_rid, 0)
    marks = {"rid": change.state.rows["rid"][joined.touched], **{name: joined.labels[name] for name in LABEL_FIELDS}}
    return ModelRun(
        key=change.state.key,
        rows=pack_columns({name: rows[name] for name in ROWS_KEPT}),
        marks=pack_columns({name: marks[name] for name in MARK_FIELDS}),
        waiting=pack_columns({name: waiting[name] for name in WAITING_KEPT}),
        dead_labels=pack_ids(change.state.waiting["rid"][joined.resumed]),
    )


def _headers(event_id: str, subject: str) -> list[tuple[str, bytes]]:
    headers = event_headers(event_id=event_id, topic=topics.PROFILES.name, source=SOURCE, subject=subject)
    return [_CONTENT_TYPE if name == "content-type" else (name, value) for name, value in headers]
