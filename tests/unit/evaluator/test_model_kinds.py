"""Events through profiler and evaluator on lists, for each kind of model: a reference, calm weeks, then a break."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas import topics
from schemas.alerts import Alert
from schemas.events import LabelEvent, PredictionEvent
from schemas.metrics import WindowMetrics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.evaluator.processor import EvaluatorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.replay.references import build_reference
from streams.settings import Settings, TopicSettings

START = datetime(2026, 1, 5, tzinfo=UTC)
N_PER_CELL = 160
NOW_MS = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
Events = tuple[list[PredictionEvent], list[LabelEvent]]
Maker = Callable[[np.random.Generator, bool], tuple[dict[str, Any], dict[str, Any]]]


def regression(rng: np.random.Generator, broken: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    x = float(rng.normal())
    error = float(rng.normal(scale=4.0 if broken else 1.0))
    return {"features": {"x": x}, "prediction_value": 10 + x}, {"actual_value": 10 + x + error}


def multiclass(rng: np.random.Generator, broken: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    actual = str(rng.choice(["a", "b", "c"]))
    wrong = rng.random() < (0.6 if broken else 0.1)
    said = str(rng.choice(["a", "b", "c"])) if wrong else actual
    return {"features": {"x": float(rng.normal())}, "prediction_label": said}, {"actual_label": actual}


def binary(rng: np.random.Generator, broken: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    score = float(rng.uniform())
    actual = rng.random() < (1 - score if broken else score)
    group = str(rng.choice(["f", "m"]))
    features = {"x": score, "sex": group}
    return (
        {"features": features, "prediction_label": score > 0.5, "prediction_score": score, "latency_seconds": 0.01},
        {"actual_label": bool(actual)},
    )


def regression_of_two_kinds(rng: np.random.Generator, broken: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answers near 30 err four times as much as those near 10; broken, there are more of them."""
    is_hard = rng.random() < (0.8 if broken else 0.2)
    said = (30.0 if is_hard else 10.0) + float(rng.normal())
    error = float(rng.normal(scale=4.0 if is_hard else 1.0))
    return {"features": {"x": said}, "prediction_value": said}, {"actual_value": said + error}


def multiclass_of_two_kinds(rng: np.random.Generator, broken: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """It knows how sure it is; broken, it is unsure more often."""
    sure = 0.55 if rng.random() < (0.8 if broken else 0.2) else 0.95
    said, other = rng.choice(["a", "b", "c"], size=2, replace=False)
    actual = str(said if rng.random() < sure else other)
    served = {"features": {"x": sure}, "prediction_label": str(said), "prediction_score": sure}
    return served, {"actual_label": actual}


KINDS: dict[str, tuple[dict[str, Any], Maker, str, list[str]]] = {
    "regression": ({"task": "regression"}, regression, "mae", ["mae", "rmse", "r2"]),
    "multiclass": ({"task": "multiclass", "classes": ["a", "b", "c"]}, multiclass, "error_rate", ["accuracy", "f1"]),
    "regression_of_two_kinds": ({"task": "regression"}, regression_of_two_kinds, "mae", ["mae", "rmse"]),
    "multiclass_of_two_kinds": (
        {"task": "multiclass", "classes": ["a", "b", "c"]}, multiclass_of_two_kinds, "error_rate", ["accuracy"],
    ),
    "binary": (
        {"task": "binary", "groups": ["sex"]}, binary, "brier",
        ["auc", "ece", "log_loss", "brier", "true_positive_rate_difference:sex"],
    ),
}  # fmt: skip


def events(maker: Maker, cells: range, broken_from: int, seed: int) -> Events:
    rng = np.random.default_rng(seed)
    predictions, labels = [], []
    for cell in cells:
        for i in range(N_PER_CELL):
            at = START + timedelta(hours=6 * cell, seconds=130 * i)
            served, truth = maker(rng, cell >= broken_from)
            name = f"{cell}-{i}"
            predictions.append(
                PredictionEvent(
                    prediction_id=name, model_name="m", model_version="v1", prediction_timestamp=at, **served
                )
            )
            labels.append(
                LabelEvent(prediction_id=name, model_name="m", label_timestamp=at + timedelta(hours=1), **truth)
            )
    return predictions, labels


def run(kind: str) -> tuple[list[WindowMetrics], list[Alert]]:
    terms, maker, signal, _ = KINDS[kind]
    spec = ModelSpec.model_validate(
        {
            "name": "m",
            "cell": "6h",
            "maturity": "6h",
            "label_horizon": "3d",
            "reference": {"kind": "published"},
            **terms,
        }
    )
    control = ControlView()
    control.apply(topics.MODELS.name, spec.to_bytes())
    control.apply(topics.MONITORS.name, Monitor.model_validate({"signal": signal, "model_name": "m"}).to_bytes())
    reference = build_reference(spec, *events(maker, range(60), 99, seed=1), reference_id="r")
    control.apply(topics.REFERENCES.name, reference.to_bytes())
    settings = Settings(topics=TopicSettings(events_partitions=1))
    profiler = Harness(lambda: ProfilerProcessor(partition=0, settings=settings, control=control))
    evaluator = Harness(lambda: EvaluatorProcessor(partition=0, settings=settings, control=control))
    profiler.now_ms = NOW_MS
    for cell in range(60, 100):
        served, known = events(maker, range(cell, cell + 1), 80, seed=cell)
        for topic, batch in ((topics.PREDICTIONS.name, served), (topics.LABELS.name, known)):
            profiler.add(ListRecord(topic=topic, timestamp=NOW_MS, value=msgspec.json.encode(event)) for event in batch)
        staged = profiler.commit(heartbeat=True)
        evaluator.feed(ListRecord(topic=o.topic, value=o.value) for o in staged.outputs)
    assert profiler.dead_letters == []
    windows = [
        WindowMetrics.model_validate_json(o.value)
        for o in evaluator.outputs
        if o.topic == topics.METRICS.name and o.value
    ]
    alerts = [
        Alert.model_validate_json(o.value) for o in evaluator.outputs if o.topic == topics.ALERTS.name and o.value
    ]
    return windows, alerts


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_of_model_is_measured_and_its_break_is_told(kind: str) -> None:
    windows, alerts = run(kind)
    _, _, signal, shown = KINDS[kind]
    outcomes = [w for w in windows if w.kind == "outcomes"]
    assert len(outcomes) >= 36
    for name in shown:
        assert outcomes[0].values[name] is not None, name
    assert alerts, f"{signal} never left its reference"
    broken_at = START + timedelta(hours=6 * 80)
    assert all(a.starts_at > broken_at for a in alerts)
    assert alerts[0].starts_at <= broken_at + timedelta(days=3)


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [("regression_of_two_kinds", ["mae", "rmse"]), ("multiclass_of_two_kinds", ["accuracy"])],
)
def test_more_of_what_is_hard_is_seen_without_labels(kind: str, metrics: list[str]) -> None:
    windows, _ = run(kind)
    matured = {w.window_start: w for w in windows if w.kind == "outcomes"}
    inputs = {w.window_start: w for w in windows if w.kind == "inputs" and w.window_start in matured}
    broken_at = START + timedelta(hours=6 * 80)
    for name in metrics:
        calm = np.mean([w.estimates[name].value for at, w in inputs.items() if at < broken_at])
        moved = np.mean([w.estimates[name].value for at, w in inputs.items() if at >= broken_at])
        became = np.mean([w.values[name] for at, w in matured.items() if at >= broken_at])
        was = np.mean([w.values[name] for at, w in matured.items() if at < broken_at])
        assert abs(moved - became) < 0.15 * abs(became - was), name
        assert abs(calm - was) < 0.15 * abs(became - was), name
    name = metrics[0]
    held = [
        w.estimates[name].lower <= (w.estimates[name].realised or 0.0) <= w.estimates[name].upper
        for w in matured.values()
    ]
    assert np.mean(held) > 0.85
    if kind.startswith("regression"):
        assert all(w.estimates["mape"].value > 0 for w in inputs.values())


def test_the_regression_metrics_are_in_the_unit_of_the_target() -> None:
    windows, _ = run("regression")
    calm = [w.values for w in windows if w.kind == "outcomes"][:15]
    mae = np.mean([v["mae"] for v in calm if v["mae"] is not None])
    rmse = np.mean([v["rmse"] for v in calm if v["rmse"] is not None])
    assert mae == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)
    assert rmse == pytest.approx(1.0, rel=0.1)
