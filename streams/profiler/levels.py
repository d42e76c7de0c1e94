"""Rows that memory has no room for: run files, merged four of a size at a time, as in an LSM tree.

A row stands in one place only. One that is found moves back into memory, since it is about to change; so files are
never written to, and what changes in them is which of their rows are live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np

from streams.local.merge import Merge
from streams.local.runfile import Array, Layout, Places, RunFile, RunWriter

Rows = dict[str, Array]
Test = Callable[[Rows], Array]
_FAN: Final = 4
"""Files of about one size that may stand beside each other."""
_SPARSE_RATIO: Final = 0.5
"""A file of which less is live is written anew."""
_CHUNK_ROWS: Final = 32_768
_WORK_PER_ROW: Final = 8
_SCRUBBED_PER_ROW: Final = 2
"""For each new row so many older ones are merged, or looked at, where there is something to do."""
_LEAST_SCRUBBED: Final = 256
_MOST_FILES: Final = 24
"""Beyond so many files the merge under way is not left for later."""


class Selection(Protocol):
    """Values of a column."""

    def meets(self, low: int, high: int) -> bool:
        """Whether there is one between two values, both included."""


class LevelsSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """Files with their live rows, as bits."""

    files: list[tuple[str, bytes]]
    next_number: int


class Levels:
    """The files of one table.

    Parameters
    ----------
    folder
        Where they are.
    name
        How their names begin.
    base_rows
        About how many rows the smallest ones have.
    """

    def __init__(self, folder: Path, name: str, *, base_rows: int) -> None:
        self._folder = folder
        self._name = name
        self._base_rows = max(1, base_rows)
        self._next_number = 1
        self._merge: Merge | None = None
        self._scrubbed = (0, 0)
        self.runs: list[RunFile] = []

    @property
    def n_live(self) -> int:
        """Live rows."""
        return sum(run.alive.n_set for run in self.runs)

    def snapshot(self) -> LevelsSnapshot:
        """What is needed beside the files to open them again."""
        return LevelsSnapshot([(run.path.name, run.alive.packed()) for run in self.runs], self._next_number)

    def restore(self, snapshot: LevelsSnapshot) -> None:
        """Open the files of a snapshot."""
        self.runs = [RunFile(self._folder / name, bits) for name, bits in snapshot.files]
        self._next_number = snapshot.next_number

    def _path(self) -> Path:
        path = self._folder / f"{self._name}-{self._next_number:06d}.run"
        self._next_number += 1
        return path

    def add(self, rows: Rows, layout: Layout) -> None:
        """Write rows, in whatever order, into a new file."""
        order = np.argsort(rows["high"])
        writer = RunWriter(self._path(), layout, len(order))
        for start in range(0, len(order), _CHUNK_ROWS):
            some = order[start : start + _CHUNK_ROWS]
            writer.write({name: column[some] for name, column in rows.items()})
        self.runs.append(writer.finish())

    # Reading

    def pull(self, high: Array, low: Array) -> Iterator[Rows]:
        """Take the live rows of some hashes, sorted by `high`, out of the files."""
        for run in self.runs:
            places, found = run.find(high)
            live = run.alive.at(found)
            if not live.any():
                continue
            places, found = places[live], found[live]
            distinct, first = np.unique(found, return_index=True)
            rows = run.take(distinct, high[places[first]])
            at = np.searchsorted(distinct, found)
            right = np.unique(at[rows["low"][at] == low[places]])
            self._kill(run, distinct[right])
            yield {name: column[right] for name, column in rows.items()}

    def _kill(self, run: RunFile, places: Places) -> None:
        run.alive.clear(places)
        if self._merge is not None:
            self._merge.died(run, places)

    def scan(self, names: Sequence[str]) -> Iterator[Rows]:
        """Give out columns of all live rows, some thousand at a time."""
        for run in self.runs:
            apart = set(names) <= set(run.ranges)
            for start in range(0, run.n, _CHUNK_ROWS):
                end = min(run.n, start + _CHUNK_ROWS)
                alive = run.alive.between(start, end)
                rows = {name: run.apart(name, start, end) for name in names} if apart else run.slice(start, end)
                yield {name: rows[name][alive] for name in names}

    def chosen(self, wanted: Mapping[str, Selection], test: Test) -> Iterator[Rows]:
        """Give out live rows that pass a test on columns that stand apart.

        Parameters
        ----------
        wanted
            By column what can pass; a file that has nothing of it is left alone.
        test
            From chunks of those columns to a mask.
        """
        for run, places in self._passing(wanted, test):
            yield run.take(places)

    def kill(self, wanted: Mapping[str, Selection], test: Test) -> None:
        """Drop live rows that pass a test on columns that stand apart."""
        for run, places in self._passing(wanted, test):
            self._kill(run, places)

    def _passing(self, wanted: Mapping[str, Selection], test: Test) -> Iterator[tuple[RunFile, Places]]:
        for run in self.runs:
            if not any(selection.meets(*run.ranges[name]) for name, selection in wanted.items()):
                continue
            for start in range(0, run.n, _CHUNK_ROWS):
                end = min(run.n, start + _CHUNK_ROWS)
                found = test({name: run.apart(name, start, end) for name in wanted})
                found &= run.alive.between(start, end)
                if found.any():
                    yield run, start + np.flatnonzero(found)

    def pull_numbered(self, rid: Array) -> Iterator[Rows]:
        """Take live rows of some numbers, which are sorted, out of the files; reads all of them."""
        for run in self.runs if len(rid) else ():
            for start in range(0, run.n, _CHUNK_ROWS):
                rows = run.slice(start, min(run.n, start + _CHUNK_ROWS))
                at = np.minimum(np.searchsorted(rid, rows["rid"]), len(rid) - 1)
                found = np.flatnonzero((rid[at] == rows["rid"]) & run.alive.between(start, start + len(at)))
                if len(found):
                    self._kill(run, start + found)
                    yield {name: column[found] for name, column in rows.items()}

    # Keeping them in order

    def maintain(self, n_new: int, over: Test) -> Iterator[Rows]:
        """Work off a share of merging and of forgetting; gives out rows that are forgotten.

        Parameters
        ----------
        n_new
            Rows that came since the last time: the work is a multiple of it.
        over
            From columns to a mask of what may be forgotten.
        """
        yield from self._scrub(_SCRUBBED_PER_ROW * n_new, over)
        self._work(_WORK_PER_ROW * n_new)
        while len(self.runs) > _MOST_FILES and (self._merge is not None or self._next_merge()):
            self._work(_CHUNK_ROWS)

    def compact(self) -> Iterator[None]:
        """Merge everything into one file, with pauses; for the end of a bulk load."""
        if self._merge is None and len(self.runs) > 1:
            self._merge = Merge(self.runs, self._path())
            while self._merge is not None:
                self._work(1)
                yield

    def _scrub(self, n: int, over: Test) -> Iterator[Rows]:
        """Look at the next rows, and go on with the next file at the next time."""
        number, start = self._scrubbed
        if number >= len(self.runs) or start >= self.runs[number].n:
            number, start = number + 1 if number + 1 < len(self.runs) else 0, 0
        if not self.runs or not n:
            return
        run = self.runs[number]
        end = min(run.n, start + max(n, _LEAST_SCRUBBED))
        self._scrubbed = (number, end)
        for first in range(start, end, _CHUNK_ROWS):
            last = min(end, first + _CHUNK_ROWS)
            alive = np.flatnonzero(run.alive.between(first, last))
            rows = run.slice(first, last)
            gone = alive[over({name: column[alive] for name, column in rows.items()})]
            if len(gone):
                self._kill(run, first + gone)
                yield {name: column[gone] for name, column in rows.items()}

    def _work(self, n_rows: int) -> None:
        while n_rows > 0 and (self._merge is not None or self._next_merge()):
            merge = self._merge
            if merge is None:
                return
            n_rows -= max(1, merge.step())
            if merge.is_done:
                self._merge = None
                merged = merge.finish()
                self.runs = [run for run in self.runs if run not in merge.inputs]
                self.runs += [] if merged is None else [merged]

    def _next_merge(self) -> bool:
        self.runs = [run for run in self.runs if run.alive.n_set]
        sizes: dict[int, list[RunFile]] = {}
        for run in self.runs:
            sizes.setdefault((run.alive.n_set // self._base_rows).bit_length() // 2, []).append(run)
        inputs = next((runs for _, runs in sorted(sizes.items()) if len(runs) >= _FAN), [])
        if not inputs:
            inputs = [run for run in self.runs if run.alive.n_set < _SPARSE_RATIO * run.n][:1]
        self._merge = Merge(inputs, self._path()) if inputs else None
        return self._merge is not None

    def close(self) -> None:
        """Give up a merge that is under way."""
        if self._merge is not None:
            self._merge.drop()
            self._merge = None
