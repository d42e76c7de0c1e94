"""References from a recording: bins from its values, counts from the same profiler that a worker runs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from detectors.inflation import variance_inflation
from schemas import topics
from schemas.base import from_milliseconds, milliseconds
from schemas.events import EventTime, LabelEvent, PredictionEvent
from schemas.identifiers import ALL_SEGMENT
from schemas.models import ModelSpec, TaskKind
from schemas.profiles import DeltaPart, ProfileDelta, ProfileRecord
from schemas.references import BuiltFrom, Reference, Section, SeriesSummary
from schemas.signals import Signal
from streams.control import layout as sections
from streams.control.bins import TAG_PREFIX, columns_of, reference_from_columns
from streams.control.blocks import Block, compress_blocks, unpack_blocks
from streams.control.plan import Plan
from streams.control.view import ControlView
from streams.engine.processor import CommitContext, ListRecord
from streams.profiler.processor import ProfilerProcessor
from streams.settings import IngestSettings, Settings, TopicSettings

CHUNK: Final = 500
_NOW_MS: Final = milliseconds(datetime.fromisoformat("9999-01-01T00:00:00+00:00"))
"""A recording is from before any clock: nothing in it is from the future."""

E = TypeVar("E", PredictionEvent, LabelEvent)


def build_reference(
    spec: ModelSpec,
    predictions: Iterable[bytes | PredictionEvent],
    labels: Iterable[bytes | LabelEvent],
    *,
    reference_id: str,
    revision: int = 1,
    dataset_version: str = "",
    effective_from: datetime | None = None,
    built_from: BuiltFrom | None = None,
) -> Reference:
    """Build a reference from recorded predictions and their labels.

    Parameters
    ----------
    spec
        The model: cells, segments, groups and classes.
    predictions, labels
        Events, or their JSON; in any order. For quality none of them may be a training row.
    reference_id, revision, dataset_version, effective_from
        As in `Reference`.
    built_from
        Where the recording comes from; by default its own extent and hash.

    Returns
    -------
    Reference
        With bins, and with counts per segment and cell.

    Raises
    ------
    ValueError
        Where there is no prediction, or an event is another model's.
    msgspec.ValidationError
        Where a value is no event.
    """
    served = _decoded(predictions, PredictionEvent, spec)
    known = _decoded(labels, LabelEvent, spec)
    if not served:
        msg = f"no predictions of {spec.model_name!r}: expected at least one"
        raise ValueError(msg)
    served.sort(key=lambda event: (_stamp(event.prediction_timestamp), event.prediction_id))
    known.sort(key=lambda event: (_stamp(event.label_timestamp), event.prediction_id))
    bins = _bins(
        spec,
        served,
        known,
        reference_id=reference_id,
        revision=revision,
        dataset_version=dataset_version,
        effective_from=effective_from,
        built_from=built_from or _origin(served, known),
    )
    plan, blocks = _count(spec, bins, served, known)
    return bins.model_copy(
        update={
            "sections": [Section(name=name, width=width) for name, width in plan.layout],
            "blocks": base64.b64encode(compress_blocks(blocks)).decode(),
            "n_cells": len({block.cell_ms for block in blocks}),
            "series": _series(plan, blocks),
        }
    )


def _decoded(events: Iterable[bytes | E], kind: type[E], spec: ModelSpec) -> list[E]:
    decoder = msgspec.json.Decoder(kind)
    found = [decoder.decode(event) if isinstance(event, bytes) else event for event in events]
    other = next((e for e in found if (e.environment, e.model_name) != (spec.environment, spec.model_name)), None)
    if other is not None:
        msg = (
            f"prediction_id {other.prediction_id!r} is of model {other.environment}/{other.model_name}: "
            f"expected {spec.environment}/{spec.model_name}"
        )
        raise ValueError(msg)
    return found


def _stamp(value: EventTime) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _origin(served: Sequence[PredictionEvent], known: Sequence[LabelEvent]) -> BuiltFrom:
    content = hashlib.sha256()
    for event in (*served, *known):
        content.update(msgspec.json.encode(event))
    first, last = (_stamp(served[i].prediction_timestamp) for i in (0, -1))
    return BuiltFrom(
        kind="recording",
        description=f"{len(served)} predictions of {', '.join(sorted({e.model_version for e in served}))}",
        n_predictions=len(served),
        n_labels=len(known),
        start=from_milliseconds(int(first * 1000)),
        end=from_milliseconds(int(last * 1000)),
        sha256=content.hexdigest(),
    )


def _bins(spec: ModelSpec, served: Sequence[PredictionEvent], known: Sequence[LabelEvent], **kept: Any) -> Reference:
    """The reference without counts: bins, values of segments and groups, classes, units."""
    dimensions = [*spec.segments, *spec.groups]
    rows = [
        {**e.features, **{f"{TAG_PREFIX}{name}": e.tags[name] for name in dimensions if name in e.tags}} for e in served
    ]
    actual = {e.prediction_id: e for e in known if not e.retracted}
    if spec.task is TaskKind.REGRESSION:
        pairs = [
            (e.prediction_value, actual[e.prediction_id].actual_value) for e in served if e.prediction_id in actual
        ]
        residuals = [p - a for p, a in pairs if p is not None and a is not None]
        predicted: list[object] = [e.prediction_value for e in served]
        return reference_from_columns(spec, columns_of(rows), predictions=predicted, residuals=residuals, **kept)
    classes: list[object] = [e.actual_label for e in actual.values()]
    labels: list[object] = [e.prediction_label for e in served]
    return reference_from_columns(spec, columns_of(rows), predictions=labels, classes=classes, **kept)


def count_under(
    spec: ModelSpec,
    bins: Reference,
    predictions: Iterable[bytes | PredictionEvent],
    labels: Iterable[bytes | LabelEvent],
) -> tuple[Plan, list[Block]]:
    """Count a recording under the bins of a reference that is there already.

    Parameters
    ----------
    spec
        Of the model.
    bins
        The reference; its counts are not looked at.
    predictions, labels
        Of one model.

    Returns
    -------
    tuple
        The plan, and a block for each segment and cell.

    Raises
    ------
    ValueError
        As of `build_reference`.
    """
    served = sorted(_decoded(predictions, PredictionEvent, spec), key=lambda e: _stamp(e.prediction_timestamp))
    known = sorted(_decoded(labels, LabelEvent, spec), key=lambda e: _stamp(e.label_timestamp))
    return _count(spec, bins, served, known)


def _count(
    spec: ModelSpec, bins: Reference, served: Sequence[PredictionEvent], known: Sequence[LabelEvent]
) -> tuple[Plan, list[Block]]:
    """Run the recording through the profiler; the counts of all versions are those of the reference."""
    control = ControlView()
    whole = spec.model_copy(update={"effective_from": None})
    control.apply(topics.MODELS.name, whole.to_bytes())
    control.apply(topics.REFERENCES.name, bins.model_copy(update={"effective_from": None}).to_bytes())
    settings = Settings(topics=TopicSettings(events_partitions=1), ingest=IngestSettings(max_record_bytes=100_000_000))
    profiler = ProfilerProcessor(partition=0, settings=settings, control=control)
    _add(profiler, topics.PREDICTIONS.name, served)
    _add(profiler, topics.LABELS.name, known)
    context = CommitContext(partition=0, seq=1, positions={}, previous_positions={}, now_ms=_NOW_MS, caught_up=True)
    staged = profiler.stage(context, heartbeat=False)
    if staged.dead_letters:
        letter = staged.dead_letters[0]
        msg = f"{len(staged.dead_letters)} events cannot be read; the first: {letter.reason}: {letter.message}"
        raise ValueError(msg)
    records = [msgspec.msgpack.decode(o.value, type=ProfileRecord) for o in staged.outputs if o.value is not None]
    parts = [part for record in records if isinstance(record, ProfileDelta) for part in record.parts]
    plan = control.plan_by_id(parts[0].plan_id) if parts else None
    if plan is None:
        msg = f"no event of {spec.model_name!r} was counted: expected predictions within the model's horizons"
        raise ValueError(msg)
    return plan, _merged([part for part in parts if part.plan_id == plan.plan_id], plan)


def _add(profiler: ProfilerProcessor, topic: str, events: Sequence[PredictionEvent] | Sequence[LabelEvent]) -> None:
    records = [
        ListRecord(topic=topic, offset=offset, timestamp=_NOW_MS, value=msgspec.json.encode(event))
        for offset, event in enumerate(events)
    ]
    for start in range(0, len(records), CHUNK):
        profiler.add(topic, records[start : start + CHUNK])


def _merged(parts: Sequence[DeltaPart], plan: Plan) -> list[Block]:
    """Sum over versions: one block per segment and cell."""
    sums: dict[tuple[str, int], np.ndarray[Any, np.dtype[np.int64]]] = {}
    for part in parts:
        for block in unpack_blocks(part.columns):
            key = (block.segment, block.cell_ms)
            if key not in sums:
                sums[key] = np.zeros(plan.layout.width, dtype=np.int64)
            np.add.at(sums[key], block.slots, block.counts)
    return [Block.from_dense("", segment, cell, counts) for (segment, cell), counts in sorted(sums.items())]


def _series(plan: Plan, blocks: Sequence[Block]) -> dict[str, SeriesSummary]:
    """How much the error rate and the miss rate vary; nothing with fewer than 40 cells."""
    found_cells = {b.cell_ms: b.dense(plan.layout.width) for b in blocks if b.segment == ALL_SEGMENT}
    if sections.CONFUSION not in plan.layout or not found_cells:
        return {}
    # Consecutive cells, empty ones among them: gaps would bring distant cells together.
    empty = np.zeros(plan.layout.width, dtype=np.int64)
    every = range(min(found_cells), max(found_cells) + 1, plan.cell_ms)
    whole = [found_cells.get(cell, empty) for cell in every]
    n = len(plan.classes)
    confusion = np.array([counts[plan.layout.slice(sections.CONFUSION)].reshape(n, n) for counts in whole])
    of = confusion.sum(axis=(1, 2))
    pairs = {Signal.ERROR_RATE: (of - np.trace(confusion, axis1=1, axis2=2), of)}
    if plan.spec.task is TaskKind.BINARY:
        pairs[Signal.MISS_RATE] = (confusion[:, 1, 0], confusion[:, 1, :].sum(axis=1))
    found = {}
    for signal, (n1, total) in pairs.items():
        inflation = variance_inflation(n1, total)
        if inflation is not None:
            worth = float(total.sum()) / inflation.ratio
            found[signal.value] = SeriesSummary(variance_inflation_ratio=inflation.ratio, n_effective=worth)
    return found
