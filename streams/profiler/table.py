"""A table of rows in columns, with an index by hash: the memory of one model's join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
            left = np.searchsorted(level_keys, keys, side="left")
            inside = np.minimum(left, len(level_keys) - 1)
            hit = np.flatnonzero(level_keys[inside] == keys)
            if not len(hit):
                continue
            start = left[hit]
            n = np.searchsorted(level_keys, keys[hit], side="right") - start
            places.append(np.repeat(hit, n))
            offsets = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
            slots.append(level_slots[np.repeat(start, n) + offsets])
        if not places:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(places), np.concatenate(slots)


def _sorted(keys: NDArray[np.uint64], slots: Slots) -> Level:
    order = np.argsort(keys)
    return keys[order], slots[order]


class Table:
    """Rows in append order; every row has a hash of two 64-bit halves, `high` and `low`.

    Parameters
    ----------
    columns
        Name to dtype, and whether it is a matrix, which gets wider as its rows need.
    """

    def __init__(self, columns: Mapping[str, tuple[str, bool]]) -> None:
        self._spec = dict(columns)
        self.n = 0
        self.n_live = 0
        self._data: dict[str, Array] = {name: _empty(_MIN_CAPACITY, *spec) for name, spec in columns.items()}
        self._alive: NDArray[np.bool_] = np.zeros(_MIN_CAPACITY, dtype=np.bool_)
        self._index = HashIndex()

    def __getitem__(self, name: str) -> Array:
        """A column, dead rows among it; a view."""
        return self._data[name][: self.n]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which rows are live."""
        return self._alive[: self.n]

    def live(self) -> Slots:
        """Slots of live rows."""
        return np.flatnonzero(self.alive)

    def take(self, slots: Slots) -> dict[str, Array]:
        """Copy rows out."""
        return {name: data[slots] for name, data in self._data.items()}

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows at the end."""
        added = len(rows["high"])
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
        self.n_live += added

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
        """Return the live rows of every hash as (place in the query, slot), by place and then slot."""
        order = np.argsort(high)  # sorted queries walk the index in order, which the caches like
        places, slots = self._index.find(high[order])
        if not len(places):
            return places, slots
        places = order[places]
        right = self._alive[slots] & (self._data["low"][slots] == low[places])
        places, slots = places[right], slots[right]
        by_place = np.lexsort((slots, places))
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
        self.n_live -= len(slots)
        if self.n > _MIN_CAPACITY and self.n_live < _REWRITE_BELOW * self.n:
            self._rewrite()

    def _rewrite(self) -> None:
        kept = self.live()
        rows = self.take(kept)
        self.n = self.n_live = 0
        self._data = {n: np.empty((_MIN_CAPACITY, *d.shape[1:]), d.dtype) for n, d in self._data.items()}
        self._alive = np.zeros(_MIN_CAPACITY, dtype=np.bool_)
        self._index = HashIndex()
        self.append(rows)


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
