"""Times, ids and numbers of many events at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from streams.control.bins import canonical_text

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
UInt64 = NDArray[np.uint64]

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: what is later is no time, but most likely milliseconds taken for seconds."""
UNKNOWN_MS: Final = -1


def hashes(ids: Iterable[bytes]) -> tuple[UInt64, UInt64]:
    """Hash ids to 128 bits, stable over machines and versions: (high, low) halves, each of shape (n,)."""
    halves = np.frombuffer(b"".join([xxh3_128_digest(each) for each in ids]), dtype=">u8").reshape(-1, 2)
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


def coded(values: Sequence[Any], code: Callable[[str | None], float], dtype: type[np.number[Any]]) -> NDArray[Any]:
    """Codes of categories by their canonical texts, shape (n,): every distinct value is looked at once.

    Parameters
    ----------
    values
        Raw values.
    code
        From a canonical text, or None, to its code.
    dtype
        Of the result.
    """
    if len(set(map(type, values)) - {NoneType}) > 1:  # 1, 1.0 and true are one key of a dictionary
        values = texts(values)
    distinct = list(dict.fromkeys(values))
    known = dict(zip(distinct, map(code, texts(distinct)), strict=True))
    return np.fromiter(map(known.__getitem__, values), dtype=dtype, count=len(values))
