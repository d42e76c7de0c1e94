"""Cells: the merged counts of each (version, plan, cell), copied on write so that an abort costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.control.blocks import Block, compress_blocks, decompress_blocks
from streams.control.plan import Plan

Dense = dict[str, NDArray[np.int64]]
"""Segment to counts, shape (width,)."""


class CellKey(NamedTuple):
    """Which counts: those of a version, under a plan, in a cell."""

    cell_ms: int
    model_version: str
    plan_id: str

    @property
    def text(self) -> str:
        """The key in a changelog."""
        return f"{self.cell_ms}@{self.plan_id}@{self.model_version}"

    @classmethod
    def parse(cls, text: str) -> CellKey:
        """Undo `text`."""
        cell, plan_id, version = text.split("@", 2)
        return cls(int(cell), version, plan_id)


class CellStore:
    """Counts per cell; a fork shares what neither side has touched."""

    def __init__(self) -> None:
        self._packed: dict[CellKey, bytes] = {}
        self._dense: dict[CellKey, Dense] = {}
        self._touched: set[CellKey] = set()
        self._dropped: set[CellKey] = set()

    def restore(self, key: CellKey, data: bytes | None) -> None:
        """Take an entry of the changelog."""
        if data is None:
            self._packed.pop(key, None)
        else:
            self._packed[key] = data

    def fork(self) -> CellStore:
        """Return a store that starts from this one; arrays are copied when they are touched."""
        other = CellStore()
        other._packed = dict(self._packed)
        other._dense = dict(self._dense)
        return other

    def in_order(self) -> list[CellKey]:
        """All cells, by time, version and plan."""
        return sorted({*self._packed, *self._dense})

    def __contains__(self, key: CellKey) -> bool:
        return key in self._packed or key in self._dense

    def read(self, key: CellKey, plan: Plan) -> Dense:
        """The counts of a cell by segment; they are not to be written to."""
        if key not in self._dense:
            data = self._packed.get(key)
            blocks = decompress_blocks(data) if data is not None else []
            self._dense[key] = {block.segment: block.dense(plan.layout.width) for block in blocks}
        return self._dense[key]

    def add(self, key: CellKey, block: Block, plan: Plan) -> None:
        """Merge a block into its cell."""
        cell = self.read(key, plan)
        if key not in self._touched:
            cell = self._dense[key] = {segment: counts.copy() for segment, counts in cell.items()}
            self._touched.add(key)
        if block.segment not in cell:
            cell[block.segment] = np.zeros(plan.layout.width, dtype=np.int64)
        np.add.at(cell[block.segment], block.slots, block.counts)

    def would_fall_below_zero(self, key: CellKey, block: Block, plan: Plan) -> bool:
        """Whether merging a block would leave a negative count: it takes back what this cell does not hold."""
        taken = np.flatnonzero(block.counts < 0)
        taken = taken[plan.is_count[block.slots[taken]]]
        if not len(taken):
            return False
        counts = self.read(key, plan).get(block.segment)
        here = 0 if counts is None else counts[block.slots[taken]]
        return bool((here + block.counts[taken] < 0).any())

    def drop(self, key: CellKey) -> None:
        """Forget a cell."""
        self._packed.pop(key, None)
        self._dense.pop(key, None)
        self._touched.discard(key)
        self._dropped.add(key)

    def flush(self, *, keep_dense: int) -> Iterator[tuple[CellKey, bytes | None]]:
        """Pack what was touched since the fork.

        Parameters
        ----------
        keep_dense
            Number of newest cells that stay unpacked as well, because they will be touched again.

        Yields
        ------
        tuple
            A cell and its packed counts, or None where it was dropped.
        """
        for key in sorted(self._dropped):
            yield key, None
        for key in sorted(self._touched):
            cell = self._dense[key]
            blocks = [
                Block.from_dense(key.model_version, segment, key.cell_ms, counts)
                for segment, counts in sorted(cell.items())
            ]
            self._packed[key] = compress_blocks(blocks)
            yield key, self._packed[key]
        self._touched.clear()
        self._dropped.clear()
        for key in sorted(self._dense)[:-keep_dense]:
            del self._dense[key]
