"""What good predictions, and good ones with flaws, become as columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xxhash

from detectors.binning import CategoricalBins, NumericBins
from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor, Rule
from schemas.references import BuiltFrom
from schemas.signals import Signal
from streams.control.bins import reference_from_columns
from streams.control.layout import SCORE_MISSING
from streams.control.view import ControlView
from streams.engine.processor import ListRecord
from streams.ingest.columns import EventColumns, Interner
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.settings import IngestSettings

SPEC = ModelSpec(model_name="m", positive_class="late", segments=("carrier",), groups=("sex",))
COLUMNS = {
    "x": [i / 10 for i in range(100)],
    "odd name-1": list(range(100)),
    "kind": ["a"] * 60 + ["b"] * 40,
    "flag": [True] * 50 + [False] * 50,
    "carrier": ["AA"] * 70 + ["BB"] * 30,
    "tags.sex": ["f"] * 50 + ["m"] * 50,
}


def view(*rules: Rule, spec: ModelSpec = SPEC) -> ControlView:
    made = ControlView()
    made.apply(topics.MODELS.name, spec.to_bytes())
    reference = reference_from_columns(spec, COLUMNS, reference_id="r", built_from=BuiltFrom(kind="x"))
    made.apply(topics.REFERENCES.name, reference.to_bytes())
    for i, rule in enumerate(rules):
        monitor = Monitor(signal=Signal.RULE_VIOLATION_RATIO, model_name="m", monitor_id=f"r{i}", rule=rule)
        made.apply(topics.MONITORS.name, monitor.to_bytes())
    return made


def read(control: ControlView, *events: dict[str, Any] | str) -> EventColumns:
    """Read each event twice, first as strangers and then by the fast path; both must agree."""
    reader = PredictionReader(IngestSettings(), Models(control, max_models=10))
    values = [event.encode() if isinstance(event, str) else json.dumps(event).encode() for event in events]
    records = [ListRecord(topic="t", value=value) for value in values]
    first, second = (reader.read(records, 0) for _ in range(2))
    assert not first.rejected
    assert not second.rejected
    for name, column in first.parts[0].columns.arrays().items():
        np.testing.assert_array_equal(column, second.parts[0].columns.arrays()[name])
    return second.parts[0].columns


def event(**fields: Any) -> dict[str, Any]:
    base = {"prediction_id": "p", "model_name": "m", "model_version": "1", "prediction_timestamp": 1e9}
    return {**base, "prediction_label": "on", **fields}


def test_features_by_name_and_kind() -> None:
    control = view()
    plan = control.plan("production/m", 0)
    got = read(
        control, event(features={"x": 3, "odd name-1": 7.5, "kind": "b", "flag": True}), event(features={"x": None})
    )
    numeric = [item.name for item in plan.bins if isinstance(item, NumericBins)]
    rows = [dict(zip(numeric, row, strict=True)) for row in got.numeric.tolist()]
    assert rows[0] == {"x": 3.0, "odd name-1": 7.5}
    assert all(np.isnan(value) for value in rows[1].values())
    for i, item in enumerate(b for b in plan.bins if isinstance(b, CategoricalBins)):
        said = {"kind": ["b", None], "flag": ["true", None], "carrier": [None, None]}[item.name]
        assert got.categorical[:, i].tolist() == item.encode(said).tolist()
    assert got.type_findings is None
    assert not got.schema_finding.any()


def test_hash_is_xxh3_of_the_id() -> None:
    got = read(view(), event(prediction_id="héllo"))
    whole = xxhash.xxh3_128_intdigest("héllo".encode())
    assert (int(got.hash_high[0]) << 64) + int(got.hash_low[0]) == whole


@pytest.mark.parametrize(
    ("stamp", "ms"),
    [
        (1.5, 1500),
        (1_700_000_000.123, 1_700_000_000_123),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000_000),
    ],
)
def test_times(stamp: Any, ms: int) -> None:
    got = read(view(), event(prediction_timestamp=stamp), event(prediction_timestamp=7))
    assert got.timestamp_ms.tolist() == [ms, 7000]


def test_a_wrong_type_is_a_finding_and_missing() -> None:
    control = view()
    names = control.plan("production/m", 0).feature_names
    got = read(control, event(features={"x": "12", "kind": 1.5, "flag": {}}), event(features={"x": 1.0}))
    assert got.type_findings is not None
    found = {(*names, None)[i] for i in np.flatnonzero(got.type_findings[0])}
    assert found == {"x", "kind", "flag"}
    assert not got.type_findings[1].any()
    assert np.isnan(got.numeric[0]).all()


def test_unknown_fields_are_one_finding() -> None:
    got = read(view(), event(colour="red", features={"y": 1, "z": 2}), event(), event(features={"new": 1}))
    assert got.schema_finding.tolist() == [True, False, True]


def test_numbers_beyond_float64_are_infinite() -> None:
    got = read(view(), json.dumps(event(features={"x": "HERE"})).replace('"HERE"', "1e400"))
    assert np.isinf(got.numeric).any()
    got = read(view(), json.dumps(event(features={"x": "HERE"})).replace('"HERE"', "-" + "9" * 400))
    assert np.isneginf(got.numeric).any()


def test_classes_scores_and_failures() -> None:
    got = read(
        view(),
        event(prediction_label="late", prediction_score=1.0),
        event(prediction_label=1, prediction_score={"late": 0.5, "on": 0.5}),
        event(prediction_score=1.5),
        event(prediction_label=None, error="timeout"),
        event(prediction_label=None),
    )
    assert got.predicted.tolist()[:3] == [1.0, 0.0, 0.0]
    assert np.isnan(got.predicted[3:]).all()
    assert got.score.tolist() == [100, 50, SCORE_MISSING, SCORE_MISSING, SCORE_MISSING]
    assert got.failed.tolist() == [False, False, False, True, False]
    assert got.findings()[:, -1].tolist() == [False, False, True, False, True]


def test_multiclass_and_booleans() -> None:
    spec = ModelSpec(model_name="m", task="multiclass", classes=("true", "2"))
    got = read(
        view(spec=spec),
        event(prediction_label=True),
        event(prediction_label=2, prediction_score={"true": 0.1, "2": 0.9}),
        event(prediction_label="new"),
    )
    assert got.predicted.tolist() == [0.0, 1.0, 2.0]
    assert got.score.tolist() == [SCORE_MISSING, 90, SCORE_MISSING]


def test_segments_and_groups_come_from_features_or_tags() -> None:
    got = read(
        view(),
        event(features={"carrier": "BB"}, tags={"sex": "m"}),
        event(tags={"carrier": "AA", "sex": "x"}),
        event(),
    )
    assert got.segments[:, 0].tolist() == [2, 1, 3]
    assert got.groups[:, 0].tolist() == [1, 2, 2]


def test_negative_measures_are_findings() -> None:
    got = read(view(), event(latency_seconds=-1.0, cost_usd=0.5))
    assert np.isnan(got.latency_seconds[0])
    assert got.cost_usd[0] == 0.5
    assert got.findings()[0, -1]


def test_rules() -> None:
    control = view(
        Rule(field="x", minimum=0, maximum=5),
        Rule(field="kind", allowed=("a",)),
        Rule(field="region", excluded=("moon",)),
        Rule(field="x", less_or_equal="odd name-1"),
    )
    got = read(
        control,
        event(features={"x": 5, "kind": "a", "odd name-1": 5}, tags={"region": "moon"}),
        event(features={"x": 6, "kind": "b", "odd name-1": 5}, tags={"region": "earth"}),
        event(),
    )
    assert got.rules.tolist() == [[1, 1, 2, 1], [2, 2, 1, 2], [0, 0, 0, 0]]


def test_structured_and_binary_mode_are_read() -> None:
    control = view()
    reader = PredictionReader(IngestSettings(), Models(control, max_models=10))
    wrapped = {"specversion": "1.0", "type": "plumbline.predictions.v1", "data": event()}
    records = [
        ListRecord(
            topic="t", value=json.dumps(wrapped).encode(), headers=(("CONTENT-TYPE", b"application/CloudEvents+json"),)
        ),
        ListRecord(topic="t", value=json.dumps(event()).encode(), headers=(("ce-type", b"plumbline.predictions.v1"),)),
        ListRecord(
            topic="t", value=json.dumps(event()).encode(), headers=(("ce_type", b"com.acme.scored"), ("x", b""))
        ),
    ]
    chunk = reader.read(records, 0)
    assert not chunk.rejected
    assert sum(len(part.columns) for part in chunk.parts) == 3


def test_a_new_reference_changes_the_schema() -> None:
    control = ControlView()
    control.apply(topics.MODELS.name, SPEC.to_bytes())
    reader = PredictionReader(IngestSettings(), Models(control, max_models=10))
    records = [ListRecord(topic="t", value=json.dumps(event(features={"x": 1, "later": "q"})).encode())]
    assert reader.read(records, 0).parts[0].columns.numeric.shape == (1, 0)
    reference = reference_from_columns(SPEC, COLUMNS, reference_id="r", built_from=BuiltFrom(kind="x"))
    control.apply(topics.REFERENCES.name, reference.to_bytes())
    columns = reader.read(records, 0).parts[0].columns
    assert columns.numeric.shape == (1, 2)
    assert columns.schema_finding.all()


def test_names_are_bounded() -> None:
    names = Interner()
    codes = {names.code(f"v{i}") for i in range(5000)}
    assert len(codes) == 4097
    assert names.names[-1] == "__other__"
