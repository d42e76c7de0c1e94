"""What the fuzz runs found, each as the record that it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_dead_letter_reasons import GOOD, GOOD_LABEL, NOW, as_record, readers, refused

from schemas.identifiers import OTHER_VALUE
from streams.ingest.columns import MAX_NAME_CHARS
from streams.ingest.rejection import Reason

MARK = (("ce_type", b"plumbline.watermark.v1"),)


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.replace(b'"m"', b'"\xed\xa0\x80"'),
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.decode().encode("utf-32"),
    ],
)
def test_json_is_utf_8(encode: Any, label: bool) -> None:
    value = encode(json.dumps(GOOD_LABEL if label else GOOD).encode())
    assert refused(value, label=label).reason is Reason.NOT_JSON


def test_a_watermark_from_the_future_is_refused_and_one_at_the_edge_is_not() -> None:
    reader, _ = readers()
    event = {"model_name": "m", "not_before": NOW + 299}
    assert len(reader.read([as_record(event, headers=MARK)], 0).marks) == 1
    rejection = refused({**event, "not_before": NOW + 302}, headers=MARK)
    assert rejection.reason is Reason.FUTURE_TIMESTAMP
    assert "not_before = " in rejection.message


def test_a_regression_with_a_score_per_class_is_counted_without_a_score() -> None:
    reader, _ = readers()
    event = {**GOOD, "model_name": "price", "prediction_value": 3.0, "prediction_score": {"a": 0.5}}
    chunk = reader.read([as_record(event)], 0)
    (part,) = chunk.parts
    assert chunk.rejected == []
    assert part.columns.predicted.tolist() == [3.0]


def test_a_name_that_is_no_name_counts_as_other() -> None:
    reader, labels = readers()
    event = {**GOOD, "model_version": "v" * (MAX_NAME_CHARS + 1)}
    (part,) = reader.read([as_record(event), as_record({**GOOD, "model_version": "v" * MAX_NAME_CHARS})], 0).parts
    assert part.names.versions.names == [OTHER_VALUE, "v" * MAX_NAME_CHARS]
    ((names, _),) = labels.read([as_record({**GOOD_LABEL, "actual_label": "l" * 5_000})], 0).parts
    assert names.labels.names == [OTHER_VALUE]
