"""Merging run files, a piece at a time: what is dead disappears, and nobody waits for the whole.

Pieces are ranges of hashes. Rows that die after their piece was written are noted, and found again at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from streams.local.bits import Bits
from streams.local.runfile import Array, Layout, Places, RunFile, RunWriter

_PIECE_ROWS: Final = 32_768


class Merge:
    """A merge that is under way.

    Parameters
    ----------
    inputs
        Files to be replaced by one.
    path
        Of the file that replaces them.
    """

    def __init__(self, inputs: Sequence[RunFile], path: Path) -> None:
        self.inputs = list(inputs)
        total = sum(run.n for run in inputs)
        largest = max(inputs, key=lambda run: run.n)
        keys = largest.quantiles(max(1, _PIECE_ROWS * largest.n // total))
        self._cuts = [np.concatenate([[0], run.cut(keys), [run.n]]) for run in inputs]
        self._n_pieces = len(keys) + 1
        self._done = 0
        self._taken = [np.zeros(-(-run.n // 8), dtype=np.uint8) for run in inputs]
        self._late: list[list[Places]] = [[] for _ in inputs]
        self._starts: list[int] = []
        self._writer = RunWriter(path, _wider([run.layout for run in inputs]), sum(run.alive.n_set for run in inputs))

    @property
    def is_done(self) -> bool:
        """Whether every piece is written."""
        return self._done == self._n_pieces

    def step(self) -> int:
        """Write the next piece; returns how many rows were read for it."""
        parts, n_read = [], 0
        for i, run in enumerate(self.inputs):
            start, end = self._piece(i, self._done)
            n_read += end - start
            alive = run.alive.between(start, end)
            if alive.any():
                parts.append({name: column[alive] for name, column in run.slice(start, end).items()})
            self._note_taken(i, start, alive)
        self._starts.append(self._writer.n)
        self._done += 1
        if parts:
            rows = _joined(parts, self._writer.layout)
            order = np.argsort(rows["high"], kind="stable")
            self._writer.write({name: column[order] for name, column in rows.items()})
        return n_read

    def _piece(self, i: int, number: int) -> tuple[int, int]:
        return int(self._cuts[i][number]), int(self._cuts[i][number + 1])

    def _note_taken(self, i: int, start: int, alive: Array) -> None:
        places = start + np.flatnonzero(alive)
        np.bitwise_or.at(self._taken[i], places >> 3, np.uint8(1) << (places & 7).astype(np.uint8))

    def died(self, run: RunFile, places: Places) -> None:
        """Note rows of an input that die while it is merged."""
        for i, each in enumerate(self.inputs):
            if each is run:
                written = places < self._cuts[i][self._done]
                if written.any():
                    self._late[i].append(places[written])

    def finish(self) -> RunFile | None:
        """Complete the file; None where nothing is left."""
        if not self._writer.n:
            self._writer.drop()
            return None
        merged = self._writer.finish()
        late = [np.unique(np.concatenate(places)) if places else np.empty(0, np.int64) for places in self._late]
        pieces = [np.searchsorted(self._cuts[i][1:], places, side="right") for i, places in enumerate(late)]
        for number in sorted({int(n) for numbers in pieces for n in numbers}):
            killed = [places[numbers == number] for places, numbers in zip(late, pieces, strict=True)]
            merged.alive.clear(self._starts[number] + self._moved(number, killed))
        return merged

    def _moved(self, number: int, killed: Sequence[Places]) -> Places:
        """Where rows of a piece stand in its output."""
        high, dead = [], []
        for i, run in enumerate(self.inputs):
            start, end = self._piece(i, number)
            taken = Bits(run.n, self._taken[i].tobytes()).between(start, end)
            gone = np.zeros(end - start, dtype=np.bool_)
            gone[killed[i] - start] = True
            high.append(run.apart("high", start, end)[taken])
            dead.append(gone[taken])
        order = np.argsort(np.concatenate(high), kind="stable")
        return np.flatnonzero(np.concatenate(dead)[order])

    def drop(self) -> None:
        """Give it up."""
        self._writer.drop()


def _wider(layouts: Sequence[Layout]) -> Layout:
    """The layout that holds rows of all; matrices take the widest."""
    first = layouts[0]
    rows = tuple(
        (name, kind, max(layout.rows[i][2] for layout in layouts)) for i, (name, kind, _) in enumerate(first.rows)
    )
    return Layout(rows, first.apart)


def _joined(parts: Sequence[Mapping[str, Array]], layout: Layout) -> dict[str, Array]:
    out = {"high": np.concatenate([part["high"] for part in parts])}
    n = len(out["high"])
    for name, kind, width in layout.rows:
        if width < 0:
            out[name] = np.concatenate([part[name] for part in parts])
            continue
        matrix, at = np.zeros((n, width), dtype=kind), 0
        for part in parts:
            block = part[name]
            matrix[at : at + len(block), : block.shape[1]] = block
            at += len(block)
        out[name] = matrix
    return out
