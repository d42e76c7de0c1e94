"""Columns as bytes that compress well, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class PackedColumns(msgspec.Struct, frozen=True, array_like=True):
    """Columns of equal length as bytes."""

    n: int
    columns: dict[str, tuple[str, bytes]]
    """Name to dtype, with `d` before it for differences and `m` for a matrix, and bytes: all first bytes first."""


def pack_columns(columns: Mapping[str, Array]) -> PackedColumns | None:
    """Write columns; None where there is no row.

    Times and ids are written as differences, and bytes of one significance beside each other: that compresses well.
    """
    n = len(next(iter(columns.values())))
    if not n:
        return None
    packed: dict[str, tuple[str, bytes]] = {}
    for name, column in columns.items():
        data, prefix = column, "m" if column.ndim > 1 else ""
        if column.dtype == np.int64 and column.ndim == 1:
            data, prefix = np.diff(column, prepend=np.int64(0)), "d"
        packed[name] = (prefix + column.dtype.str, _shuffled(data))
    return PackedColumns(n, packed)


def unpack_columns(packed: PackedColumns | None) -> dict[str, Array]:
    """Read columns; empty without any."""
    if packed is None:
        return {}
    out: dict[str, Array] = {}
    for name, (kind, data) in packed.columns.items():
        column: Any = _unshuffled(data, np.dtype(kind.lstrip("dm")))
        if kind.startswith("d"):
            column = np.cumsum(column)
        out[name] = column.reshape(packed.n, -1) if kind.startswith("m") else column
    return out


def _shuffled(column: Array) -> bytes:
    rows = np.ascontiguousarray(column).view(np.uint8).reshape(-1, column.dtype.itemsize)
    return np.ascontiguousarray(rows.T).tobytes()


def _unshuffled(data: bytes, dtype: np.dtype[Any]) -> Array:
    rows = np.frombuffer(data, dtype=np.uint8).reshape(dtype.itemsize, -1).T
    return np.ascontiguousarray(rows).view(dtype).ravel()
