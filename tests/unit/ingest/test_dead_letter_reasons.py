"""Every way in which a record can be broken: its reason, and a message that says what was expected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import topics
from schemas.models import ModelSpec
from streams.control.view import ControlView
from streams.engine.processor import ListRecord
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.ingest.rejection import Rejection
from streams.settings import IngestSettings

NOW = 1_700_000_000
GOOD: dict[str, Any] = {
    "prediction_id": "p",
    "model_name": "m",
    "model_version": "1",
    "prediction_timestamp": NOW,
    "prediction_label": "on",
}
GOOD_LABEL: dict[str, Any] = {"prediction_id": "p", "model_name": "m", "label_timestamp": NOW, "actual_label": "on"}
HUGE = "9" * 400


def readers(**settings: Any) -> tuple[PredictionReader, LabelReader]:
    view = ControlView()
    view.apply(topics.MODELS.name, ModelSpec(model_name="m", positive_class="late").to_bytes())
    view.apply(topics.MODELS.name, ModelSpec(model_name="price", task="regression").to_bytes())
    chosen = IngestSettings(**settings)
    models = Models(view, max_models=chosen.max_models)
    return PredictionReader(chosen, models), LabelReader(chosen, models)


def as_record(value: dict[str, Any] | bytes | None, **fields: Any) -> ListRecord:
    raw = json.dumps(value).encode() if isinstance(value, dict) else value
    return ListRecord(topic="t", value=raw, timestamp=NOW * 1000, **fields)


def refused(value: dict[str, Any] | bytes | None, *, label: bool = False, **fields: Any) -> Rejection:
    """Read it between two good ones, which must survive."""
    prediction_reader, label_reader = readers(max_record_bytes=2000)
    good = as_record(GOOD_LABEL if label else GOOD)
    reader = label_reader if label else prediction_reader
    chunk = reader.read([good, as_record(value, **fields), good], 0)
    ((_, rejection),) = chunk.rejected
    parts: list[Any] = [p[1] if label else p.columns for p in chunk.parts]  # type: ignore[union-attr,index]
    assert sum(len(part) for part in parts) == 2
    return rejection


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


RAW = json.dumps(GOOD)
CASES: list[tuple[Any, str, str]] = [
    (b"{not json", "not_json", "expected JSON"),
    (b"\xff\xfe", "not_json", "expected JSON"),
    (b"[1, 2]", "schema", "expected a JSON object"),
    (b'"text"', "schema", "expected a JSON object"),
    (b"[" * 1000, "not_json", "expected JSON"),
    (RAW.replace('"on"', "NaN").encode(), "not_json", "NaN is no JSON number"),
    (b"", "empty_value", "value is empty"),
    (None, "empty_value", "value is empty"),
    (b" " * 2001, "too_large", "at most 2000 bytes"),
    (without(GOOD, "prediction_id"), "missing_field", "prediction_id is missing"),
    ({**GOOD, "prediction_id": ""}, "missing_field", "prediction_id is missing"),
    (without(GOOD, "model_name"), "missing_field", "model_name is missing"),
    (without(GOOD, "model_version"), "missing_field", "model_version is missing"),
    ({**GOOD, "model_version": None}, "missing_field", "model_version is missing"),
    (without(GOOD, "prediction_timestamp"), "missing_field", "prediction_timestamp is missing"),
    ({**GOOD, "prediction_id": 7}, "schema", "prediction_id = 7: expected a text"),
    ({**GOOD, "model_name": "no spaces"}, "schema", "model_name = 'no spaces': expected up to 128 letters"),
    ({**GOOD, "environment": "a/b"}, "schema", "environment = 'a/b'"),
    ({**GOOD, "latency_seconds": "fast"}, "schema", "latency_seconds = 'fast': expected a finite number"),
    ({**GOOD, "prediction_label": [1]}, "schema", "prediction_label = [1]: expected a text, an integer"),
    ({**GOOD, "prediction_score": {"a": "b"}}, "schema", "prediction_score = {'a': 'b'}: expected a finite number"),
    ({**GOOD, "prediction_label": 10**30}, "schema", "expected a text, an integer"),
    ({**GOOD, "prediction_value": 10**400}, "schema", "expected a finite number"),
    ({**GOOD, "backfill": "yes"}, "schema", "backfill = 'yes': expected true or false"),
    ({**GOOD, "features": [1]}, "schema", "features = [1]: expected a JSON object"),
    ({**GOOD, "tags": "x"}, "schema", "tags = 'x': expected a JSON object"),
    ((RAW[:-1] + ', "cost_usd": 1e400}').encode(), "schema", "cost_usd = inf: expected a finite number"),
    ((RAW[:-1] + ', "cost_usd": -1e400}').encode(), "schema", "cost_usd = -inf"),
    ({**GOOD, "prediction_timestamp": "2026-01-31T12:00:00"}, "bad_timestamp", "has no zone"),
    ({**GOOD, "prediction_timestamp": "yesterday"}, "bad_timestamp", "RFC 3339"),
    ({**GOOD, "prediction_timestamp": True}, "bad_timestamp", "seconds since 1970"),
    ({**GOOD, "prediction_timestamp": NOW * 1000}, "bad_timestamp", "not milliseconds"),
    ({**GOOD, "prediction_timestamp": -5}, "bad_timestamp", "seconds since 1970"),
    (RAW.replace(str(NOW), HUGE).encode(), "bad_timestamp", "seconds since 1970"),
    ({**GOOD, "prediction_timestamp": NOW + 301}, "future_timestamp", "at most 300 s ahead"),
]


@pytest.mark.parametrize(("value", "reason", "message"), CASES)
def test_broken_predictions_say_what_is_wrong(value: Any, reason: str, message: str) -> None:
    rejection = refused(value)
    assert rejection.reason.value == reason
    assert message in rejection.message
    assert len(rejection.message) < 300


LABEL_CASES: list[tuple[Any, str, str]] = [
    (b"nope", "not_json", "expected JSON"),
    (None, "empty_value", "value is empty"),
    (without(GOOD_LABEL, "label_timestamp"), "missing_field", "label_timestamp is missing"),
    (without(GOOD_LABEL, "actual_label"), "missing_field", "actual_label is missing"),
    ({**GOOD_LABEL, "actual_label": 1.5}, "schema", "actual_label = 1.5: expected a text"),
    ({**GOOD_LABEL, "actual_value": "x"}, "schema", "actual_value = 'x': expected a finite number"),
    ({**GOOD_LABEL, "actual_value": 10**400}, "schema", "expected a finite number"),
    ({**GOOD_LABEL, "revision": -1}, "schema", "revision = -1: expected an integer from 0"),
    ({**GOOD_LABEL, "revision": 2**40}, "schema", "expected an integer from 0"),
    ({**GOOD_LABEL, "revision": "2"}, "schema", "revision = '2'"),
    ({**GOOD_LABEL, "retracted": "no"}, "schema", "retracted = 'no': expected true or false"),
    ({**GOOD_LABEL, "label_timestamp": "2026-01-31"}, "bad_timestamp", "label_timestamp"),
    ({**GOOD_LABEL, "label_timestamp": NOW + 1000}, "future_timestamp", "label_timestamp"),
    ({**GOOD_LABEL, "model_name": "price"}, "missing_field", "actual_value is missing"),
]


@pytest.mark.parametrize(("value", "reason", "message"), LABEL_CASES)
def test_broken_labels_say_what_is_wrong(value: Any, reason: str, message: str) -> None:
    rejection = refused(value, label=True)
    assert rejection.reason.value == reason
    assert message in rejection.message


def test_keys() -> None:
    assert refused(GOOD, key=b"\xff").reason.value == "bad_key"
    other = refused(GOOD, key=b"customer-7")
    assert other.reason.value == "bad_key"
    assert other.message == "key = 'customer-7': expected the prediction_id 'p', or none"
    assert refused(GOOD_LABEL, label=True, key=b"x").reason.value == "bad_key"
    reader, _ = readers()
    assert not reader.read([as_record(GOOD, key=b"p"), as_record(GOOD)], 0).rejected


def test_an_event_on_the_topic_of_another() -> None:
    rejection = refused(GOOD, headers=(("CE-Type", b"plumbline.labels.v1"),))
    assert rejection.reason.value == "schema"
    assert "ce_type = 'plumbline.labels.v1': expected plumbline.predictions.v1" in rejection.message


def test_broken_watermarks_and_structured_events() -> None:
    mark = (("ce_type", b"plumbline.watermark.v1"),)
    assert refused({"model_name": "m"}, headers=mark).reason.value == "missing_field"
    assert refused({"model_name": "m", "not_before": "x"}, headers=mark).reason.value == "bad_timestamp"
    structured = (("Content-Type", b"application/cloudevents+json; charset=utf-8"),)
    assert refused({"specversion": "1.0"}, headers=structured).message.startswith("data is missing")
    assert refused({"data": 3}, headers=structured).reason.value == "schema"


def test_models_are_bounded_and_further_ones_belong_to_nobody() -> None:
    reader, _ = readers(max_models=4)  # two are declared
    values = [as_record({**GOOD, "model_name": f"m{i}"}) for i in range(4)]
    chunk = reader.read(values, 0)
    assert [r.reason.value for _, r in chunk.rejected] == ["too_many_models"] * 2
    assert [r.model_key for _, r in chunk.rejected] == [None, None]
    assert "ingest.max_models" in chunk.rejected[0][1].message
    again = reader.read(values, 0)  # now by the fast way
    assert [r.reason.value for _, r in again.rejected] == ["too_many_models"] * 2
    other = reader.read([as_record({**GOOD, "model_name": "m0", "environment": "staging"})], 0)
    assert [r.reason.value for _, r in other.rejected] == ["too_many_models"]


def test_who_a_broken_record_was_meant_for() -> None:
    assert refused({**GOOD, "latency_seconds": "x"}).model_key == "production/m"
    assert refused({**GOOD, "environment": "staging", "tags": 3}).model_key == "staging/m"
    assert refused(b"{").model_key is None
    assert refused(without(GOOD, "model_name")).model_key is None


def test_without_an_append_time_nothing_is_from_the_future() -> None:
    reader, _ = readers()
    late = ListRecord(topic="t", value=json.dumps({**GOOD, "prediction_timestamp": NOW * 2}).encode(), timestamp=-1)
    assert not reader.read([late], 0).rejected
