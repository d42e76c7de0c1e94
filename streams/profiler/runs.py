"""The changelog of stage 1: runs of rows, and marks on rows of other runs.

A commit writes one run: its new rows, and marks on older ones (a label, or that a row is gone). A run is deleted once
none of its rows is live and nobody needs its marks; small runs are written anew together, and so are those of which
less than half is live. Reading them back does not depend on their order: of the marks on a row the one from the
latest run holds.
"""

from __future__ import annotations

import msgspec
import numpy as np

from streams.local.errors import NewerStateError
from streams.profiler.packing import Array, PackedColumns

RUN_PREFIX = "run/"


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


class _Version(msgspec.Struct, array_like=True):
    format: int


FORMAT = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Run)
_version_decoder = msgspec.msgpack.Decoder(_Version)


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
    """Decode a run."""
    return _decoder.decode(value)


def check_format(value: bytes) -> None:
    """Refuse a run of a newer format.

    Raises
    ------
    NewerStateError
        Where a newer version wrote it.
    """
    version = _version_decoder.decode(value).format
    if version > FORMAT:
        msg = (
            f"a run of the profiler's state has format {version}: expected at most {FORMAT}; a newer version has"
            " written this changelog, so run that one, or start with an application_id of its own"
        )
        raise NewerStateError(msg)


def pack_ids(ids: Array) -> bytes:
    """Write row ids."""
    return np.ascontiguousarray(ids, dtype="<i8").tobytes()


def unpack_ids(data: bytes) -> Array:
    """Read row ids."""
    return np.frombuffer(data, dtype="<i8")
