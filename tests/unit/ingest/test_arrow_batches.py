"""Arrow batches that claim more than they hold, lie where they should not, or come with odd headers and times."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.events import LABEL_TYPE, PREDICTION_TYPE
from streams.engine.processor import DeadLetter, ListRecord
from streams.producing import CONTENT_TYPE, arrow_records
from streams.settings import Settings
from tests.unit.profiler.profiler_world import P, control, harness, prediction, totals

START = 3600.0 * 1000
NAME = b"application/vnd.apache.arrow.stream"
HEADERS = (("content-type", NAME),)
N_CLAIMED = 77_777


def stream(*batches: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for each in batches:
            writer.write(each)
    return bytes(sink.getvalue().to_pybytes())


def fed(
    value: bytes, headers: Sequence[tuple[str, bytes]] = HEADERS, *, n_partitions: int = 1, partition: int = 0
) -> tuple[list[DeadLetter], int]:
    """Dead letters, and how many rows are pending."""
    settings = Settings.model_validate({"topics": {"events_partitions": n_partitions}})
    task = harness(control(), settings)
    record = ListRecord(
        topic=P, partition=partition, value=value, headers=tuple(headers), timestamp=round((START + 60) * 1000)
    )
    task.feed([record])
    return task.dead_letters, totals(task).get("predictions_pending", 0)


def rows(n: int = 3, **more: Any) -> pa.Table:
    table = pa.Table.from_pylist([prediction(f"p{i}", START) for i in range(n)])
    for name, column in more.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
    return table


def test_a_long_text_of_a_dictionary_is_not_written_into_every_row() -> None:
    text = pa.array(["x" * 500_000], type=pa.large_string())
    said = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, np.int8)), text)
    (letter,), pending = fed(stream(rows(2_000, error=said)))
    assert (letter.reason, pending) == ("too_large", 0)
    assert "ingest.max_batch_expanded_bytes" in letter.message


def test_texts_of_a_dictionary_that_rows_can_bear_are_read() -> None:
    # Where every row had the longest text it would be too large; but one has it.
    said = pa.DictionaryArray.from_arrays(pa.array([0] * 999 + [1], pa.int16()), pa.array(["x", "x" * 100_000]))
    letters, pending = fed(stream(rows(1_000, error=said)))
    assert (letters, pending) == ([], 1_000)


def test_a_long_name_is_not_written_into_every_row() -> None:
    (letter,), _ = fed(stream(rows(1_000, **{"n" * 100_000: pa.array([True] * 1_000)})))
    assert letter.reason == "too_large"


def test_columns_without_a_type_cost_no_field_in_a_row() -> None:
    n = 2_000
    nothing = pa.StructArray.from_arrays([pa.nulls(n), pa.nulls(n)], names=["a", "b"])
    table = rows(n, tags=nothing, **{f"c{i}": pa.nulls(n) for i in range(500)})
    features = table.column("features").combine_chunks()
    names = [*(features.type.field(i).name for i in range(features.type.num_fields)), *(f"f{i}" for i in range(500))]
    wide = pa.StructArray.from_arrays([*features.flatten(), *([pa.nulls(n)] * 500)], names=names)
    table = table.set_column(table.schema.get_field_index("features"), "features", wide)
    uneven = table.append_column("unknown", pa.array([1] * n))
    for each in (table, uneven):
        letters, pending = fed(stream(each))
        assert (letters, pending) == ([], n)


@pytest.mark.parametrize(
    ("n_batches", "claimed", "reason"),
    [(1, -5, "bad_batch"), (2, 2**62, "too_large"), (4, 2**62, "too_large"), (2, 2**63 - 1, "too_large")],
)
def test_claims_of_rows_are_not_added_up_until_they_wrap(n_batches: int, claimed: int, reason: str) -> None:
    small = pa.record_batch([pa.nulls(N_CLAIMED)], names=["prediction_id"])
    value = stream(*[small] * n_batches).replace(struct.pack("<q", N_CLAIMED), struct.pack("<q", claimed))
    (letter,), pending = fed(value)
    assert (letter.reason, pending) == (reason, 0)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("extra", [{}, {"unknown": pa.array([1, 2, 3])}], ids=["columns", "rows"])
def test_a_zone_that_nobody_knows_is_no_matter(unit: str, extra: dict[str, Any]) -> None:
    at = pa.array([round(START)] * 3, type=pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.int64())
    times = at.cast(pa.timestamp(unit, tz="Nowhere/City"))
    letters, pending = fed(stream(rows(3, prediction_timestamp=times, **extra)))
    assert (letters, pending) == ([], 3)


def test_a_time_beyond_every_calendar_is_one_dead_row() -> None:
    times = pa.array([round(START), 2**61, round(START)], type=pa.timestamp("s", tz="UTC"))
    (letter,), pending = fed(stream(rows(3, prediction_timestamp=times)))
    assert (letter.reason, letter.record.key, pending) == ("bad_timestamp", b"p1", 2)


def test_times_without_a_zone_are_dead_rows() -> None:
    times = pa.array([round(START)] * 3, type=pa.timestamp("s"))
    letters, pending = fed(stream(rows(3, prediction_timestamp=times)))
    assert ([each.reason for each in letters], pending) == (["bad_timestamp"] * 3, 0)


@pytest.mark.parametrize("extra", [{}, {"unknown": [1] * 40}], ids=["columns", "rows"])
def test_the_partition_is_checked_whichever_way_rows_are_read(extra: dict[str, list[int]]) -> None:
    table = rows(40, **{name: pa.array(column) for name, column in extra.items()})
    record = next(iter(arrow_records(table, n_partitions=12)))
    assert fed(record.value, n_partitions=12, partition=record.partition) == ([], record.n_rows)
    (letter,), pending = fed(record.value, n_partitions=12, partition=record.partition + 1)
    assert (letter.reason, pending) == ("wrong_partition", 0)


def test_an_end_without_an_id_does_not_spare_the_check_of_the_partition() -> None:
    table = next(iter(arrow_records(rows(40), n_partitions=12)))
    moved = pa.ipc.open_stream(table.value).read_all()
    ids = [None, *moved.column("prediction_id").to_pylist()[1:]]
    moved = moved.set_column(moved.schema.get_field_index("prediction_id"), "prediction_id", pa.array(ids))
    (letter,), pending = fed(stream(moved), n_partitions=12, partition=table.partition + 1)
    assert (letter.reason, pending) == ("wrong_partition", 0)


@pytest.mark.parametrize(
    "headers",
    [
        (("Content_Type", NAME),),
        (("content-type", b" " + NAME.upper() + b"; v=1"),),
        (("ce_datacontenttype", NAME), ("content-type", NAME)),
        (("ce_specversion", b"1.0"), ("ce_type", PREDICTION_TYPE.encode()), ("content-type", NAME)),
    ],
)
def test_headers_that_say_arrow(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert NAME.decode() == CONTENT_TYPE
    assert fed(stream(rows()), headers) == ([], 3)


@pytest.mark.parametrize("headers", [(("ce_datacontenttype", NAME),), (("content-type", NAME + b"ing"),), ()])
def test_headers_that_do_not_say_arrow(headers: tuple[tuple[str, bytes], ...]) -> None:
    (letter,), _ = fed(stream(rows()), headers)
    assert letter.reason == "not_json"


def test_a_batch_of_another_type_is_refused() -> None:
    (letter,), pending = fed(stream(rows()), (*HEADERS, ("ce-type", LABEL_TYPE.encode())))
    assert (letter.reason, pending) == ("schema", 0)
    assert "ce_type" in letter.message


_WITHOUT = """
import sys
sys.modules["pyarrow"] = None
from streams.engine.processor import ListRecord
from tests.unit.profiler.profiler_world import L, P, control, harness, prediction, record, totals
task = harness(control())
headers = (("content-type", b"application/vnd.apache.arrow.stream"),)
for topic in (P, L):
    task.feed([ListRecord(topic=topic, value=b"whatever", headers=headers)])
task.feed([record(P, prediction("a", 3600000.0))])
for letter in task.dead_letters:
    print(letter.reason, letter.message)
print(totals(task)["predictions_pending"])
"""


def test_a_worker_without_pyarrow_says_what_to_install_and_goes_on() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, timeout=60, check=True)
    *letters, pending = done.stdout.splitlines()
    assert pending == "1"
    assert len(letters) == 2
    assert all(each.startswith("unsupported_format") and "extra `arrow`" in each for each in letters)
