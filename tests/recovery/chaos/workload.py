"""The load: models, and their predictions and labels in order of event time; a pure function of seed and number.

Two of four models get a second version that errs five times as often, and one gets inputs that drift: what must come
of it is known. Some records are broken, duplicated, late, never labelled, labelled without a prediction, or revised.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from schemas import topics
from schemas.base import from_milliseconds
from schemas.deployments import DeploymentEvent
from schemas.events import DEFAULT_ENVIRONMENT, WATERMARK_TYPE, LabelEvent, PredictionEvent
from schemas.identifiers import model_key
from schemas.monitors import ModelEntry
from schemas.references import Reference
from streams.engine.processor import EVERY_PARTITION, Output
from streams.replay.references import build_reference

START: Final = datetime(2024, 3, 4, tzinfo=UTC)
CELL: Final = timedelta(hours=6)
N_CELLS: Final = 96
HORIZON: Final = timedelta(days=3)
LATENESS: Final = timedelta(minutes=10)
_REFERENCE_CELLS: Final = 60
_REFERENCE_EVENTS_PER_CELL: Final = 60
SECOND_VERSION_FROM: Final = START + 52 * CELL
DRIFT_FROM: Final = START + 64 * CELL
_PREDICTIONS_RATIO: Final = 0.505
"""A few predictions have no label."""
_LATE_BY: Final = timedelta(days=10)
_JITTER_SECONDS: Final = 300
"""Predictions are out of order by less than this, which is within the lateness."""

HARMED: Final = ("churn", "fraud")
"""Models whose second version errs: each is rolled back, once."""
DRIFTED: Final = "price"
MODELS: Final = ("credit", *HARMED, DRIFTED)

_ERROR_RATIO: Final = {"v1": 0.1, "v2": 0.5}
_COUNTRIES: Final = ("de", "fr", "it", "nl")
_CHANNELS: Final = ("web", "app", "branch", "phone")


class Kind(StrEnum):
    """What becomes of a record."""

    GOOD = "good"
    BROKEN = "broken"
    """Half of a JSON object: a dead letter."""
    DUPLICATE = "duplicate"
    LATE = "late"
    """Older than anything that may still be counted."""
    ORPHAN = "orphan"
    """A label of a prediction that never was."""
    REVISION = "revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One record as it is sent, and the event in it as the oracle knows it."""

    topic: str
    kind: Kind
    key: str
    value: bytes
    event: dict[str, Any] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """Shares of what is odd, in the order in which one number is drawn for them."""

    broken: float = 0.003
    duplicate: float = 0.004
    late: float = 0.001
    unlabelled: float = 0.03
    orphan: float = 0.003
    revised: float = 0.01


def entries() -> list[ModelEntry]:
    """The models, as monitors.yaml would have them."""
    return [
        ModelEntry.model_validate(
            {
                "name": name,
                "task": "binary",
                "classes": ["no", "yes"],
                "positive_class": "yes",
                "cell": "6h",
                "lateness": "10m",
                "maturity": "12h",
                "label_horizon": "3d",
                "revision_horizon": "1d",
                "segments": ["country"],
                "reference": {"kind": "published"},
                "rollback": {"mode": "auto", "evidence": "error_rate", "min_samples": 100},
                "monitors": [
                    {"signal": "error_rate", "severity": "page", "tolerance": 0.1},
                    {"signal": "feature_drift", "tolerance": 0.3, "reference_context": "global"},
                    {"signal": "missing_ratio", "tolerance": 0.05},
                ],
            }
        )
        for name in MODELS
    ]


def references(seed: int) -> dict[str, Reference]:
    """What each model is held against: a recording from before the run."""
    found = {}
    first = START - _REFERENCE_CELLS * CELL
    n = _REFERENCE_CELLS * _REFERENCE_EVENTS_PER_CELL
    for entry in entries():
        draw = random.Random(f"reference {seed} {entry.model_name}")
        predictions, labels = [], []
        for i in range(n):
            at = int(first.timestamp()) + int(i * CELL.total_seconds() / _REFERENCE_EVENTS_PER_CELL)
            event, actual = _prediction(draw, entry.model_name, f"r{i}", at)
            predictions.append(PredictionEvent(**event))
            labels.append(
                LabelEvent(
                    prediction_id=f"r{i}", model_name=entry.model_name, label_timestamp=at + 60, actual_label=actual
                )
            )
        name = entry.model_name
        found[name] = build_reference(entry.spec(), predictions, labels, reference_id=f"{name}-recorded")
    return found


def deployments() -> list[DeploymentEvent]:
    """Which version serves when; announced before the run, so that control stands still during it."""
    found = []
    for name in MODELS:
        versions = [("v1", START), ("v2", SECOND_VERSION_FROM)] if name in HARMED else [("v1", START)]
        for generation, (version, at) in enumerate(versions, start=1):
            found.append(
                DeploymentEvent(
                    deployment_id=f"{name}-{version}",
                    model_name=name,
                    model_version=version,
                    generation=generation,
                    deployed_at=at,
                    reference_id=f"{name}-recorded",
                )
            )
    return found


def control_outputs(found: dict[str, Reference]) -> list[Output]:
    """Everything that `plumbline apply`, `plumbline references build` and a deployment publish."""
    outputs = []
    for entry in entries():
        key = model_key(DEFAULT_ENVIRONMENT, entry.model_name)
        outputs.append(Output(topic=topics.MODELS.name, key=key.encode(), value=entry.spec().to_bytes()))
        outputs += [
            Output(topic=topics.MONITORS.name, key=f"{key}/{each.monitor_id}".encode(), value=each.to_bytes())
            for each in entry.owned_monitors()
        ]
        reference = found[entry.model_name]
        outputs.append(
            Output(topic=topics.REFERENCES.name, key=reference.reference_id.encode(), value=reference.to_bytes())
        )
    for each in deployments():
        key = f"{model_key(DEFAULT_ENVIRONMENT, each.model_name)}/{each.deployment_id}"
        outputs.append(Output(topic=topics.DEPLOYMENTS.name, key=key.encode(), value=each.to_bytes()))
    return outputs


def end_ms() -> int:
    """Event time behind everything that is sent."""
    return int((START + N_CELLS * CELL + CELL).timestamp() * 1000)


def final_ms() -> int:
    """The final watermark: whatever still waited is over by then."""
    return end_ms() + int((HORIZON + LATENESS + CELL) / timedelta(milliseconds=1))


def final_watermarks() -> list[Output]:
    """Say that nothing more will come, to every partition."""
    return [
        Output(
            topic=topic.name,
            key=name.encode(),
            value=json.dumps({"model_name": name, "not_before": final_ms() / 1000}).encode(),
            headers=[("ce_type", WATERMARK_TYPE.encode())],
            partition=EVERY_PARTITION,
        )
        for name in MODELS
        for topic in (topics.PREDICTIONS, topics.LABELS)
    ]


def stream(seed: int, n_events: int) -> Iterator[Sent]:
    """Yield at least `n_events` predictions and labels, in order of event time, one model after the other in turn."""
    draw = random.Random(f"load {seed}")
    terms = _Terms()
    n_predictions = round(n_events * _PREDICTIONS_RATIO)
    first, span = int(START.timestamp()) + _JITTER_SECONDS, int(N_CELLS * CELL.total_seconds())
    waiting: list[tuple[int, int, Sent]] = []
    for i in range(n_predictions):
        at = first + span * i // n_predictions
        while waiting and waiting[0][0] <= at:
            yield heapq.heappop(waiting)[2]
        name = MODELS[i % len(MODELS)]
        for number, (due, sent) in enumerate(_happenings(draw, terms, name, f"p{seed}-{i:08d}", at)):
            if sent.topic == topics.PREDICTIONS.name:
                yield sent
            else:
                heapq.heappush(waiting, (due, 4 * i + number, sent))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _happenings(draw: random.Random, terms: _Terms, name: str, id_: str, at: int) -> Iterator[tuple[int, Sent]]:
    """One prediction and what belongs to it: each with the time at which it is due."""
    stamped = at - draw.randrange(_JITTER_SECONDS)
    event, actual = _prediction(draw, name, id_, stamped)
    yield at, _sent(topics.PREDICTIONS.name, Kind.GOOD, event)
    odd = draw.random()
    if odd < terms.broken:
        broken = _sent(topics.PREDICTIONS.name, Kind.BROKEN, {**event, "prediction_id": f"{id_}-b"})
        yield at, Sent(topic=broken.topic, kind=broken.kind, key=broken.key, value=broken.value[:40], event=event)
    elif odd < terms.broken + terms.duplicate:
        yield at, _sent(topics.PREDICTIONS.name, Kind.DUPLICATE, event)
    elif odd < terms.broken + terms.duplicate + terms.late and from_milliseconds(at * 1000) > START + 1.5 * _LATE_BY:
        late = at - int(_LATE_BY.total_seconds())
        yield (
            at,
            _sent(
                topics.PREDICTIONS.name,
                Kind.LATE,
                {**event, "prediction_id": f"{id_}-l", "prediction_timestamp": late},
            ),
        )
    yield from _labels(draw, terms, name, id_, at, actual)


def _labels(
    draw: random.Random, terms: _Terms, name: str, id_: str, at: int, actual: str
) -> Iterator[tuple[int, Sent]]:
    odd = draw.random()
    known = at + draw.randrange(60, 5 * 3600)
    label = {"prediction_id": id_, "model_name": name, "label_timestamp": known, "actual_label": actual}
    if odd < terms.unlabelled:
        return
    yield known, _sent(topics.LABELS.name, Kind.GOOD, label)
    odd -= terms.unlabelled
    if odd < terms.orphan:
        yield known, _sent(topics.LABELS.name, Kind.ORPHAN, {**label, "prediction_id": f"{id_}-o"})
    elif odd < terms.orphan + terms.revised:
        later = known + draw.randrange(60, 3 * 3600)
        other = "no" if actual == "yes" else "yes"
        revised = {**label, "label_timestamp": later, "actual_label": other, "revision": 1}
        yield later, _sent(topics.LABELS.name, Kind.REVISION, revised)


def _sent(topic: str, kind: Kind, event: dict[str, Any]) -> Sent:
    return Sent(topic=topic, kind=kind, key=event["prediction_id"], value=json.dumps(event).encode(), event=event)


def _prediction(draw: random.Random, name: str, id_: str, at: int) -> tuple[dict[str, Any], str]:
    """A prediction, and the truth about it."""
    version = "v2" if name in HARMED and at >= SECOND_VERSION_FROM.timestamp() else "v1"
    shift = 1.5 if name == DRIFTED and at >= DRIFT_FROM.timestamp() else 0.0
    predicted = draw.choice(("no", "yes"))
    wrong = draw.random() < _ERROR_RATIO[version]
    actual = predicted if not wrong else ("no" if predicted == "yes" else "yes")
    amount = None if draw.random() < 0.02 else round(draw.lognormvariate(shift, 1.0), 3)
    channel = "fax" if draw.random() < 0.01 and at >= START.timestamp() else draw.choice(_CHANNELS)
    event = {
        "prediction_id": id_,
        "model_name": name,
        "model_version": version,
        "prediction_timestamp": at,
        "prediction_label": predicted,
        "prediction_score": round(draw.random(), 4),
        "features": {"amount": amount, "age": float(draw.randrange(18, 90)), "channel": channel},
        "tags": {"country": draw.choice(_COUNTRIES)},
        "latency_seconds": round(0.01 + draw.random() / 50, 4),
    }
    return event, actual
