"""Arrow batches with bytes turned, cut out and patched: each ends in rows or in dead letters, and the worker stays up.

Runs in a process of its own, since what is feared most is a library that reads beyond its buffers:
`python -m tests.fuzz.arrow --records 2000 --seed 7` prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from schemas.profiles import Heartbeat
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.settings import Settings
from tests.unit.profiler.profiler_world import L, P, control, harness, label, prediction, spoken

START: Final = 3600.0 * 1000
HEADERS: Final = (("content-type", b"application/vnd.apache.arrow.stream"),)
_LENGTHS: Final = (-1, 0, 1, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))


def streams(draw: random.Random) -> list[tuple[str, bytes]]:
    """Streams of many shapes: topic and bytes. The first three are as they should be."""
    rows = [prediction(f"p{draw.randrange(10**9)}", START) for _ in range(draw.choice((1, 3, 40)))]
    table = pa.Table.from_pylist(rows)
    labels = pa.Table.from_pylist([label(each["prediction_id"], START + 60) for each in rows])
    plain = [(P, table), (L, labels)]
    encoded = table.set_column(
        table.schema.get_field_index("model_name"), "model_name", table.column("model_name").dictionary_encode()
    )
    plain.append((P, encoded))
    n = table.num_rows
    odd: tuple[Any, ...] = (
        pa.nulls(n), pa.array([None] * n, pa.string_view()), pa.array([[1]] * n, pa.list_(pa.int8())),
        pa.array([b"\xff"] * n, pa.binary()), pa.array([2**60] * n, pa.timestamp("s", tz="UTC")),
        pa.array([{"a": {"b": 1}}] * n), pa.array([1] * n, pa.decimal128(30, 2)),
        pa.RunEndEncodedArray.from_arrays(pa.array([n], pa.int32()), pa.array([1])),
    )  # fmt: skip
    plain += [(P, table.append_column("odd", column)) for column in odd]
    plain.append((P, table.append_column("model_name", table.column("model_name"))))
    plain += [(P, table.slice(0, 0)), (P, pa.table({}))]
    return [(topic, _written(each, draw.choice((1, 7, 1_000)))) for topic, each in plain]


def _written(table: Any, n_rows: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=n_rows)
    return bytes(sink.getvalue().to_pybytes())


def mutated(value: bytes, draw: random.Random) -> bytes:
    """Turn, patch, cut or repeat some bytes; lengths and offsets sit in words of 4 and 8 bytes."""
    data = bytearray(value)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at, kind = draw.randrange(len(data)) if data else 0, draw.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            data[at & ~7 : (at & ~7) + 8] = struct.pack("<q", draw.choice(_LENGTHS))
        elif kind == 2:
            data[at & ~3 : (at & ~3) + 4] = struct.pack("<I", draw.choice(_LENGTHS) & 0xFFFFFFFF)
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + draw.choice((1, 4, 8, 64))]
        else:
            data[at:at] = data[at : at + draw.choice((8, 64, 512))]
    return bytes(data)


def records(n: int, seed: int) -> Iterator[ListRecord]:
    """Make records, some of them as they should be."""
    draw = random.Random(seed)
    made: list[tuple[str, bytes]] = []
    for i in range(n):
        if not i % 50:
            made = streams(draw)
        topic, value = draw.choice(made[: draw.choice((3, 3, len(made)))])
        if draw.random() < 0.9:
            value = mutated(value, draw)
        yield ListRecord(topic=topic, value=value, headers=HEADERS, offset=i, timestamp=round((START + 120) * 1000))


def run(n: int, seed: int) -> dict[str, Any]:
    """Feed mutated batches to stage 1.

    Returns
    -------
    dict
        `n_records`, `n_silent` (records of which nothing came: no row, no dead letter), `reasons`, resident memory.
    """
    task = harness(control(), Settings.model_validate({"topics": {"events_partitions": 1}}))
    reasons: Counter[str] = Counter()
    n_silent = n_rows = 0
    for record in records(n, seed):
        task.feed([record])
        letters, task.dead_letters[:] = list(task.dead_letters), []
        reasons.update(letter.reason for letter in letters)
        n_new = _n_read(task) - n_rows
        task.outputs.clear()
        n_rows += n_new
        if not letters and not n_new and not _is_empty(record.value or b""):
            n_silent += 1
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "n_records": n, "n_rows": n_rows, "n_silent": n_silent, "reasons": dict(sorted(reasons.items())),
        "resident_megabytes": round(megabytes),
    }  # fmt: skip


def _n_read(task: Harness) -> int:
    """Predictions and labels in the books of all models: a byte of a name may have been turned."""
    said = spoken(task.heartbeat().outputs)[-1]
    assert isinstance(said, Heartbeat)
    return sum(of_model.get("predictions", 0) + of_model.get("labels", 0) for of_model in said.totals.values())


def _is_empty(value: bytes) -> bool:
    """Whether a stream is one, and has no rows: then nothing is what should come of it."""
    try:
        return sum(batch.num_rows for batch in pa.ipc.open_stream(value)) == 0
    except (pa.ArrowException, OSError, ValueError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(run(options.records, options.seed)) + "\n")


if __name__ == "__main__":
    main()
