"""The changelog of stage 1: runs of rows, and marks on rows of other runs.

A commit writes one run: its new rows, and marks on older ones (a label, or that a row is gone). A run is deleted once
none of its rows is live and nobody needs its marks; small runs are written anew together, and so are those of which
less than half is live. Reading them back does not depend on their order: of the marks on a row the one from the
latest run holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from streams.profiler.table import Array

RUN_PREFIX = "run/"


class PackedColumns(msgspec.Struct, frozen=True, array_like=True):
    """Columns of equal length as bytes."""

    n: int
    columns: dict[str, tuple[str, bytes]]
    """Name to dtype, with `d` before it for differences and `m` for a matrix, and bytes: all first bytes first."""


class ModelRun(msgspec.Struct, frozen=True, array_like=True):
    """What a run holds of one model."""

    key: str
    rows: PackedColumns | None = None
    marks: PackedColumns | None = None
    """`rid` and the label's fields."""
    dead_rows: bytes = b""
    """Ids of rows that are gone, int64."""
    waiting: PackedColumns | None = None
    dead_labels: bytes = b""


class Run(msgspec.Struct, frozen=True, array_like=True):
    """One run."""

    format: int
    models: list[ModelRun]


FORMAT = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Run)


def run_key(number: int) -> str:
    """Key of a run in the changelog."""
    return f"{RUN_PREFIX}{number:016d}"


def run_number(key: str) -> int:
    """Undo `run_key`."""
    return int(key.removeprefix(RUN_PREFIX))


def encode_run(models: list[ModelRun]) -> bytes:
    """Encode a run; the engine compresses it."""
    return _encoder.encode(Run(FORMAT, models))


def decode_run(value: bytes) -> Run:
    """Decode a run; refuses one of a newer format.

    Raises
    ------
    ValueError
        Where a newer version wrote it.
    """
    run = _decoder.decode(value)
    if run.format > FORMAT:
        msg = f"a run of the profiler's state has format {run.format}: expected at most {FORMAT}; run a newer version"
        raise ValueError(msg)
    return run


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


def pack_ids(ids: Array) -> bytes:
    """Write row ids."""
    return np.ascontiguousarray(ids, dtype="<i8").tobytes()


def unpack_ids(data: bytes) -> Array:
    """Read row ids."""
    return np.frombuffer(data, dtype="<i8")
