"""Splits a commit's counts of a model into parcels, each of which fits into a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from schemas.profiles import BlockColumns, DeltaPart

MAX_ENTRIES: Final = 250_000
"""Entries of a parcel, at 12 bytes each: 3 MB of a record's 8, beside samples, names and outcomes."""


def parcels(parts: Sequence[DeltaPart], *, max_entries: int = MAX_ENTRIES) -> list[list[DeltaPart]]:
    """Return the parts, split between blocks where they hold too much; one empty parcel where there are none.

    Parameters
    ----------
    parts
        What each plan counted.
    max_entries
        Of a parcel; a single block that has more makes a parcel of its own.
    """
    found: list[list[DeltaPart]] = [[]]
    room = max_entries
    for part in parts:
        for piece in _pieces(part, max_entries):
            n = _n_entries(piece.columns)
            if n > room and found[-1]:
                found.append([])
                room = max_entries
            found[-1].append(piece)
            room -= n
    return found


def _n_entries(columns: BlockColumns) -> int:
    return len(columns.slots) // 4


def _pieces(part: DeltaPart, max_entries: int) -> Iterator[DeltaPart]:
    columns = part.columns
    if _n_entries(columns) <= max_entries:
        yield part
        return
    starts = np.frombuffer(columns.block_start, dtype="<u4").astype(np.int64)
    first, n_blocks = 0, len(starts) - 1
    while first < n_blocks:
        fitting = int(np.searchsorted(starts, starts[first] + max_entries, side="right")) - 1
        last = min(n_blocks, max(first + 1, fitting))
        yield DeltaPart(part.plan_id, _blocks(columns, starts, first, last), part.late)
        first = last


def _blocks(columns: BlockColumns, starts: np.typing.NDArray[np.int64], first: int, last: int) -> BlockColumns:
    low, high = int(starts[first]), int(starts[last])
    return BlockColumns(
        versions=columns.versions,
        segments=columns.segments,
        block_version=columns.block_version[2 * first : 2 * last],
        block_segment=columns.block_segment[2 * first : 2 * last],
        block_cell=columns.block_cell[8 * first : 8 * last],
        block_start=(starts[first : last + 1] - low).astype("<u4").tobytes(),
        slots=columns.slots[4 * low : 4 * high],
        counts=columns.counts[8 * low : 8 * high],
    )
