"""A small model, its events, and ways to read what the profiler says about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor, Rule
from schemas.profiles import Heartbeat, ProfileDelta, ProfileRecord, Sample
from schemas.references import BuiltFrom
from schemas.signals import Signal
from streams.control.bins import reference_from_columns
from streams.control.blocks import unpack_blocks
from streams.control.plan import Plan
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord, Output
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings

P, L = topics.PREDICTIONS.name, topics.LABELS.name
KEY = "production/m"
MINUTE, HOUR = 60, 3600
SPEC = ModelSpec(
    model_name="m",
    positive_class="late",
    cell=timedelta(hours=1),
    lateness=timedelta(minutes=10),
    maturity=timedelta(hours=2),
    revision_horizon=timedelta(hours=3),
    label_horizon=timedelta(hours=6),
    segments=("carrier",),
    groups=("sex",),
)
COLUMNS: dict[str, Sequence[object]] = {
    "x": [i / 10 for i in range(100)],
    "kind": ["a"] * 60 + ["b"] * 40,
    "carrier": ["AA"] * 70 + ["BB"] * 30,
    "tags.sex": ["f"] * 50 + ["m"] * 50,
}


def control(spec: ModelSpec = SPEC, *, reference: bool = True, monitors: Sequence[Monitor] = ()) -> ControlView:
    """A view with one model, by default with a reference of its bins."""
    view = ControlView()
    view.apply(topics.MODELS.name, spec.to_bytes())
    if reference:
        built = BuiltFrom(kind="recording")
        predictions: list[object] = [i / 5 for i in range(100)] if spec.task == "regression" else ["late", "on"]
        made = reference_from_columns(
            spec, COLUMNS, reference_id="r1", built_from=built, predictions=predictions, residuals=[0.5, -0.5]
        )
        view.apply(topics.REFERENCES.name, made.to_bytes())
    for monitor in monitors:
        view.apply(topics.MONITORS.name, monitor.to_bytes())
    return view


def rule_monitor(**rule: Any) -> Monitor:
    """A guardrail."""
    return Monitor(signal=Signal.RULE_VIOLATION_RATIO, model_name="m", monitor_id="guard", rule=Rule(**rule))


def harness(view: ControlView, settings: Settings | None = None, **options: Any) -> Harness:
    """A task without Kafka."""
    chosen = settings or Settings()
    return Harness(lambda: ProfilerProcessor(partition=0, settings=chosen, control=view), **options)


def prediction(id_: str, at: float, **fields: Any) -> dict[str, Any]:
    """A prediction as JSON."""
    event = {
        "prediction_id": id_,
        "model_name": "m",
        "model_version": "1",
        "prediction_timestamp": at,
        "prediction_label": "on",
        "prediction_score": 0.25,
        "features": {"x": 5.0, "kind": "a", "carrier": "AA"},
        "tags": {"sex": "f"},
        "latency_seconds": 0.02,
    }
    return {**event, **fields}


def label(id_: str, at: float, actual: object = "on", **fields: Any) -> dict[str, Any]:
    """A label as JSON."""
    event = {"prediction_id": id_, "model_name": "m", "label_timestamp": at, "actual_label": actual}
    return {**event, **fields}


def record(topic: str, event: dict[str, Any] | bytes | None, offset: int = 0, **fields: Any) -> ListRecord:
    """A record, keyed as it should be."""
    value = json.dumps(event).encode() if isinstance(event, dict) else event
    key = event["prediction_id"].encode() if isinstance(event, dict) and "prediction_id" in event else None
    return ListRecord(**{"topic": topic, "offset": offset, "key": key, "value": value, **fields})


def watermark(topic: str, at: float, model: str = "m") -> ListRecord:
    """A watermark event."""
    event = {"model_name": model, "not_before": at}
    return record(topic, event, headers=(("ce_type", b"plumbline.watermark.v1"),))


def spoken(outputs: Sequence[Output]) -> list[ProfileDelta | Heartbeat]:
    """What outputs say."""
    return [msgspec.msgpack.decode(output.value or b"", type=ProfileRecord) for output in outputs]


def deltas(task: Harness) -> list[ProfileDelta]:
    """Every delta that was committed."""
    return [said for said in spoken(task.outputs) if isinstance(said, ProfileDelta)]


def totals(task: Harness, key: str = KEY) -> dict[str, int]:
    """Totals of a model, as of now."""
    said = spoken(task.heartbeat().outputs)[-1]
    assert isinstance(said, Heartbeat)
    return {name: n for name, n in said.totals.get(key, {}).items() if n}


Counts = Counter[tuple[str, str, str, int, int]]


def merged(task: Harness) -> Counts:
    """All counts by (plan, version, segment, cell in ms, slot)."""
    out: Counts = Counter()
    for delta in deltas(task):
        for part in delta.parts:
            for block in unpack_blocks(part.columns):
                for slot, count in zip(block.slots.tolist(), block.counts.tolist(), strict=True):
                    out[part.plan_id, block.model_version, block.segment, block.cell_ms, slot] += count
    return Counter({key: n for key, n in out.items() if n})


def section(counts: Counts, plan: Plan, name: str, *, segment: str = "__all__", version: str = "1") -> list[int]:
    """One section's counts, summed over cells."""
    where = plan.layout.slice(name)
    out = [0] * (where.stop - where.start)
    for (plan_id, of_version, of_segment, _, slot), n in counts.items():
        if (plan_id, of_version, of_segment) == (plan.plan_id, version, segment) and where.start <= slot < where.stop:
            out[slot - where.start] += n
    return out


def outcomes(task: Harness) -> list[tuple[str, int, bytes]]:
    """Matured outcomes, in order of version and cell."""
    return sorted((o.model_version, o.cell_ms, o.errors) for delta in deltas(task) for o in delta.outcomes)


def samples(task: Harness) -> dict[int, Sample]:
    """All samples by hash."""
    return {sample.hash: sample for delta in deltas(task) for sample in delta.samples}
