"""Arrow IPC streams as records: one record, many rows. Opened with care, since they come from outside.

A batch in which every row is as it should be is read column by column (`arrow_columns`). Any other one becomes a JSON
record a row, and takes the way that those take: so what is wrong with a row is found, and said, in one place.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Final

from streams.engine.processor import Headers, ListRecord, Record
from streams.ingest.arrow_bounds import check_expanded, read_bounded
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
_PER_SECOND: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}
_ROWS_AT_ONCE: Final = 1_000


def is_batch(headers: Headers) -> bool:
    """Whether the headers say that the value is an Arrow stream."""
    for name, value in headers:
        if value is None or len(value) < len(CONTENT_TYPE) or name.lower().replace("_", "-") != "content-type":
            continue
        if value.split(b";", 1)[0].strip().lower() == CONTENT_TYPE:
            return True
    return False


def open_batch(record: Record, settings: IngestSettings) -> Any:
    """Open a record's rows.

    Parameters
    ----------
    record
        Its value is an Arrow IPC stream.
    settings
        The bounds: `max_batch_bytes`, `max_batch_rows`, `max_batch_expanded_bytes`.

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
        table = read_bounded(record.value, settings)
        table.validate(full=True)
        check_expanded(table, settings)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        message = f"value of {len(record.value)} bytes is no Arrow IPC stream that can be read: {error}"
        raise RejectedError(Reason.BAD_BATCH, message) from error
    if len(set(table.column_names)) < len(table.column_names):
        raise wrong("columns", sorted(table.column_names), "each name once", Reason.BAD_BATCH)
    return table


def end_ids(table: Any) -> list[bytes]:
    """Return the ids of the first and last row of a batch; of those that have one, where an end has none."""
    if not table.num_rows or "prediction_id" not in table.column_names:
        return []
    column = table.column("prediction_id")
    ends = [column[i].as_py() for i in (0, table.num_rows - 1)]
    if all(isinstance(each, str) and each for each in ends):
        return [each.encode() for each in ends]
    return ids_of(table)


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
        Where a value cannot be written.
    """
    try:
        plain = _without_times(_without_nothing(table))
        slices = (plain.slice(start, _ROWS_AT_ONCE) for start in range(0, plain.num_rows, _ROWS_AT_ONCE))
        return [_json_record(record, row) for rows in slices for row in rows.to_pylist()]
    except _UNREADABLE as error:
        message = f"a value of the batch cannot be read: {error}"
        raise RejectedError(Reason.BAD_BATCH, message) from error


def _without_nothing(table: Any) -> Any:
    """Leave out columns without a type: they hold nothing, at no cost, and would cost a field in every row."""
    for i, field in reversed(list(enumerate(table.schema))):
        kept = None
        if pa.types.is_struct(field.type):
            children = [field.type.field(j) for j in range(field.type.num_fields)]
            kept = [j for j, child in enumerate(children) if not pa.types.is_null(child.type)]
            if len(kept) == len(children):
                continue
        elif not pa.types.is_null(field.type):
            continue
        column, table = table.column(i).combine_chunks(), table.remove_column(i)
        if kept:
            fields = [field.type.field(j) for j in kept]
            parts = [column.field(j) for j in kept]
            table = table.append_column(
                field.name, pa.StructArray.from_arrays(parts, fields=fields, mask=column.is_null())
            )
    return table


def _without_times(table: Any) -> Any:
    """Write times as seconds, or as text where they have no zone: no calendar and no list of zones is asked."""
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            column = table.column(i)
            plain = (
                column.cast(pa.string()) if field.type.tz is None else pa.array(seconds_of(column), from_pandas=True)
            )
            table = table.set_column(i, field.name, plain)
    return table


def seconds_of(column: Any) -> Any:
    """Seconds since the epoch of a column of times with a zone, float64 of shape (n,); null as NaN."""
    unit = column.type.unit
    if unit == "ns":
        column, unit = column.cast(pa.timestamp("us", column.type.tz), safe=False), "us"
    return column.cast(pa.int64()).to_numpy(zero_copy_only=False) / _PER_SECOND[unit]


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
    if isinstance(value, list):  # a map, as pairs
        value = dict(value)
    if isinstance(value, dict):
        return {name: plain for name, each in value.items() if (plain := _plain(each)) is not None}
    return value
