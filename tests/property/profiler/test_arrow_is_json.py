"""A batch of rows says what its rows would have said one by one: the same counts, tallies and refusals."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.models import ModelSpec
from schemas.monitors import Monitor
from streams.engine.processor import ListRecord
from streams.producing import CONTENT_TYPE, arrow_records
from streams.settings import Settings
from tests.unit.profiler.profiler_world import (
    SPEC,
    L,
    P,
    control,
    harness,
    label,
    merged,
    prediction,
    record,
    rule_monitor,
    totals,
)

ONE = Settings.model_validate({"topics": {"events_partitions": 1}})
START = 3600.0 * 1000
HEADERS = (("content-type", CONTENT_TYPE.encode()),)

PREDICTION_SCHEMA = pa.schema([
    ("prediction_id", pa.string()),
    ("model_name", pa.dictionary(pa.int32(), pa.string())),
    ("model_version", pa.string()),
    ("environment", pa.string()),
    ("prediction_timestamp", pa.float64()),
    ("prediction_label", pa.string()),
    ("prediction_score", pa.float64()),
    ("features", pa.struct([("x", pa.float64()), ("kind", pa.string()), ("carrier", pa.string())])),
    ("tags", pa.struct([("sex", pa.string())])),
    ("latency_seconds", pa.float64()),
    ("cost_usd", pa.float64()),
    ("error", pa.string()),
    ("backfill", pa.bool_()),
])  # fmt: skip
LABEL_SCHEMA = pa.schema([
    ("prediction_id", pa.string()),
    ("model_name", pa.string()),
    ("label_timestamp", pa.float64()),
    ("actual_label", pa.string()),
    ("revision", pa.int64()),
    ("retracted", pa.bool_()),
])  # fmt: skip


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


PREDICTIONS = st.fixed_dictionaries({
    "prediction_id": st.sampled_from([f"p{i}" for i in range(8)] + [None, ""]),
    "model_name": st.sampled_from(["m"] * 9 + ["other"]),
    "model_version": st.sampled_from(["1", "1", "2"]),
    "environment": st.sampled_from([None, None, "production", "staging"]),
    "prediction_timestamp": st.sampled_from([START, START + 1800, START + 4000, -5.0, 4e12]),
    "prediction_label": st.sampled_from(["late", "on", "elsewhere", None]),
    "prediction_score": maybe(st.sampled_from([0.0, 0.25, 0.999, 1.0, 1.5, -0.1])),
    "features": st.fixed_dictionaries({
        "x": maybe(st.sampled_from([-1.0, 0.0, 5.0, 9.9, 1e300, math.inf])),
        "kind": maybe(st.sampled_from(["a", "b", "new"])),
        "carrier": maybe(st.sampled_from(["AA", "ZZ"])),
    }),
    "tags": maybe(st.fixed_dictionaries({"sex": maybe(st.sampled_from(["f", "m", "x"]))})),
    "latency_seconds": maybe(st.sampled_from([0.01, 2.0, -1.0])),
    "cost_usd": maybe(st.sampled_from([0.001])),
    "error": st.sampled_from([None, None, None, "boom"]),
    "backfill": st.sampled_from([None, False, False, True]),
})  # fmt: skip
LABELS = st.fixed_dictionaries({
    "prediction_id": st.sampled_from([f"p{i}" for i in range(8)] + [None]),
    "model_name": st.just("m"),
    "label_timestamp": st.sampled_from([START + 60, START + 7200, -1.0]),
    "actual_label": st.sampled_from(["late", "on", "purple", None]),
    "revision": st.sampled_from([None, 0, 1, 2]),
    "retracted": st.sampled_from([None, False, True]),
})  # fmt: skip


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """What a JSON producer sends of a row: no nulls."""
    said = {name: value for name, value in row.items() if value is not None}
    for name in ("features", "tags"):
        if name in said:
            said[name] = {key: value for key, value in said[name].items() if value is not None}
    return said


def as_json(topic: str, row: dict[str, Any], offset: int) -> ListRecord:
    value = json.dumps(plain(row)).replace("Infinity", "1e999").encode()
    key = (row["prediction_id"] or "").encode() or None
    return ListRecord(topic=topic, offset=offset, key=key, value=value, timestamp=round((START + 9000) * 1000))


def as_batch(topic: str, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> ListRecord:
    table = pa.Table.from_pylist(list(rows), schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    value = sink.getvalue().to_pybytes()
    return ListRecord(topic=topic, value=value, headers=HEADERS, timestamp=round((START + 9000) * 1000))


def outcome(
    chunks: Sequence[tuple[str, Sequence[ListRecord]]], monitors: Sequence[Monitor], spec: ModelSpec = SPEC
) -> tuple[Any, ...]:
    task = harness(control(spec, monitors=monitors), ONE)
    for _, records in chunks:
        task.feed(records)
    reasons = Counter(letter.reason for letter in task.dead_letters)
    return merged(task), {key: totals(task, key) for key in ("production/m", "staging/m", "")}, reasons


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    predictions=st.lists(PREDICTIONS, min_size=1, max_size=12),
    labels=st.lists(LABELS, min_size=1, max_size=12),
    guarded=st.booleans(),
    declared=st.booleans(),
)
def test_a_batch_is_its_rows(
    predictions: list[dict[str, Any]], labels: list[dict[str, Any]], guarded: bool, declared: bool
) -> None:
    spec = SPEC.model_copy(update={"classes": ("on", "late")}) if declared else SPEC
    monitors = [rule_monitor(field="x", minimum=0.0, maximum=9.0)] if guarded else []
    one_by_one = [
        (topic, [as_json(topic, row, i) for i, row in enumerate(rows)])
        for topic, rows in ((P, predictions), (L, labels))
    ]
    batched = [
        (P, [as_batch(P, predictions, PREDICTION_SCHEMA)]),
        (L, [as_batch(L, labels, LABEL_SCHEMA)]),
    ]
    assert outcome(batched, monitors, spec) == outcome(one_by_one, monitors, spec)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(PREDICTIONS, min_size=2, max_size=10), cut=st.integers(0, 10))
def test_batches_and_records_in_one_chunk_keep_their_order(rows: list[dict[str, Any]], cut: int) -> None:
    cut = min(cut, len(rows))
    mixed = [as_json(P, row, i) for i, row in enumerate(rows[:cut])]
    mixed += [as_batch(P, rows[cut:], PREDICTION_SCHEMA)] if cut < len(rows) else []
    mixed += [as_json(P, prediction("last", START + 10), 99)]
    alone = [as_json(P, row, i) for i, row in enumerate(rows)] + [as_json(P, prediction("last", START + 10), 99)]
    assert outcome([(P, mixed)], []) == outcome([(P, alone)], [])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_broken_bytes_are_dead_letters(data: st.DataObject) -> None:
    good = as_batch(P, [prediction(f"p{i}", START) for i in range(5)], PREDICTION_SCHEMA)
    value = bytearray(good.value or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    value = value[: data.draw(st.integers(0, len(value)))]
    task = harness(control(), ONE)
    task.feed([ListRecord(topic=P, value=bytes(value), headers=HEADERS, timestamp=round(START * 1000))])
    said = Counter[str]()
    for key in ("production/m", ""):
        said.update(totals(task, key))
    n_dead = sum(count for name, count in said.items() if name == "predictions_dead")
    assert n_dead == len(task.dead_letters)


@pytest.mark.parametrize("kind", ["lz4", "zstd"])
def test_compressed_buffers_are_refused(kind: str) -> None:
    table = pa.Table.from_pylist([prediction(f"p{i}", START) for i in range(500)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=kind)) as writer:
        writer.write_table(table)
    task = harness(control(), ONE)
    task.feed([ListRecord(topic=P, value=sink.getvalue().to_pybytes(), headers=HEADERS)])
    (letter,) = task.dead_letters
    assert letter.reason == "bad_batch"
    assert "not compressed" in letter.message


def test_rows_that_cost_no_bytes_are_refused() -> None:
    table = pa.table({"prediction_id": pa.nulls(10**9)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    task = harness(control(), ONE)
    task.feed([ListRecord(topic=P, value=sink.getvalue().to_pybytes(), headers=HEADERS)])
    (letter,) = task.dead_letters
    assert letter.reason == "too_large"
    assert "ingest.max_batch_rows" in letter.message


def test_a_batch_of_another_partition_is_refused() -> None:
    rows = pa.Table.from_pylist([prediction(f"p{i}", START) for i in range(40)], schema=PREDICTION_SCHEMA)
    twelve = Settings.model_validate({"topics": {"events_partitions": 12}})
    records = {each.partition: each for each in arrow_records(rows, n_partitions=12)}
    assert sum(each.n_rows for each in records.values()) == 40
    task = harness(control(), twelve)
    for partition in sorted(records)[:2]:
        each = records[partition]
        task.feed([ListRecord(topic=P, value=each.value, headers=each.headers)])
    ours = records[0].n_rows if 0 in records else 0
    assert totals(task).get("predictions_pending", 0) == ours
    assert {letter.reason for letter in task.dead_letters} == {"wrong_partition"}


def test_a_dead_row_can_be_sent_again_as_json() -> None:
    rows = [prediction("good", START), prediction("bad", -5.0)]
    task = harness(control(), ONE)
    task.feed([as_batch(P, rows, PREDICTION_SCHEMA)])
    (letter,) = task.dead_letters
    assert letter.record.key == b"bad"
    assert json.loads(letter.record.value or b"")["prediction_timestamp"] == -5.0
    assert totals(task)["predictions_pending"] == 1


def test_a_label_batch_joins_a_json_prediction() -> None:
    task = harness(control(), ONE)
    task.feed([record(P, prediction("a", START))])
    task.feed([as_batch(L, [label("a", START + 60)], LABEL_SCHEMA)])
    assert totals(task)["predictions_joined"] == 1
