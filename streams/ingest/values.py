"""Times, ids and numbers of many events at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from detectors.latency import LogBins
from streams.control.bins import canonical_text

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
UInt64 = NDArray[np.uint64]

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: what is later is no time, but most likely milliseconds taken for seconds."""
UNKNOWN_MS: Final = -1


def hashes(prediction_ids: Iterable[str]) -> tuple[UInt64, UInt64]:
    """Hash ids to 128 bits, stable over machines and versions: (high, low) halves, each of shape (n,)."""
    digests = b"".join([xxh3_128_digest(name.encode()) for name in prediction_ids])
    halves = np.frombuffer(digests, dtype=">u8").reshape(-1, 2)
    return halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64)


def timestamps_ms(times: Sequence[float | datetime]) -> Int64:
    """Milliseconds since the epoch, shape (n,); `UNKNOWN_MS` where it is no time that can be."""
    try:
        seconds = np.fromiter(times, dtype=np.float64, count=len(times))
    except TypeError:
        seconds = np.array([t.timestamp() if isinstance(t, datetime) else t for t in times], dtype=np.float64)
    with np.errstate(over="ignore"):
        ms = np.rint(seconds * 1000.0)
    possible = (ms >= 0.0) & (ms <= LATEST_MS)
    if possible.all():
        return ms.astype(np.int64)
    return np.where(possible, ms, UNKNOWN_MS).astype(np.int64)


def floats(values: Iterable[Any], n: int) -> Float64:
    """Numbers as float64 of shape (n,), None as NaN."""
    listed = list(values)
    try:
        return np.fromiter(listed, dtype=np.float64, count=n)
    except TypeError:
        return np.array([math.nan if v is None else v for v in listed], dtype=np.float64)


def texts(values: Iterable[Any]) -> list[str | None]:
    """Categories as canonical texts, None as it is; quick where all have one type."""
    listed = list(values)
    kinds = set(map(type, listed))
    if kinds <= {str, NoneType}:
        return listed
    if kinds == {int} and max(map(abs, listed)) < 2**63:
        return list(map(str, listed))
    return [v if v.__class__ is str or v is None else canonical_text(v) for v in listed]


def log_slots(bins: LogBins, values: Float64) -> Int64:
    """Slots of many values under logarithmic bins."""
    return bins.encode(values).astype(np.int64)
