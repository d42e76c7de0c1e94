"""For producers: tables of events as Arrow records, split so that every row lies in its id's partition.

    for each in arrow_records(table, n_partitions=12):
        await producer.send("ml.predictions.v1", value=each.value, headers=each.headers, partition=each.partition)

The columns are those of the JSON events, `features` and `tags` as structs; see docs/arrow.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streams.engine.partitioning import PARTITIONERS

CONTENT_TYPE: Final = "application/vnd.apache.arrow.stream"
_HEADERS: Final = (("content-type", CONTENT_TYPE.encode()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowRecord:
    """A record to be sent; it has no key, so the partition is to be given."""

    partition: int
    value: bytes
    n_rows: int
    headers: tuple[tuple[str, bytes], ...] = _HEADERS


def arrow_records(
    table: Any, *, n_partitions: int, partitioner: str = "murmur2", max_rows: int = 1_000, max_bytes: int = 900_000
) -> Iterator[ArrowRecord]:
    """Split a table of predictions or labels into records.

    Parameters
    ----------
    table
        A `pyarrow.Table` with a text column `prediction_id`; in the order in which rows are to be read.
    n_partitions
        Of the topic.
    partitioner
        How the other producers of predictions and labels place their keys: `murmur2` (Java clients, aiokafka) or
        `crc32` (librdkafka).
    max_rows, max_bytes
        Bounds of a record; rows of a record that gets too large are halved.

    Yields
    ------
    ArrowRecord
        Partition by partition.

    Raises
    ------
    ValueError
        Where an argument is out of range, or a single row is larger than `max_bytes`.
    """
    if partitioner not in PARTITIONERS:
        msg = f"partitioner = {partitioner!r}: expected one of {', '.join(PARTITIONERS)}"
        raise ValueError(msg)
    for name, given in (("n_partitions", n_partitions), ("max_rows", max_rows)):
        if given < 1:
            msg = f"{name} = {given}: expected at least 1"
            raise ValueError(msg)
    place = PARTITIONERS[partitioner]
    ids = table.column("prediction_id").to_pylist()
    partitions = np.array([place(each.encode(), n_partitions) for each in ids], dtype=np.int64)
    for partition in np.unique(partitions).tolist():
        rows = table.take(np.flatnonzero(partitions == partition))
        for start in range(0, rows.num_rows, max_rows):
            for piece, value in _pieces(rows.slice(start, max_rows), max_bytes):
                yield ArrowRecord(partition=partition, value=value, n_rows=piece.num_rows)


def _pieces(table: Any, max_bytes: int) -> Iterator[tuple[Any, bytes]]:
    value = _stream(table)
    if len(value) <= max_bytes:
        yield table, value
        return
    if table.num_rows == 1:
        msg = f"a row of {len(value)} bytes: expected at most max_bytes = {max_bytes}"
        raise ValueError(msg)
    half = table.num_rows // 2
    yield from _pieces(table.slice(0, half), max_bytes)
    yield from _pieces(table.slice(half), max_bytes)


def _stream(table: Any) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 - an extra, and whoever calls this has made a table with it

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    value: bytes = sink.getvalue().to_pybytes()
    return value
