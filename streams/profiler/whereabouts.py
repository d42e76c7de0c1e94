"""Where the rows of a run are by now: runs are written anew, and their rows keep the number they came with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.profiler.packing import Array


@dataclass(frozen=True, slots=True)
class Chosen:
    """The numbers that some runs had: a mask, from `first` on."""

    first: int
    mask: NDArray[np.bool_]

    def of(self, numbers: Array) -> NDArray[np.bool_]:
        """Which of some numbers are among them; rows that are dead may have older ones."""
        places = np.clip(numbers.astype(np.int64) - self.first, 0, len(self.mask) - 1)
        return np.asarray(self.mask[places], dtype=np.bool_)

    def meets(self, low: int, high: int) -> bool:
        """Whether one is between two numbers, both included."""
        return bool(self.mask[max(0, low - self.first) : max(0, high + 1 - self.first)].any())


class Whereabouts:
    """From the number of a run to that of the run which holds its rows now.

    Four bytes a run, back to the oldest one whose number a row still has.
    """

    def __init__(self, first: int = 0, data: bytes = b"") -> None:
        self._first = first
        self._now = np.frombuffer(data, dtype="<u4").copy()

    def packed(self) -> tuple[int, bytes]:
        """What it is made from again."""
        return self._first, self._now.tobytes()

    def reach(self, number: int) -> None:
        """Know every number up to this one."""
        end = self._first + len(self._now)
        if number >= end:
            more = np.arange(end, max(number + 1, end + len(self._now) // 2 + 64), dtype=np.uint32)
            self._now = np.concatenate([self._now, more])

    def now(self, numbers: Array) -> Array:
        """Which runs hold the rows of some runs."""
        return self._now[numbers.astype(np.int64) - self._first].astype(np.int64)

    def mark(self, home: Array, mark: Array) -> Array:
        """Which runs hold the labels of rows: their own, once they were written anew after the label came."""
        home = self.now(home)
        return np.where(home >= mark, home, self.now(mark))

    def moved(self, runs: Array, number: int) -> None:
        """Some runs were written anew as run `number`."""
        self.reach(number)
        self._now[np.isin(self._now, runs)] = number

    def selection(self, runs: Array) -> Chosen:
        """Every number whose rows are in some runs now."""
        return Chosen(self._first, np.isin(self._now, runs))

    def forget_before(self, number: int) -> None:
        """No row has a number before this one."""
        if number > self._first:
            self._now = self._now[number - self._first :].copy()
            self._first = number
