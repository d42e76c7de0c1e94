"""Which rows stay in memory, which go into files, and what is written down so that a restart finds them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import xxhash
import zstandard

from streams.ingest.models import ModelNames
from streams.local.errors import NewerStateError, UnusableStateError
from streams.profiler.compaction import RunBook
from streams.profiler.graves import Graves
from streams.profiler.levels import Levels
from streams.profiler.model import ROW_COLUMNS, ROWS_APART, WAITING_APART, WAITING_COLUMNS, ModelState
from streams.profiler.packing import Array, PackedColumns, pack_columns, unpack_columns
from streams.profiler.table import Table, TableSnapshot
from streams.profiler.whereabouts import Whereabouts

FORMAT: Final = 1
_SPILLED_PART: Final = 16
"""Once memory is full, tables go into a file that have at least such a part of what fits."""
_SPILLS_PER_CHECKPOINT: Final = 4
"""Restarts read the changelog from the last checkpoint on; a checkpoint writes a bit for every row."""


class BookSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """The runs of the changelog."""

    sizes: dict[int, int]
    where: tuple[int, bytes]
    turnover: int
    graves: dict[str, tuple[PackedColumns | None, PackedColumns | None]]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The state as of a commit, besides what is in run files."""

    format: int
    entries: dict[str, bytes]
    """Models, plans and what belongs to no model, as in the changelog."""
    book: BookSnapshot
    tables: dict[str, tuple[TableSnapshot, TableSnapshot]]
    """By model its rows and its waiting labels."""


class _Version(msgspec.Struct, array_like=True):
    format: int


class Keeper:
    """Files of a task's rows.

    Parameters
    ----------
    folder
        Where they are; without one all rows stay in memory.
    memory_rows
        Rows that stay in memory, about.
    """

    def __init__(self, folder: Path | None = None, *, memory_rows: int = 0) -> None:
        self.folder = folder
        self._memory_rows = memory_rows
        self._spills = 0

    def new(self, names: ModelNames) -> ModelState:
        """A model whose rows are kept here."""
        if self.folder is None:
            return ModelState(names)
        name = xxhash.xxh3_64(names.key.encode()).hexdigest()
        levels = [Levels(self.folder, f"{name}-{kind}", base_rows=self._memory_rows) for kind in ("rows", "labels")]
        return ModelState(
            names,
            rows=Table(ROW_COLUMNS, apart=ROWS_APART, levels=levels[0]),
            waiting=Table(WAITING_COLUMNS, apart=WAITING_APART, levels=levels[1]),
        )

    def spill(self, states: Mapping[str, ModelState]) -> None:
        """Make room in memory where there are too many rows."""
        if self.folder is None:
            return
        tables = [table for state in states.values() for table in (state.rows, state.waiting)]
        if sum(table.n_in_memory for table in tables) <= self._memory_rows:
            return
        least = min(self._memory_rows // _SPILLED_PART, max(table.n_in_memory for table in tables))
        for table in tables:
            if table.n_in_memory >= least:
                table.spill()
        self._spills += 1

    @property
    def is_due(self) -> bool:
        """Whether enough went into files to write it down."""
        return self._spills >= _SPILLS_PER_CHECKPOINT

    def snapshot(self, states: Mapping[str, ModelState], book: RunBook, entries: dict[str, bytes]) -> bytes:
        """Write down the state as of the last commit."""
        self._spills = 0
        graves = {key: (_packed(of.rows), _packed(of.labels)) for key, of in book.graves.items()}
        written = Snapshot(
            FORMAT,
            entries,
            BookSnapshot(book.sizes, book.where.packed(), book.turnover, graves),
            {key: (state.rows.snapshot(), state.waiting.snapshot()) for key, state in states.items()},
        )
        return zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(written))

    def files(self, states: Mapping[str, ModelState]) -> list[str]:
        """Names of the files that a snapshot speaks of."""
        tables = [table for state in states.values() for table in (state.rows, state.waiting)]
        return [run.path.name for table in tables if table.levels is not None for run in table.levels.runs]


def read_snapshot(data: bytes) -> Snapshot:
    """Undo `Keeper.snapshot`.

    Raises
    ------
    NewerStateError
        Where a newer version wrote it.
    UnusableStateError
        Where it cannot be read.
    """
    try:
        body = zstandard.ZstdDecompressor().decompress(data)
        version = msgspec.msgpack.decode(body, type=_Version).format
        if version > FORMAT:
            msg = (
                f"a snapshot of the profiler's state has format {version}: expected at most {FORMAT}; a newer version"
                " wrote it, so run that one"
            )
            raise NewerStateError(msg)
        return msgspec.msgpack.decode(body, type=Snapshot)
    except (msgspec.MsgspecError, zstandard.ZstdError) as error:
        msg = f"a snapshot of {len(data)} bytes cannot be read: {error}"
        raise UnusableStateError(msg) from error


def restore_book(book: RunBook, snapshot: BookSnapshot) -> None:
    """Take the runs of a snapshot."""
    book.sizes = dict(snapshot.sizes)
    book.where = Whereabouts(*snapshot.where)
    book.turnover = snapshot.turnover
    for key, (rows, labels) in snapshot.graves.items():
        empty = Graves()
        book.graves[key] = Graves(
            rows=empty.rows if rows is None else _unpacked(rows),
            labels=empty.labels if labels is None else _unpacked(labels),
        )


_GRAVE: Final = ("rid", "home", "mark")


def _packed(graves: Array) -> PackedColumns | None:
    return pack_columns(dict(zip(_GRAVE, graves, strict=True)))


def _unpacked(packed: PackedColumns) -> Array:
    columns = unpack_columns(packed)
    return np.stack([columns[name] for name in _GRAVE])
