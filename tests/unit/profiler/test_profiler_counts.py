"""What is counted where."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from profiler_world import (
    HOUR,
    KEY,
    SPEC,
    L,
    P,
    control,
    deltas,
    harness,
    label,
    merged,
    outcomes,
    prediction,
    record,
    rule_monitor,
    samples,
    section,
    spoken,
    totals,
    watermark,
)

from detectors.latency import LATENCY_BINS
from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.profiles import Heartbeat
from schemas.signals import Signal
from streams.control.bins import reference_from_samples
from streams.control.plan import RESIDUAL_BINS
from streams.engine.processor import EVERY_PARTITION
from streams.profiler.counting import exact_sums
from streams.settings import IngestSettings, Settings, TopicSettings

T = 1_700_000_000 // HOUR * HOUR


def test_inputs_and_outcomes_of_a_binary_model() -> None:
    view = control(monitors=[rule_monitor(field="x", maximum=4)])
    task, plan = harness(view), view.plan(KEY, T * 1000)
    task.feed(
        [
            record(P, prediction("a", T, prediction_label="late", prediction_score=0.9, cost_usd=0.25)),
            record(P, prediction("b", T + 1, features={"x": "nine", "kind": None}, tags={"sex": "m"}, extra=1)),
            record(P, prediction("c", T + 2, error="timeout", prediction_label=None, prediction_score=None)),
            record(P, prediction("d", T + 3, backfill=True)),
            record(L, label("a", T + 60)),
            record(L, label("b", T + 60, "late")),
        ]
    )
    counts = merged(task)

    def said(name: str, segment: str = "__all__") -> list[int]:
        return section(counts, plan, name, segment=segment)

    assert (said("n"), said("serving_error"), said("backfill")) == ([3], [1], [1])
    assert said("n", "carrier=AA") == [2]
    assert said("n", "carrier=__other__") == [1]
    assert said("sum:latency") == [60_000]
    assert said("sum:cost") == [250_000]
    assert sum(said("latency")) == 3
    assert said("latency")[int(LATENCY_BINS.encode([0.02])[0])] == 3
    assert said("prediction") == [1, 1]
    assert said("score")[int(0.9 * 101)] == 1
    assert sum(said("score")) == 2
    assert said("feature:kind") == [2, 0, 0, 1, 0]
    assert said("finding:schema") == [1]
    types = dict(zip((*plan.feature_names, None), said("finding:type"), strict=True))
    assert {name: n for name, n in types.items() if n} == {"x": 1}
    assert said("rule:guard") == [2, 2]
    assert said("group:sex") == [1, 1, 1, 0, 0, 0]
    assert said("labelled") == [2]
    assert said("confusion") == [0, 1, 1, 0]
    assert said("outcome_score")[int(0.9 * 101)] == 1
    assert said("outcome_score")[101 + int(0.25 * 101)] == 1
    assert said("group_outcome:sex") == [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert sum(said("label_delay")) == 2


def test_a_revision_takes_back_all_that_the_old_label_counted() -> None:
    view = control()
    first, twice = harness(view), harness(view)
    events = [record(P, prediction("a", T, prediction_label="late")), record(L, label("a", T + 60, "late"))]
    twice.feed(
        [events[0], record(L, label("a", T + 7, "on")), record(L, label("a", T + 60, "late", revision=3))],
        batch_sizes=1,
    )
    first.feed(events)
    assert merged(first) == merged(twice)


def test_regression() -> None:
    view = control(ModelSpec(model_name="m", task="regression", cell=timedelta(hours=1)))
    task, plan = harness(view), view.plan(KEY, T * 1000)
    task.feed(
        [
            record(P, prediction("a", T, prediction_value=10.0, prediction_label=None)),
            record(P, prediction("b", T, prediction_value=1e300, prediction_label=None)),
            record(L, {**label("a", T + 9), "actual_label": None, "actual_value": 12.0}),
            record(L, {**label("b", T + 9), "actual_label": None, "actual_value": 0.0}),
        ]
    )
    counts = merged(task)
    assert plan.value_scale == 0.5
    residuals = section(counts, plan, "residual")
    assert residuals[int(RESIDUAL_BINS.encode([-4.0])[0])] == 1
    assert residuals[int(RESIDUAL_BINS.encode([np.inf])[0])] == 1
    assert section(counts, plan, "sum:abs_error") == [4_000_000 + 2**52]
    assert section(counts, plan, "sum:actual") == [24_000_000]
    assert section(counts, plan, "sum:actual_squared") == [576_000_000]
    assert sum(section(counts, plan, "prediction")) == 2


def test_sums_are_exact_where_float64_is_not() -> None:
    values = np.array([2**52, 1, 1, -(2**52), 3, -7], dtype=np.int64)
    assert exact_sums(np.zeros(6, dtype=np.int64), values, 1).tolist() == [-2]
    assert exact_sums(np.array([0, 1, 1, 0, 2, 2]), values, 4).tolist() == [0, 2, -4, 0]


def test_many_cells_are_counted_sparsely() -> None:
    view = control()
    events = [record(P, prediction(f"id-{i}", T + i * HOUR, features={"x": i % 10})) for i in range(4000)]
    task = harness(view)
    task.feed([events[0], watermark(P, T), *events[1:]], batch_sizes=5000)
    assert sum(n for (_, _, s, _, slot), n in merged(task).items() if s == "__all__" and slot == 0) == 4000


def test_two_plans_in_one_batch() -> None:
    view = control()
    later = view.spec(KEY).model_copy(update={"effective_from": _at(T + HOUR), "segments": ()})
    view.apply(topics.MODELS.name, later.to_bytes())
    task = harness(view)
    events = [record(P, prediction(f"id-{i}", T + HOUR * (i % 2))) for i in range(6)]
    task.feed([*events, *[record(L, label(f"id-{i}", T + 2 * HOUR)) for i in range(6)]])
    (delta,) = deltas(task)
    assert {part.plan_id for part in delta.parts} == {view.plan(KEY, (T + HOUR * i) * 1000).plan_id for i in range(2)}
    assert totals(task)["predictions_joined"] == 6
    for i in range(2):
        plan = view.plan(KEY, (T + HOUR * i) * 1000)
        assert section(merged(task), plan, "n") == [3]
        assert section(merged(task), plan, "labelled") == [3]


def _at(seconds: float) -> Any:
    from schemas.base import from_milliseconds

    return from_milliseconds(int(seconds * 1000))


def test_deltas_and_heartbeats_on_the_wire() -> None:
    view = control()
    task = harness(view, Settings(topics=TopicSettings(events_partitions=7)), partition=3)
    task.feed([record(P, prediction("a", T), 41), record(L, label("z", T), 5), record(P, b"{", 42)])
    task.heartbeat(now_ms=99)
    delta_output, beat_output = task.outputs
    assert delta_output.topic == topics.PROFILES.name
    assert delta_output.key == KEY.encode()
    headers = dict(delta_output.headers)
    assert headers["content-type"] == b"application/msgpack"
    assert headers["ce_type"] == b"plumbline.profiles.v1"
    (delta,) = deltas(task)
    assert (delta.environment, delta.model_name, delta.source_partition, delta.seq) == ("production", "m", 3, 1)
    assert delta.offsets == {P: (0, 43), L: (0, 6)}
    assert not delta.inferred
    beat = spoken([beat_output])[0]
    assert isinstance(beat, Heartbeat)
    assert beat_output.partition == EVERY_PARTITION
    assert (beat.n_partitions, beat.now_ms, beat.source_partition, beat.caught_up) == (7, 99, 3, True)
    assert beat.totals[""]["predictions_dead"] == 1
    assert beat.totals[""]["predictions"] == 1
    assert task.dead_letters[0].reason == "not_json"


def test_what_is_dead_belongs_to_its_model_where_that_can_be_told() -> None:
    task = harness(control())
    task.feed([record(P, prediction("a", T, latency_seconds="x")), record(L, {**label("a", T), "revision": "x"})])
    assert totals(task) == {"predictions": 1, "predictions_dead": 1, "labels": 1, "labels_dead": 1}
    assert totals(task, "") == {}
    assert task.counts == {"predictions": 1, "predictions_dead": 1, "labels": 1, "labels_dead": 1}


def test_a_watermark_alone_is_a_delta_without_parts() -> None:
    task = harness(control())
    task.feed([watermark(P, T)])
    (delta,) = deltas(task)
    assert delta.parts == []
    assert delta.watermarks.predictions_ms == T * 1000


def test_an_empty_batch_says_nothing() -> None:
    staged = harness(control()).commit()
    assert staged.is_empty


def test_ordered_outcomes_once_and_in_order() -> None:
    view = control(monitors=[Monitor(signal=Signal.ERROR_RATE, model_name="m", detector="adwin")])
    task = harness(view)
    events = [record(P, prediction(f"id-{i}", T + 60 - i, prediction_label="late")) for i in range(4)]
    labels = [record(L, label(f"id-{i}", T + 100 + i, "late" if i % 2 else "on")) for i in range(4)]
    task.feed([*events, *labels], batch_sizes=3, restart_after=(1, 2))
    assert outcomes(task) == []
    task.feed([watermark(P, T + 3 * HOUR), watermark(L, T + 3 * HOUR - 1)])
    assert outcomes(task) == []
    task.feed([watermark(L, T + 3 * HOUR)])
    assert outcomes(task) == [("1", T * 1000, bytes([0, 1, 0, 1]))]
    task.restart()
    task.feed([record(L, label("id-0", T + 200, "late", revision=1)), watermark(L, T + 9 * HOUR)])
    assert len(outcomes(task)) == 1


@pytest.mark.parametrize("batch_size", [1, 100_000])
def test_models_without_a_reference_are_sampled(batch_size: int) -> None:
    view = control(reference=False)
    task = harness(view, Settings(ingest=IngestSettings(redact=["ssn"])))
    n = 40 if batch_size == 1 else 5000
    events = [
        record(P, prediction(f"id-{i}", T + i, features={"x": 1.5 * i, "kind": "ab"[i % 2], "ok": True, "ssn": "1"}))
        for i in range(n)
    ]
    late = record(P, prediction("late", T - 40 * HOUR, backfill=True))
    task.feed([*events, events[0], late, record(P, prediction("bad", T, error="x"))], batch_sizes=batch_size)
    found = samples(task)
    assert len(found) == min(n, 2000)
    assert all(sample.features.keys() == {"x", "kind", "ok", "tags.sex"} for sample in found.values())
    kinds: dict[str, str] = {}
    for delta in deltas(task):
        kinds |= delta.feature_kinds
    assert kinds == {"x": "numeric", "kind": "categorical", "ok": "categorical"}
    assert sum(section(merged(task), view.plan(KEY, T * 1000), "n")) == n + 1


def test_samples_do_not_depend_on_batches() -> None:
    view = control(reference=False)
    events = [record(P, prediction(f"id-{i}", T + i)) for i in range(6000)]
    one, many = harness(view), harness(view)
    one.feed(events, batch_sizes=10_000)
    many.feed(events, batch_sizes=700, restart_after=(3,))
    found = samples(many)
    smallest = {key: found[key] for key in sorted(found)[:2000]}
    assert smallest == samples(one)
    reference = reference_from_samples(SPEC, list(smallest.values()), reference_id="first")
    assert {item["name"]: item["kind"] for item in reference.bins} == {
        "x": "numeric",
        "kind": "categorical",
        "carrier": "categorical",
    }
    assert reference.group_values == {"sex": ["f"]}


def test_rows_outlive_the_plan_they_were_counted_under() -> None:
    view = control(reference=False)
    task = harness(view)
    task.feed([record(P, prediction("a", T))])
    old = view.plan(KEY, T * 1000)
    fresh = control(ModelSpec(model_name="m", positive_class="late", cell=timedelta(hours=6)))
    task.make_processor = harness(fresh).make_processor
    task.restart()
    assert fresh.plan_by_id(old.plan_id) is None
    task.feed([record(L, label("a", T + 60, "late")), record(P, prediction("b", T + 60))])
    assert section(merged(task), old, "confusion") == [0, 0, 1, 0]
    assert section(merged(task), fresh.plan(KEY, T * 1000), "n") == [1]


def test_a_discarded_batch_leaves_no_trace() -> None:
    view = control()
    events = [record(P, prediction(f"id-{i}", T + i)) for i in range(20)]
    labels = [record(L, label(f"id-{i}", T + 60 + i)) for i in range(20)]
    calm, shaken = harness(view), harness(view)
    for task in (calm, shaken):
        task.feed(events, batch_sizes=3)
    shaken.add(labels)
    shaken.add([record(P, b"?")])
    shaken.stage()
    shaken.restart()
    before = dict(calm.processor._states[KEY].rows.take(calm.processor._states[KEY].rows.live()))  # type: ignore[attr-defined]
    calm.add(labels)
    calm.stage()
    after = calm.processor._states[KEY].rows.take(calm.processor._states[KEY].rows.live())  # type: ignore[attr-defined]
    for name, column in before.items():
        np.testing.assert_array_equal(column, after[name])
    shaken.feed(labels)
    assert totals(shaken)["predictions_joined"] == 20
    assert totals(shaken, "") == {}


def test_unknown_entries_of_a_newer_version_are_refused() -> None:
    task = harness(control())
    task.feed([record(P, prediction("a", T))])
    task.changelog["run/0000000000000009"] = msgspec.msgpack.encode([2, []])
    with pytest.raises(ValueError, match="format 2: expected at most 1"):
        task.restart()


def test_a_class_that_was_not_declared_is_a_finding_or_a_dead_letter() -> None:
    view = control(SPEC.model_copy(update={"classes": ("on", "late")}))
    task = harness(view)
    task.feed([record(P, prediction("a", T, prediction_label="purple")), record(P, prediction("b", T), 1)])
    plan = view.plan(KEY, T * 1000)
    assert section(merged(task), plan, "finding:type")[-1] == 1
    task.feed([record(L, label("a", T + 60)), record(L, label("b", T + 60, "purple"), 1)])
    (letter,) = task.dead_letters
    assert letter.message == "actual_label = 'purple': expected one of the model's classes: on, late"
    assert totals(task)["labels_dead"] == 1
