"""What an Arrow stream may hold and claim, before anything is made of it: a few bytes can stand for gigabytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from streams.ingest.rejection import Reason, wrong
from streams.settings import IngestSettings

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError:  # then no batch is opened, and nothing here is called
    pa = pc = None

_HEADER_OF: Final = {"record batch": 1, "dictionary": 2}
_COMPRESSION_FIELD: Final = 3
_CELL_BYTES: Final = 8


def read_bounded(value: bytes, settings: IngestSettings) -> Any:
    """Read a stream batch by batch, and stop at the first that goes beyond a bound.

    Returns
    -------
    pyarrow.Table
        Not validated.

    Raises
    ------
    RejectedError
        For a type that is none of the schema's, compressed buffers, or more rows than `max_batch_rows`.
    pyarrow.ArrowException, OSError, ValueError, struct.error
        Where it is no stream.
    """
    _refuse_compressed(value)
    batches, n_rows = [], 0
    with pa.ipc.open_stream(value) as stream:
        if (strange := _shape(stream.schema).strange) is not None:
            raise wrong(f"type of column {strange[0]}", strange[1], "a type of the schema", Reason.BAD_BATCH)
        for batch in stream:
            if batch.num_rows < 0:
                raise wrong("rows", batch.num_rows, "at least 0", Reason.BAD_BATCH)
            # Each by itself, for the sum of what batches claim may wrap around.
            n_rows += batch.num_rows
            if n_rows > settings.max_batch_rows:
                expected = f"at most {settings.max_batch_rows} (ingest.max_batch_rows)"
                raise wrong("rows", n_rows, expected, Reason.TOO_LARGE)
            batches.append(batch)
        return pa.Table.from_batches(batches, schema=stream.schema)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What can be told from a schema alone; a producer sends the same one again and again."""

    strange: tuple[str, str] | None
    """Name and type of a column that the schema of events does not have."""
    row_bytes: int
    """Of a row's numbers and names."""
    has_dictionaries: bool


@lru_cache(maxsize=64)
def _shape(schema: Any) -> _Shape:
    strange = next(((f.name, str(f.type)) for f in schema if not _is_known(f.type, depth=0)), None)
    return _Shape(strange, sum(map(_row_bytes, schema)), any(_has_dictionaries(f.type) for f in schema))


def _has_dictionaries(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_dictionaries(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_dictionary(kind))


def check_expanded(table: Any, settings: IngestSettings) -> None:
    """Refuse rows that take more than `max_batch_expanded_bytes` when each is written out.

    Columns may share buffers, a dictionary may hold a long text once for many rows, and a name counts in every row.
    """
    bound = settings.max_batch_expanded_bytes
    at_most = _at_most(table)
    if at_most > bound and (exact := _expanded(table)) > bound:
        expected = f"at most {bound} (ingest.max_batch_expanded_bytes)"
        raise wrong("bytes of all rows, written out", exact, expected, Reason.TOO_LARGE)


def _at_most(table: Any) -> int:
    """Bound of `_expanded` that is quick to tell: as if every row had every text of its dictionary."""
    n, shape = table.num_rows, _shape(table.schema)
    total: int = table.nbytes + n * shape.row_bytes
    if shape.has_dictionaries:
        total += sum(
            n * size for column in table.columns for chunk in column.chunks for size in _dictionary_bytes(chunk)
        )
    return total


def _dictionary_bytes(chunk: Any) -> list[int]:
    if pa.types.is_dictionary(chunk.type):
        return [chunk.dictionary.nbytes]
    if pa.types.is_struct(chunk.type):
        return [size for i in range(chunk.type.num_fields) for size in _dictionary_bytes(chunk.field(i))]
    return []


def _row_bytes(field: Any) -> int:
    """Bytes of a row's number and name; a column without a type holds nothing, and is left out."""
    if pa.types.is_null(field.type):
        return 0
    own: int = _CELL_BYTES + len(field.name)
    if pa.types.is_struct(field.type):
        own += sum(_row_bytes(field.type.field(i)) for i in range(field.type.num_fields))
    return own


def _expanded(table: Any) -> int:
    total: int = table.num_rows * _shape(table.schema).row_bytes
    return total + sum(_text_bytes(chunk) for column in table.columns for chunk in column.chunks)


def _text_bytes(chunk: Any) -> int:
    t, kind = pa.types, chunk.type
    if t.is_struct(kind):
        return sum(_text_bytes(chunk.field(i)) for i in range(kind.num_fields))
    if t.is_map(kind):
        return _text_bytes(chunk.keys) + _CELL_BYTES * len(chunk.keys)
    if t.is_dictionary(kind):
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
    elif t.is_string(kind) or t.is_large_string(kind):
        lengths = pc.binary_length(chunk).cast(pa.int64())
    else:
        return 0
    return int(pc.sum(lengths).as_py() or 0)


def _is_known(kind: Any, *, depth: int) -> bool:
    t = pa.types
    if t.is_struct(kind):
        return depth == 0 and all(_is_known(kind.field(i).type, depth=1) for i in range(kind.num_fields))
    if t.is_map(kind):
        return depth == 0 and t.is_string(kind.key_type) and t.is_floating(kind.item_type)
    if t.is_dictionary(kind):
        return bool(t.is_string(kind.value_type) or t.is_large_string(kind.value_type))
    if t.is_timestamp(kind):
        return depth == 0
    tests = (t.is_string, t.is_large_string, t.is_boolean, t.is_integer, t.is_floating, t.is_null)
    return any(test(kind) for test in tests)


def _refuse_compressed(value: bytes) -> None:
    """Refuse compressed buffers: a few bytes of them may claim gigabytes, and Kafka compresses records anyway."""
    messages = pa.ipc.MessageReader.open_stream(value)
    while True:
        try:
            message = messages.read_next_message()
        except StopIteration:
            return
        if message.type in _HEADER_OF and _is_compressed(message.metadata.to_pybytes(), _HEADER_OF[message.type]):
            raise wrong("compression", message.type, "buffers that are not compressed", Reason.BAD_BATCH)


def _is_compressed(metadata: bytes, kind: int) -> bool:
    """Whether a message's RecordBatch has the field `compression` (Arrow's Message.fbs); a flatbuffer, read by hand."""
    message = struct.unpack_from("<I", metadata, 0)[0]
    header = _follow(metadata, message, 2)
    if kind == _HEADER_OF["dictionary"] and header is not None:
        header = _follow(metadata, header, 1)
    return header is not None and _follow(metadata, header, _COMPRESSION_FIELD) is not None


def _follow(buffer: bytes, table: int, field: int) -> int | None:
    """Place of the table that a field of a flatbuffer's table points to; None where the field is not set."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    slot = 4 + 2 * field
    if struct.unpack_from("<H", buffer, vtable)[0] < slot + 2:
        return None
    offset = struct.unpack_from("<H", buffer, vtable + slot)[0]
    if not offset:
        return None
    at: int = table + offset
    return at + int(struct.unpack_from("<I", buffer, at)[0])
