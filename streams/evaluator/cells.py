"""Cells: the merged counts of each (version, plan, cell), copied on write so that an abort costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.control.blocks import Block, compress_blocks, decompress_blocks
from streams.control.plan import Plan

Dense = dict[str, NDArray[np.int64]]
"""Segment to counts, shape (width,)."""


AFTER_MATURITY: Final = 2
"""`DeltaPart.late` of what no window takes."""


class CellKey(NamedTuple):
    """Which counts: those of a version, under a plan, in a cell."""

    cell_ms: int
    model_version: str
    plan_id: str
    late: int = 0
    """0 for all counts; 1 and 2 for those among them that came so late (`DeltaPart`)."""

    @property
    def text(self) -> str:
        """The key in a changelog."""
        late = f"+{self.late}" if self.late else ""
        return f"{self.cell_ms}{late}@{self.plan_id}@{self.model_version}"

    @classmethod
    def parse(cls, text: str) -> CellKey:
        """Undo `text`."""
        cell, plan_id, version = text.split("@", 2)
        start, _, late = cell.partition("+")
        return cls(int(start), version, plan_id, int(late or 0))


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
        return sorted(key for key in {*self._packed, *self._dense} if not key.late)

    def __contains__(self, key: CellKey) -> bool:
        return key in self._packed or key in self._dense

    def read(self, key: CellKey, plan: Plan) -> Dense:
        """The counts of a cell by segment; they are not to be written to."""
        if key not in self._dense:
            data = self._packed.get(key)
            blocks = decompress_blocks(data) if data is not None else []
            self._dense[key] = {block.segment: block.dense(plan.layout.width) for block in blocks}
        return self._dense[key]

    def in_time(self, key: CellKey, plan: Plan, *, outcomes: bool) -> Dense:
        """The counts of a cell without those that came too late for its window; they are not to be written to.

        Whether late counts are here already hangs on how far was read; so windows never look at them.
        """
        layers = [key._replace(late=late) for late in _too_late(outcomes=outcomes)]
        late = [self.read(layer, plan) for layer in layers if layer in self]
        cell = self.read(key, plan)
        if not late:
            return cell
        kept = {}
        for segment, counts in cell.items():
            kept[segment] = counts - sum(layer[segment] for layer in late if segment in layer)
        return kept

    def is_only_late(self, key: CellKey, plan: Plan, *, outcomes: bool) -> bool:
        """Whether nothing of a cell came in time for its window."""
        if not any(key._replace(late=late) in self for late in _too_late(outcomes=outcomes)):
            return False
        return not any(counts.any() for counts in self.in_time(key, plan, outcomes=outcomes).values())

    def add(self, key: CellKey, block: Block, plan: Plan) -> None:
        """Merge a block into its cell, and where it was late, into what is known to be."""
        if key.late:
            self._add(key, block, plan)
        self._add(key._replace(late=0), block, plan)

    def _add(self, key: CellKey, block: Block, plan: Plan) -> None:
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
        counts = self.read(key._replace(late=0), plan).get(block.segment)
        here = 0 if counts is None else counts[block.slots[taken]]
        return bool((here + block.counts[taken] < 0).any())

    def drop(self, key: CellKey) -> None:
        """Forget a cell."""
        for late in (0, 1, 2):
            layer = key._replace(late=late)
            if layer in self:
                self._packed.pop(layer, None)
                self._dense.pop(layer, None)
                self._touched.discard(layer)
                self._dropped.add(layer)

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


def _too_late(*, outcomes: bool) -> tuple[int, ...]:
    return (AFTER_MATURITY,) if outcomes else (1, AFTER_MATURITY)
