"""EvaluatorProcessor: stage 2 as the engine calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import Alert
from schemas.base import Event, milliseconds
from schemas.cloudevents import event_headers
from schemas.deployments import ResourceEvent
from schemas.evidence import RollbackEvidence
from schemas.identifiers import model_key, stable_id
from schemas.metrics import WindowMetrics
from schemas.profiles import Heartbeat, ProfileDelta, ProfileRecord
from schemas.references import Reference
from schemas.topics import Topic
from streams.control.view import ControlView
from streams.engine.processor import Change, CommitContext, DeadLetter, Output, Record, Staged
from streams.evaluator.cells import CellKey, CellStore
from streams.evaluator.closing import close_cell
from streams.evaluator.deployments import evidence_matures_with, observe_cell
from streams.evaluator.first_reference import propose_reference
from streams.evaluator.inputs_seen import forget_inputs
from streams.evaluator.intake import ProfileError, check_profile
from streams.evaluator.model import Derived, ModelEvaluator
from streams.evaluator.resources import take_resources
from streams.evaluator.restating import drop_settled, restate
from streams.evaluator.state import ModelState, decode_state, encode_series, encode_state
from streams.settings import Settings

SOURCE: Final = "plumbline/evaluator"
N_OPEN_CELLS: Final = 16
"""Cells of a model that stay unpacked between batches."""
_MODEL: Final = "model/"
_CELL: Final = "cell/"
_SERIES: Final = "series/"
_TOPICS: Final[dict[type[Event], Topic]] = {
    Alert: topics.ALERTS,
    WindowMetrics: topics.METRICS,
    RollbackEvidence: topics.EVIDENCE,
    Reference: topics.REFERENCES,
}


@dataclass(slots=True)
class Committed:
    """One model between batches: its state as bytes, which no batch can change by accident, and its cells."""

    state: bytes
    cells: CellStore
    series: dict[int, bytes] = field(default_factory=dict)
    """Parcels of the state's series."""


class EvaluatorProcessor:
    """One partition of stage 2; every model in it is a single writer's.

    Records are taken one after the other, and everything that is due is closed after each of them: how they are
    batched changes nothing.
    """

    def __init__(self, *, partition: int, settings: Settings, control: ControlView) -> None:
        self._partition = partition
        self._settings = settings
        self._derived = Derived(control)
        self._models: dict[str, Committed] = {}
        self._pending: list[tuple[str, Record]] = []
        self._decoder = msgspec.msgpack.Decoder(ProfileRecord)

    def restore(self, key: str, value: bytes | None) -> None:
        """Take one entry of the changelog: a model's state, a parcel of its series, or a cell's counts."""
        if key.startswith(_MODEL):
            name = key.removeprefix(_MODEL)
            if value is None:
                self._models.pop(name, None)
            else:
                self._committed(name).state = value
        elif key.startswith(_SERIES):
            name, _, number = key.removeprefix(_SERIES).rpartition("#")
            parcels = self._committed(name).series
            if value is None:
                parcels.pop(int(number), None)
            else:
                parcels[int(number)] = value
        elif key.startswith(_CELL):
            name, _, cell = key.removeprefix(_CELL).partition("#")  # a model's name has none; a version may
            self._committed(name).cells.restore(CellKey.parse(cell), value)

    def restored(self) -> None:
        """Nothing is derived from the changelog."""

    def _committed(self, name: str) -> Committed:
        if name not in self._models:
            self._models[name] = Committed(encode_state(ModelState()), CellStore())
        return self._models[name]

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Take a chunk into the pending batch."""
        self._pending.extend((topic, record) for record in records)

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        """Merge and close whatever is due; committed state stays as it is."""
        del heartbeat  # a model's time moves with its sources' signs of life, which are records
        batch = _Batch(self)
        dead: list[DeadLetter] = []
        for topic, record in self._pending:
            letter = self._take(batch, topic, record)
            if letter is not None:
                dead.append(letter)
        self._pending = []
        events = [event for model in batch.models.values() for event in model.published]
        outputs = list(_outputs(events, context))
        changes = list(batch.changes())
        overlay = batch.encoded
        return Staged(
            outputs=outputs,
            changes=changes,
            dead_letters=dead,
            overlay=overlay,
            observations=[*events, *batch.resources],
            counts={"deltas": batch.n_deltas, "deltas_skipped": batch.n_skipped},
        )

    def apply(self, staged: Staged) -> None:
        """The commit holds: the batch's models become the committed ones."""
        self._models.update(staged.overlay or {})

    def _take(self, batch: _Batch, topic: str, record: Record) -> DeadLetter | None:
        try:
            if topic == topics.RESOURCES.name:
                batch.take_resources(ResourceEvent.model_validate_json(record.value or b""))
            else:
                said = self._decoder.decode(record.value or b"")
                check_profile(said, self._derived.control.plan_by_id)
                batch.take_profile(said)
        except (ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProfileError) as error:
            return DeadLetter(record=record, reason="schema", message=f"{topic}: {error}")
        return None

    def working_copy(self, name: str) -> ModelEvaluator:
        """A model as the batch may change it."""
        committed = self._committed(name)
        return ModelEvaluator(
            key=name,
            derived=self._derived,
            state=decode_state(committed.state, committed.series.values()),
            cells=committed.cells.fork(),
            n_sources=self._settings.topics.events_partitions,
            idle_after_ms=round(self._settings.evaluator.idle_after_seconds * 1000),
        )

    def series_of(self, name: str) -> dict[int, bytes]:
        """The parcels of a model's series, as they are committed."""
        return self._committed(name).series

    def model_names(self) -> list[str]:
        """Models of this partition."""
        return sorted(self._models)


class _Batch:
    """The models that a batch touches."""

    def __init__(self, processor: EvaluatorProcessor) -> None:
        self.models: dict[str, ModelEvaluator] = {}
        self.encoded: dict[str, Committed] = {}
        self.resources: list[ResourceEvent] = []
        self.n_deltas = 0
        self.n_skipped = 0
        self._processor = processor

    def model(self, name: str) -> ModelEvaluator:
        if name not in self.models:
            self.models[name] = self._processor.working_copy(name)
        return self.models[name]

    def take_profile(self, record: ProfileRecord) -> None:
        if isinstance(record, ProfileDelta):
            model = self.model(model_key(record.environment, record.model_name))
            if model.merge(record):
                self.n_deltas += 1
                close_due(model)
            else:
                self.n_skipped += 1
            return
        self._take_heartbeat(record)

    def _take_heartbeat(self, heartbeat: Heartbeat) -> None:
        """A sign of life goes to every model of this partition; those of others are none of ours."""
        for name in {*self._processor.model_names(), *self.models}:
            model = self.model(name)
            model.hear(heartbeat)
            close_due(model)

    def take_resources(self, event: ResourceEvent) -> None:
        take_resources(self.model(model_key(event.environment, event.model_name)), event)
        self.resources.append(event)

    def changes(self) -> Iterable[Change]:
        for name, model in self.models.items():
            for key, packed in model.cells.flush(keep_dense=N_OPEN_CELLS):
                yield Change(key=f"{_CELL}{name}#{key.text}", value=packed)
            series = dict(enumerate(encode_series(model.state)))
            self.encoded[name] = Committed(encode_state(model.state), model.cells, series)
            yield Change(key=f"{_MODEL}{name}", value=self.encoded[name].state)
            yield from _series_changes(name, before=self._processor.series_of(name), now=series)


def _series_changes(name: str, *, before: dict[int, bytes], now: dict[int, bytes]) -> Iterator[Change]:
    """The parcels that are not as they were: most batches close no window, and change none."""
    for number in sorted({*before, *now}):
        if before.get(number) != now.get(number):
            yield Change(key=f"{_SERIES}{name}#{number}", value=now.get(number))


def close_due(model: ModelEvaluator) -> None:
    """Close everything that event time allows, each cell at the time it was due, whenever that is noticed.

    So a log that is read at once, after an outage say, decides like one that trickles in. Inputs may be ahead of
    outcomes, if labels are behind; neither looks at what the other has said since.
    """
    time = model.time()
    if time is None:
        return
    inputs, outcomes = model.due_inputs(time), model.due_outcomes(time)
    due = [(at_ms, False, cell_ms) for cell_ms, at_ms in inputs.items()]
    due += [(at_ms, True, cell_ms) for cell_ms, at_ms in outcomes.items()]
    for at_ms, with_outcomes, cell_ms in sorted(due):
        close_cell(model, cell_ms, outcomes=with_outcomes, now_ms=at_ms)
        in_maintenance = model.maintenance(cell_ms, cell_ms + milliseconds(model.spec().cell)) is not None
        if evidence_matures_with(model, outcomes=with_outcomes) and not in_maintenance:
            observe_cell(model, cell_ms, at_ms, outcomes=with_outcomes)
        model.retire_alerts(at_ms, outcomes=with_outcomes)
        if with_outcomes:
            forget_inputs(model, cell_ms)
    if outcomes:
        restate(model)
        propose_reference(model, time)
        drop_settled(model, time)


def _outputs(events: Sequence[Event], context: CommitContext) -> Iterable[Output]:
    for number, event in enumerate(_parcelled(events)):
        topic = _TOPICS[type(event)]
        fields = dict(event)
        subject = model_key(fields["environment"], fields["model_name"]) if "environment" in fields else ""
        if isinstance(event, Alert):
            subject = model_key(event.labels["environment"], event.labels["model_name"])
        key = event.reference_id if isinstance(event, Reference) else subject
        yield Output(
            topic=topic.name,
            key=key.encode(),
            value=event.to_bytes(),
            headers=event_headers(
                event_id=_event_id(event, context, number),
                topic=topic.name,
                source=SOURCE,
                subject=subject,
                time=fields.get("window_end") or fields.get("as_of") or fields.get("updated_at"),
            ),
        )


def _parcelled(events: Sequence[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, WindowMetrics):
            yield from event.parcels()
        else:
            yield event


def _event_id(event: Event, context: CommitContext, number: int) -> str:
    """Stable over a resend of the same commit, and over a recomputation of the same decision."""
    if isinstance(event, Alert):
        return f"{event.alert_id}-{event.sequence}"
    if isinstance(event, WindowMetrics):
        start = milliseconds(event.window_start)
        return stable_id(
            "window", event.environment, event.model_name, event.model_version, event.kind, event.plan_id, start,
            event.revision, *([event.part] if event.part else []),
        )  # fmt: skip
    if isinstance(event, RollbackEvidence):
        return stable_id("evidence", event.deployment_id, milliseconds(event.as_of))
    return stable_id("event", context.partition, context.seq, number)
