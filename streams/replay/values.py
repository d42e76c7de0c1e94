"""Columns of recorded files as the wire has them: times as seconds, classes as texts, numbers as numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streams.control.bins import canonical_text
from streams.engine.errors import ConfigurationError
from streams.ingest.values import LATEST_MS

_MICROSECONDS: Final = 1e6
_EXPECTED: Final = "seconds since 1970 (not milliseconds), or a time such as 2026-01-31T12:00:00Z"


def seconds_of(column: Any, name: str, where: str, first_row: int, zone: str) -> NDArray[np.float64]:
    """Read times.

    Parameters
    ----------
    column
        pyarrow array: numbers, times, dates, or texts of either.
    name, where, first_row
        For errors: column, file, and the number of the first row, from 1.
    zone
        Of times that name none.

    Returns
    -------
    numpy.ndarray
        Seconds since the epoch, shape (n,); NaN where the column is null.

    Raises
    ------
    ConfigurationError
        Naming the row and its value.
    """
    try:
        found = _seconds(column, zone)
    except (pa.ArrowException, ValueError, OverflowError):
        found = np.array([_one(value, zone) for value in column.to_pylist()])
    known = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    bad = known & ~((found >= 0.0) & (found <= LATEST_MS / 1000))
    if bad.any():
        at = int(bad.argmax())
        msg = f"{where}, row {first_row + at}: {name} is {column[at].as_py()!r}: expected {_EXPECTED}"
        raise ConfigurationError(msg)
    return found


def _seconds(column: Any, zone: str) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            return _floats(column.cast(pa.float64()))
        except pa.ArrowInvalid:
            return _of_texts(column, zone)
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("us")), pa.timestamp("us")
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            column = pc.assume_timezone(column, zone, ambiguous="earliest", nonexistent="latest")
        micros = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
        return _floats(micros.cast(pa.float64())) / _MICROSECONDS
    return _floats(column.cast(pa.float64(), safe=False))


def _of_texts(column: Any, zone: str) -> NDArray[np.float64]:
    try:
        return _seconds(column.cast(pa.timestamp("us", "UTC")), zone)
    except pa.ArrowInvalid:
        return _seconds(column.cast(pa.timestamp("us")), zone)


def _floats(column: Any) -> NDArray[np.float64]:
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _one(value: Any, zone: str) -> float:
    """A single time; -1, which is none, where it cannot be read."""
    if value is None:
        return float("nan")
    try:
        if isinstance(value, (int, float)):
            return float(value)
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError):
        try:
            return float(value)
        except (ValueError, TypeError):
            return -1.0
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).timestamp()


def texts_of(column: Any) -> Any:
    """Classes, ids and versions as texts: 1, 1.0 and "1" are one name."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        encoded = column.dictionary_encode()
        names = pa.array([canonical_text(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return names.take(encoded.indices)
    return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def numbers_of(column: Any, name: str, where: str, first_row: int) -> Any:
    """Numbers as float64.

    Raises
    ------
    ConfigurationError
        Naming the row of the first value that is none.
    """
    try:
        return column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        at = next(i for i, value in enumerate(column.to_pylist()) if not _is_number(value))
        msg = f"{where}, row {first_row + at}: {name} is {column[at].as_py()!r}: expected a number"
        raise ConfigurationError(msg) from None


def _is_number(value: Any) -> bool:
    try:
        return value is None or float(value) is not None
    except (TypeError, ValueError):
        return False


def feature_of(column: Any, kind: str | None, name: str, where: str, first_row: int) -> Any:
    """A feature's column in a type that the wire has, of the kind that was asked for."""
    if kind == "numeric":
        return numbers_of(column, name, where, first_row)
    t = pa.types
    if kind == "categorical" or t.is_dictionary(column.type):
        return texts_of(column)
    plain: tuple[Callable[[Any], bool], ...] = (t.is_string, t.is_boolean, t.is_integer, t.is_floating, t.is_null)
    if t.is_decimal(column.type):
        return column.cast(pa.float64())
    return column if any(test(column.type) for test in plain) else texts_of(column)
