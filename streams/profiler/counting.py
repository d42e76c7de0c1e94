"""One commit's counts of one plan: a flat bincount over (version, cell, segment, slot)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.profiles import BlockColumns, DeltaPart
from streams.control.plan import Plan
from streams.profiler.slots import SlotRows, Sums
from streams.profiler.table import Array

_SLICE: Final = 4_096
"""Events that are counted at a time: their slots stay in the cache."""
_DENSE_SLOTS: Final = 1 << 22
"""Up to so many slots a dense vector is counted into; beyond, sorted keys."""
_LOW_BITS: Final = 24
_SMALL_RANGE: Final = 8
_MAX_VERSIONS: Final = 1 << 16

Counted = tuple[NDArray[np.int64], NDArray[np.int64]]


class PlanCounter:
    """Signed counts under one plan.

    Parameters
    ----------
    plan
        Whose layout is counted into.
    versions
        Names of the model's versions, by code.
    late
        Of what is counted: see `DeltaPart`.
    """

    def __init__(self, plan: Plan, versions: list[str], *, late: int = 0) -> None:
        self._plan = plan
        self._late = late
        self._versions = versions
        self._width = plan.layout.width
        self._n_segments = len(plan.segment_names)
        self._blocks: dict[tuple[int, int], int] = {}
        self._parts: list[Counted] = []

    def add(
        self, version: Array, timestamp: Array, segments: Array, slots: SlotRows, sums: Sums, *, sign: int = 1
    ) -> None:
        """Count events.

        Parameters
        ----------
        version, timestamp
            Shape (n,): codes and milliseconds; with the cell they name the block.
        segments
            Shape (n, dimensions): segment codes; 0 is none.
        slots, sums
            What every event adds.
        sign
            -1 to take back.
        """
        first = self._first_block(version, timestamp)
        every = np.zeros((len(first), 1), dtype=np.int64)
        for codes in np.concatenate([every, segments[:, : len(self._plan.segment_values)]], axis=1).T:
            block = first + codes
            self._count(block, slots, sign)
            self._sum(block, sums, sign)

    def _first_block(self, version: Array, timestamp: Array) -> NDArray[np.int64]:
        """Number of each event's block of all segments."""
        cell_ms = self._plan.cell_ms
        pairs, place = compact(timestamp // cell_ms * _MAX_VERSIONS + version)
        numbers = [self._block(pair % _MAX_VERSIONS, pair // _MAX_VERSIONS * cell_ms) for pair in pairs.tolist()]
        return np.asarray(np.array(numbers, dtype=np.int64)[place] * self._n_segments)

    def _block(self, version: int, cell: int) -> int:
        return self._blocks.setdefault((version, cell), len(self._blocks))

    def _count(self, block: NDArray[np.int64], slots: SlotRows, sign: int) -> None:
        distinct, place = compact(block)
        stride = self._width + 1
        size = len(distinct) * stride
        base = self._base(place, stride, size)
        dense = size <= max(_DENSE_SLOTS, slots.size)
        total = np.zeros(size if dense else 0, dtype=np.int64)
        for start in range(0, len(block), _SLICE):
            part = slice(start, start + _SLICE)
            index = (slots[:, part] + base[part]).ravel()
            if dense:
                total += np.bincount(index, minlength=size)
            else:
                keys, counts = np.unique(index, return_counts=True)
                self._keep(distinct, keys, counts, sign)
        if dense:
            found = np.flatnonzero(total)
            self._keep(distinct, found, total[found], sign)

    @staticmethod
    def _base(place: Array, stride: int, size: int) -> Array:
        """First slot of each event's block, as narrow as it may be."""
        first: Array = place * stride
        return first.astype("i4") if size < np.iinfo(np.int32).max else first

    def _keep(self, distinct: Array, index: Array, counts: Array, sign: int) -> None:
        stride = self._width + 1
        block, slot = np.divmod(index, stride)
        real = slot < self._width
        self._parts.append((distinct[block[real]] * self._width + slot[real], counts[real].astype(np.int64) * sign))

    def _sum(self, block: NDArray[np.int64], sums: Sums, sign: int) -> None:
        distinct, place = compact(block)
        for slot, values in sums.items():
            total = exact_sums(place, values, len(distinct))
            self._parts.append((distinct * self._width + slot, total * sign))

    def part(self) -> DeltaPart | None:
        """All of it in the wire's form; None where nothing is left of it."""
        if not self._parts:
            return None
        keys = np.concatenate([keys for keys, _ in self._parts])
        values = np.concatenate([values for _, values in self._parts])
        distinct, inverse = np.unique(keys, return_inverse=True)
        net = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(net, inverse, values)
        kept = net != 0
        if not kept.any():
            return None
        return DeltaPart(self._plan.plan_id, self._columns(distinct[kept], net[kept]), self._late)

    def _columns(self, keys: Array, counts: Array) -> BlockColumns:
        block, slot = np.divmod(keys, self._width)
        blocks, start = np.unique(block, return_index=True)
        number, segment = np.divmod(blocks, self._n_segments)
        pairs = list(self._blocks)
        of_block = [pairs[i] for i in number.tolist()]
        codes, version = np.unique(np.array([code for code, _ in of_block]), return_inverse=True)
        used, segment_code = np.unique(segment, return_inverse=True)
        names = self._plan.segment_names
        return BlockColumns(
            versions=[self._versions[code] for code in codes.tolist()],
            segments=[names[code] for code in used.tolist()],
            block_version=version.astype("<u2").tobytes(),
            block_segment=segment_code.astype("<u2").tobytes(),
            block_cell=np.array([cell for _, cell in of_block], dtype="<i8").tobytes(),
            block_start=np.append(start, len(keys)).astype("<u4").tobytes(),
            slots=slot.astype("<u4").tobytes(),
            counts=counts.astype("<i8").tobytes(),
        )


def compact(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distinct values in order, and each one's place; without sorting where their range is small."""
    if not len(values):
        return values, values
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span > _SMALL_RANGE * len(values) + _SMALL_RANGE:
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place.astype(np.int64)
    seen = np.zeros(span, dtype=np.bool_)
    seen[values - low] = True
    places = np.cumsum(seen) - 1
    return np.flatnonzero(seen) + low, places[values - low]


def exact_sums(place: Array, values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Sum integers by place, exactly: bincount adds in float64, so high and low bits go apart."""
    low = np.bincount(place, weights=values & ((1 << _LOW_BITS) - 1), minlength=n).astype(np.int64)
    high = np.bincount(place, weights=values >> _LOW_BITS, minlength=n).astype(np.int64)
    return np.asarray((high << _LOW_BITS) + low)
