"""Valid records of the topics that stage 1 reads: three models, told apart by what is known of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor, Rule
from schemas.references import BuiltFrom
from schemas.signals import Signal
from streams.control.bins import reference_from_columns
from streams.control.view import ControlView
from tests.fuzz.mutations import Raw

START_SECONDS: Final = 1_700_002_800
STEP_SECONDS: Final = 0.5
"""Event time between two records."""
_SPAN: Final[dict[str, Any]] = {
    "cell": timedelta(hours=1),
    "lateness": timedelta(minutes=10),
    "maturity": timedelta(hours=1),
    "revision_horizon": timedelta(hours=2),
    "label_horizon": timedelta(hours=3),
}
_COLUMNS: Final[dict[str, Sequence[object]]] = {
    "x": [i / 10 for i in range(100)],
    "kind": ["a"] * 60 + ["b"] * 40,
    "carrier": ["AA"] * 70 + ["BB"] * 30,
    "tags.sex": ["f"] * 50 + ["m"] * 50,
}
STRANGERS: Final = (
    b'{"deployment_id":"d","model_name":"m","model_version":"1","deployed_at":"2024-01-01T00:00:00Z"}',
    b'{"name":"m","task":"binary","positive_class":"late"}',
    b'{"alert_id":"a","fingerprint":"f","labels":{"model_name":"m"}}',
    b'{"request":{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]},"id":"1"}',
    b'{"captureData":{"endpointInput":{"data":"1,2","encoding":"CSV"}},"eventMetadata":{"eventId":"1"}}',
    b"<xml/>",
    b"timestamp,id\n1,2\n",
    b"\x81\xa4type\xa9heartbeat",
    b"\x00\x00\x00\x00\x01avro",
    b"\x1f\x8b\x08",
)


def specs() -> list[ModelSpec]:
    """A classifier with a reference, one without, and a regression."""
    common = {"segments": ("carrier",), "groups": ("sex",), **_SPAN}
    return [
        ModelSpec(model_name="m", positive_class="late", **common),
        ModelSpec(model_name="open", positive_class="late", **common),
        ModelSpec(model_name="value", task="regression", **_SPAN),
    ]


def control_records() -> list[tuple[str, bytes]]:
    """What is published of the models, as (topic, value)."""
    found = [(topics.MODELS.name, spec.to_bytes()) for spec in specs()]
    for spec in specs():
        if spec.model_name != "open":
            regression = spec.task == "regression"
            reference = reference_from_columns(
                spec,
                _COLUMNS,
                reference_id=f"r-{spec.model_name}",
                built_from=BuiltFrom(kind="recording"),
                predictions=[i / 5 for i in range(100)] if regression else ["late", "on"],
                residuals=[0.5, -0.5],
            )
            found.append((topics.REFERENCES.name, reference.to_bytes()))
    rule = Rule(field="x", minimum=0.0, maximum=9.0)
    guard = Monitor(signal=Signal.RULE_VIOLATION_RATIO, model_name="m", monitor_id="guard", rule=rule)
    order = Monitor(signal=Signal.ERROR_RATE, model_name="m", monitor_id="order", detector="adwin")
    return [*found, *((topics.MONITORS.name, monitor.to_bytes()) for monitor in (guard, order))]


def control() -> ControlView:
    """The view that they fold to."""
    view = ControlView()
    for topic, value in control_records():
        view.apply(topic, value)
    return view


def records(seed: int, n: int, *, start_seconds: float = START_SECONDS) -> Iterator[Raw]:
    """Predictions and their labels, in about the order of event time; some come twice, some labels first."""
    draw = random.Random(seed)
    for i in range(n):
        at = start_seconds + i * STEP_SECONDS
        if draw.random() < 0.55:
            yield _prediction(draw, i if draw.random() < 0.97 else draw.randrange(max(0, i - 50), i + 1), at)
        else:
            yield _label(draw, draw.randrange(max(0, i - 3_000), i + 20), at)


def _model(i: int) -> str:
    return ("m", "m", "m", "open", "value", "undeclared")[i % 6]


def _prediction(draw: random.Random, i: int, at: float) -> Raw:
    model = _model(i)
    event: dict[str, Any] = {
        "prediction_id": f"id-{i}",
        "model_name": model,
        "model_version": draw.choice("1112"),
        "prediction_timestamp": at,
        "prediction_score": round(draw.random(), 3),
        "features": {
            "x": round(draw.uniform(-1, 11), 2), "kind": draw.choice("abc"), "carrier": draw.choice(("AA", "BB")),
        },
        "tags": {"sex": draw.choice("fm")},
        "latency_seconds": 0.02,
        "cost_usd": 0.001,
    }  # fmt: skip
    event |= {"prediction_value": 3.5} if model == "value" else {"prediction_label": draw.choice(("on", "late"))}
    return _raw(topics.PREDICTIONS.name, event, at)


def _label(draw: random.Random, i: int, at: float) -> Raw:
    model = _model(i)
    event: dict[str, Any] = {"prediction_id": f"id-{i}", "model_name": model, "label_timestamp": at}
    event |= {"actual_value": 3.0} if model == "value" else {"actual_label": draw.choice(("on", "late"))}
    if draw.random() < 0.1:
        event |= {"revision": draw.randrange(3), "retracted": draw.random() < 0.3}
    return _raw(topics.LABELS.name, event, at)


def _raw(topic: str, event: dict[str, Any], at: float) -> Raw:
    value = json.dumps(event, separators=(",", ":")).encode()
    return Raw(topic, event["prediction_id"].encode(), value, round(at * 1000) + 1_500)
