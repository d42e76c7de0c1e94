"""A table of rows in columns, with an index by hash: the memory of one model's join."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.local.runfile import Layout, matches
from streams.profiler.levels import Levels, LevelsSnapshot, Rows, Selection, Test
from streams.profiler.packing import PackedColumns, pack_columns, unpack_columns

Array = NDArray[Any]
Slots = NDArray[np.int64]
_MIN_CAPACITY: Final = 64
_LEVEL_RATIO: Final = 4
"""A level of the index is merged into the one below once that is less than so many times its size."""
_REWRITE_BELOW: Final = 0.5
"""Share of live rows below which the table is rewritten without the dead ones."""

Level = tuple[NDArray[np.uint64], Slots]


class HashIndex:
    """From 64-bit keys to slots: a few sorted arrays, merged like the levels of an LSM tree."""

    def __init__(self) -> None:
        self.levels: list[Level] = []

    def add(self, keys: NDArray[np.uint64], slots: Slots) -> None:
        """Add pairs; a key may stand more than once."""
        if not len(keys):
            return
        self.levels.append(_sorted(keys, slots))
        while len(self.levels) > 1 and len(self.levels[-2][0]) < _LEVEL_RATIO * len(self.levels[-1][0]):
            newer, older = self.levels.pop(), self.levels.pop()
            both = np.concatenate([older[0], newer[0]]), np.concatenate([older[1], newer[1]])
            self.levels.append(_sorted(*both))

    def find(self, keys: NDArray[np.uint64]) -> tuple[Slots, Slots]:
        """Return every match as (place in `keys`, slot)."""
        places, slots = [], []
        for level_keys, level_slots in self.levels:
            place, found = matches(level_keys, keys)
            if len(place):
                places.append(place)
                slots.append(level_slots[found])
        if not places:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(places), np.concatenate(slots)


def _sorted(keys: NDArray[np.uint64], slots: Slots) -> Level:
    order = np.argsort(keys)
    return keys[order], slots[order]


class TableSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """What of a table is in memory, and which files hold the rest."""

    rows: PackedColumns | None
    levels: LevelsSnapshot | None


class Table:
    """Rows with a hash of two 64-bit halves, `high` and `low`, and a number, `rid`.

    Slots and columns are of rows in memory. Rows beyond that are in files (`levels`); one that is asked for by its
    hash moves into memory, and so has a slot. Slots hold until rows are dropped or `spill` moves them into a file.

    Parameters
    ----------
    columns
        Name to dtype, and whether it is a matrix, which gets wider as its rows need.
    apart
        Columns that are scanned on their own, of four bytes: in files they stand once more by themselves.
    levels
        Where rows go that memory has no room for; without, all of them stay.
    """

    def __init__(
        self, columns: Mapping[str, tuple[str, bool]], *, apart: Sequence[str] = (), levels: Levels | None = None
    ) -> None:
        self._spec = dict(columns)
        self._apart = tuple((name, "<u4") for name in apart)
        self.levels = levels
        self._clear()

    def _clear(self) -> None:
        self.n = 0
        self.n_in_memory = 0
        self._data: dict[str, Array] = {name: _empty(_MIN_CAPACITY, *spec) for name, spec in self._spec.items()}
        self._alive: NDArray[np.bool_] = np.zeros(_MIN_CAPACITY, dtype=np.bool_)
        self._index = HashIndex()

    @property
    def n_live(self) -> int:
        """Live rows, in memory and in files."""
        return self.n_in_memory + (0 if self.levels is None else self.levels.n_live)

    def __getitem__(self, name: str) -> Array:
        """A column of the rows in memory, dead ones among them; a view."""
        return self._data[name][: self.n]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which rows in memory are live."""
        return self._alive[: self.n]

    def live(self) -> Slots:
        """Slots of live rows in memory."""
        return np.flatnonzero(self.alive)

    def take(self, slots: Slots) -> dict[str, Array]:
        """Copy rows out."""
        return {name: data[slots] for name, data in self._data.items()}

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows at the end."""
        added = len(rows["high"])
        if not added:
            return
        self._reserve(self.n + added)
        for name, (_, is_matrix) in self._spec.items():
            new = rows[name]
            if is_matrix:
                self._widen(name, new.shape[1])
                self._data[name][self.n : self.n + added] = 0
                self._data[name][self.n : self.n + added, : new.shape[1]] = new
            else:
                self._data[name][self.n : self.n + added] = new
        self._alive[self.n : self.n + added] = True
        self._index.add(rows["high"].astype(np.uint64), np.arange(self.n, self.n + added))
        self.n += added
        self.n_in_memory += added

    def _widen(self, name: str, width: int) -> None:
        data = self._data[name]
        if data.shape[1] < width:
            wider = np.zeros((data.shape[0], width), dtype=data.dtype)
            wider[:, : data.shape[1]] = data
            self._data[name] = wider

    def _reserve(self, capacity: int) -> None:
        if capacity <= len(self._alive):
            return
        size = max(capacity, len(self._alive) * 3 // 2)
        for name, data in self._data.items():
            grown = np.empty((size, *data.shape[1:]), dtype=data.dtype)
            grown[: self.n] = data[: self.n]
            self._data[name] = grown
        alive = np.zeros(size, dtype=np.bool_)
        alive[: self.n] = self._alive[: self.n]
        self._alive = alive

    def find(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> tuple[Slots, Slots]:
        """Return the live rows of every hash as (place in the query, slot), by place and then `rid`."""
        order = np.argsort(high)  # sorted queries walk the index in order, which the caches like
        in_order = high[order]
        if self.levels is not None:
            for rows in self.levels.pull(in_order, low[order]):
                self.append(rows)
        places, slots = self._index.find(in_order)
        if not len(places):
            return places, slots
        places = order[places]
        right = self._alive[slots] & (self._data["low"][slots] == low[places])
        places, slots = places[right], slots[right]
        first = np.full(len(high), -1, dtype=np.int64)
        first[places] = slots
        single = np.flatnonzero(first >= 0)
        if len(single) == len(places):
            return single, first[single]
        by_place = np.lexsort((self._data["rid"][slots], places))
        return places[by_place], slots[by_place]

    def set(self, slots: Slots, values: Mapping[str, Array]) -> None:
        """Overwrite columns of some rows."""
        for name, column in values.items():
            self._data[name][slots] = column

    def drop(self, slots: Slots) -> None:
        """Forget rows; slots change when the table is rewritten."""
        if not len(slots):
            return
        self._alive[slots] = False
        self.n_in_memory -= len(slots)
        if self.n > _MIN_CAPACITY and self.n_in_memory < _REWRITE_BELOW * self.n:
            self._rewrite()

    def _rewrite(self) -> None:
        rows = self.take(self.live())
        self._clear()
        self.append(rows)

    # All rows, wherever they are

    def scan(self, names: Sequence[str]) -> Iterator[Rows]:
        """Give out columns of all live rows, in pieces."""
        yield {name: self[name][self.alive] for name in names}
        if self.levels is not None:
            yield from self.levels.scan(names)

    def chosen(self, wanted: Mapping[str, Selection], test: Test) -> Rows:
        """Copy live rows that pass a test, by `rid`.

        Parameters
        ----------
        wanted
            Columns that stand apart, and which of their values can pass.
        test
            From those columns to a mask.
        """
        found = np.flatnonzero(test({name: self[name] for name in wanted}) & self.alive)
        parts = [self.take(found)]
        if self.levels is not None:
            parts += self.levels.chosen(wanted, test)
        rows = concatenate_rows(parts, [name for name, (_, is_matrix) in self._spec.items() if is_matrix])
        order = np.argsort(rows["rid"])
        return {name: column[order] for name, column in rows.items()}

    def remove(self, wanted: Mapping[str, Selection], test: Test) -> None:
        """Drop rows that pass a test on columns that stand apart."""
        self.drop(np.flatnonzero(test({name: self[name] for name in wanted}) & self.alive))
        if self.levels is not None:
            self.levels.kill(wanted, test)

    def numbered(self, rid: Array) -> tuple[Slots, Slots]:
        """Return the live rows of some numbers, which are sorted, as (place in the query, slot)."""
        if self.levels is not None:
            for rows in self.levels.pull_numbered(rid):
                self.append(rows)
        slots = self.live()
        if not len(slots) or not len(rid):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(rid, self["rid"][slots]), len(rid) - 1)
        there = rid[at] == self["rid"][slots]
        return at[there], slots[there]

    # Files

    def spill(self) -> None:
        """Move all rows from memory into a file."""
        if self.levels is None or not self.n_in_memory:
            return
        rows = self.take(self.live())
        self.levels.add(rows, self._layout())
        self._clear()

    def _layout(self) -> Layout:
        return Layout(
            tuple(
                (name, kind, self._data[name].shape[1] if is_matrix else -1)
                for name, (kind, is_matrix) in self._spec.items()
                if name != "high"
            ),
            self._apart,
        )

    def snapshot(self) -> TableSnapshot:
        """Write down what is in memory, and which files there are."""
        return TableSnapshot(
            pack_columns(self.take(self.live())), None if self.levels is None else self.levels.snapshot()
        )

    def restore(self, snapshot: TableSnapshot) -> None:
        """Take a snapshot back."""
        self._clear()
        if snapshot.rows is not None:
            self.append(unpack_columns(snapshot.rows))
        if self.levels is not None and snapshot.levels is not None:
            self.levels.restore(snapshot.levels)


def _empty(n: int, dtype: str, is_matrix: bool) -> Array:
    return np.empty((n, 0) if is_matrix else n, dtype=dtype)


def concatenate_rows(parts: Sequence[Mapping[str, Array]], matrices: Sequence[str] = ()) -> dict[str, Array]:
    """Join rows; matrices may differ in width, what is missing is zero."""
    out: dict[str, Array] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        if name in matrices:
            width = max(column.shape[1] for column in columns)
            columns = [np.pad(column, ((0, 0), (0, width - column.shape[1]))) for column in columns]
        out[name] = np.concatenate(columns)
    return out
