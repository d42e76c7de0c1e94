"""Sparse blocks of counts, between numpy and the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from schemas.profiles import BlockColumns

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Sparse counts of one (version, segment, cell): `counts[i]` belongs to slot `slots[i]`."""

    model_version: str
    segment: str
    cell_ms: int
    slots: NDArray[np.uint32]
    counts: Counts

    def dense(self, width: int) -> Counts:
        """All slots, as int64 of shape (width,)."""
        out = np.zeros(width, dtype=np.int64)
        out[self.slots] = self.counts
        return out

    @classmethod
    def from_dense(cls, model_version: str, segment: str, cell_ms: int, counts: Counts) -> Block:
        """Keep the slots of `counts` (shape (width,)) that are not zero."""
        slots = np.flatnonzero(counts)
        return cls(model_version, segment, cell_ms, slots.astype(np.uint32), counts[slots])


def pack_blocks(blocks: Sequence[Block]) -> BlockColumns:
    """Write blocks as columns."""
    versions = sorted({block.model_version for block in blocks})
    segments = sorted({block.segment for block in blocks})
    version_code = {name: code for code, name in enumerate(versions)}
    segment_code = {name: code for code, name in enumerate(segments)}
    starts = np.cumsum([0, *(len(block.slots) for block in blocks)])
    return BlockColumns(
        versions=versions,
        segments=segments,
        block_version=np.array([version_code[b.model_version] for b in blocks], dtype="<u2").tobytes(),
        block_segment=np.array([segment_code[b.segment] for b in blocks], dtype="<u2").tobytes(),
        block_cell=np.array([b.cell_ms for b in blocks], dtype="<i8").tobytes(),
        block_start=starts.astype("<u4").tobytes(),
        slots=b"".join(b.slots.astype("<u4").tobytes() for b in blocks),
        counts=b"".join(b.counts.astype("<i8").tobytes() for b in blocks),
    )


def unpack_blocks(columns: BlockColumns) -> Iterator[Block]:
    """Read blocks from columns, in order; the arrays are views of the bytes."""
    versions = np.frombuffer(columns.block_version, dtype="<u2")
    segments = np.frombuffer(columns.block_segment, dtype="<u2")
    cells = np.frombuffer(columns.block_cell, dtype="<i8")
    starts = np.frombuffer(columns.block_start, dtype="<u4")
    slots = np.frombuffer(columns.slots, dtype="<u4")
    counts = np.frombuffer(columns.counts, dtype="<i8")
    for i in range(len(cells)):
        entries = slice(int(starts[i]), int(starts[i + 1]))
        yield Block(
            columns.versions[versions[i]],
            columns.segments[segments[i]],
            int(cells[i]),
            slots[entries],
            counts[entries],
        )


def compress_blocks(blocks: Sequence[Block]) -> bytes:
    """Write blocks as zstd of msgpack, for references and changelogs."""
    return zstandard.compress(msgspec.msgpack.encode(pack_blocks(blocks)), 3)


def decompress_blocks(data: bytes) -> list[Block]:
    """Undo `compress_blocks`."""
    columns = msgspec.msgpack.decode(zstandard.decompress(data), type=BlockColumns)
    return list(unpack_blocks(columns))
