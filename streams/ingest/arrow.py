"""Arrow IPC streams as records: one record, many rows. Opened with care, since they come from outside.

A batch in which every row is as it should be is read column by column (`arrow_columns`). Any other one becomes a JSON
record a row, and takes the way that those take: so what is wrong with a row is found, and said, in one place.
"""

from __future__ import annotations

import json
import math
import struct
from datetime import datetime
from typing import Any, Final

from streams.engine.processor import Headers, ListRecord, Record
from streams.ingest.rejection import Reason, RejectedError, wrong
from streams.settings import IngestSettings

try:
    import pyarrow as pa
except ImportError:  # an extra: most streams are JSON
    pa = None


class UnevenError(Exception):
    """Some row is not as it should be, or asks for a look of its own: the batch takes the way of JSON records."""


_ARROW_ERRORS: Final[tuple[type[Exception], ...]] = () if pa is None else (pa.ArrowException,)
UNEVEN: Final[tuple[type[Exception], ...]] = (UnevenError, *_ARROW_ERRORS)
"""What reading columns raises where a batch has to be read row by row."""
_UNREADABLE: Final[tuple[type[Exception], ...]] = (*_ARROW_ERRORS, ValueError, OverflowError, TypeError)
CONTENT_TYPE: Final = b"application/vnd.apache.arrow.stream"
_INFINITE: Final = "\x00infinite"
_BEYOND: Final = b"1e999"
_HEADER_OF: Final = {"record batch": 1, "dictionary": 2}
_COMPRESSION_FIELD: Final = 3


def is_batch(headers: Headers) -> bool:
    """Whether the headers say that the value is an Arrow stream."""
    for name, value in headers:
        if value is not None and value[: len(CONTENT_TYPE)].lower() == CONTENT_TYPE:
            return name.lower().replace("_", "-") == "content-type"
    return False


def open_batch(record: Record, settings: IngestSettings) -> Any:
    """Open a record's rows.

    Parameters
    ----------
    record
        Its value is an Arrow IPC stream.
    settings
        The bounds: `max_batch_bytes`, `max_batch_rows`.

    Returns
    -------
    pyarrow.Table
        Validated in full: no offset leads out of its buffer, every text is UTF-8.

    Raises
    ------
    RejectedError
        Where it is none, or beyond a bound, or this worker lacks pyarrow.
    """
    if pa is None:
        expected = "JSON, or the extra `arrow` of plumbline-monitor on this worker"
        raise wrong("content-type", CONTENT_TYPE.decode(), expected, Reason.UNSUPPORTED_FORMAT)
    if not record.value:
        raise RejectedError(Reason.EMPTY_VALUE, "value is empty: expected an Arrow IPC stream")
    if len(record.value) > settings.max_batch_bytes:
        expected = f"at most {settings.max_batch_bytes} bytes (ingest.max_batch_bytes)"
        raise RejectedError(Reason.TOO_LARGE, f"value has {len(record.value)} bytes: expected {expected}")
    try:
        _refuse_compressed(record.value)
        table = pa.ipc.open_stream(record.value).read_all()
        _check_size(table, settings)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        message = f"value of {len(record.value)} bytes is no Arrow IPC stream that can be read: {error}"
        raise RejectedError(Reason.BAD_BATCH, message) from error
    if len(set(table.column_names)) < len(table.column_names):
        raise wrong("columns", sorted(table.column_names), "each name once", Reason.BAD_BATCH)
    return table


def _check_size(table: Any, settings: IngestSettings) -> None:
    """Refuse what claims more than its bytes can hold: some types have no buffers, so that rows cost nothing."""
    if table.num_rows > settings.max_batch_rows:
        expected = f"at most {settings.max_batch_rows} (ingest.max_batch_rows)"
        raise wrong("rows", table.num_rows, expected, Reason.TOO_LARGE)
    for field in table.schema:
        if not _is_known(field.type, depth=0):
            raise wrong(f"type of column {field.name}", str(field.type), "a type of the schema", Reason.BAD_BATCH)


def _is_known(kind: Any, *, depth: int) -> bool:
    t = pa.types
    if t.is_struct(kind):
        return depth == 0 and all(_is_known(kind.field(i).type, depth=1) for i in range(kind.num_fields))
    if t.is_map(kind):
        return depth == 0 and t.is_string(kind.key_type) and t.is_floating(kind.item_type)
    if t.is_dictionary(kind):
        return bool(t.is_string(kind.value_type) or t.is_large_string(kind.value_type))
    tests = (t.is_string, t.is_large_string, t.is_boolean, t.is_integer, t.is_floating, t.is_timestamp, t.is_null)
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


def ids_of(table: Any) -> list[bytes]:
    """Return the ids of a batch's rows, of those that have one."""
    if "prediction_id" not in table.column_names:
        return []
    return [each.encode() for each in table.column("prediction_id").to_pylist() if isinstance(each, str) and each]


def json_records(record: Record, table: Any) -> list[ListRecord]:
    """Write every row as the JSON record that a producer would have sent; null and NaN are left out.

    Raises
    ------
    RejectedError
        Where a value cannot be written, such as a time beyond every calendar.
    """
    try:
        return [_json_record(record, row) for row in table.to_pylist()]
    except _UNREADABLE as error:
        message = f"a value of the batch cannot be read: {error}"
        raise RejectedError(Reason.BAD_BATCH, message) from error


def _json_record(record: Record, row: dict[str, Any]) -> ListRecord:
    said = {name: plain for name, value in row.items() if (plain := _plain(value)) is not None}
    id_ = said.get("prediction_id")
    value = json.dumps(said, allow_nan=False).encode().replace(json.dumps(_INFINITE).encode(), _BEYOND)
    return ListRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=id_.encode() if isinstance(id_, str) else record.key,
        value=value,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else _INFINITE
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):  # a map, as pairs
        value = dict(value)
    if isinstance(value, dict):
        return {name: plain for name, each in value.items() if (plain := _plain(each)) is not None}
    return value
