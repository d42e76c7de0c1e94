"""How many rows are still open at a point in event time: exact, and cheap to ask at every commit."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
_LEVEL_RATIO: Final = 4


class OpenTimes:
    """A multiset of times from which some are taken out again.

    Sorted arrays with signed multiplicities, merged like the levels of an LSM tree; what cancels, and what is over
    for good, disappears in merges.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[Times, Times]] = []
        """Distinct times in order, and the number of rows from each one on."""
        self._floor = np.iinfo(np.int64).min

    def change(self, added: Times, removed: Times = np.empty(0, np.int64)) -> None:  # noqa: B008 - never written to
        """Add times, and take out others that were added before or are added now."""
        times = np.concatenate([added, removed])
        weights = np.concatenate([np.ones(len(added), np.int64), -np.ones(len(removed), np.int64)])
        self._push(self._summed(times, weights))
        while len(self._levels) > 1 and len(self._levels[-2][0]) < _LEVEL_RATIO * len(self._levels[-1][0]):
            newer, older = self._levels.pop(), self._levels.pop()
            self._push(self._merged(older, newer))

    def _push(self, level: tuple[Times, Times]) -> None:
        if len(level[0]):
            self._levels.append(level)

    def _summed(self, times: Times, weights: Times) -> tuple[Times, Times]:
        open_ = times >= self._floor
        distinct, inverse = np.unique(times[open_], return_inverse=True)
        net = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(net, inverse, weights[open_])
        kept = net != 0
        return distinct[kept], np.cumsum(net[kept][::-1])[::-1]

    def _merged(self, older: tuple[Times, Times], newer: tuple[Times, Times]) -> tuple[Times, Times]:
        """Merge two levels; what is before all of the newer one stays as it is, and times come about in order."""
        first, cut = np.searchsorted(older[0], [self._floor, newer[0][0]])
        first = min(first, cut)
        times = np.concatenate([older[0][cut:], newer[0]])
        after = self._summed(times, np.concatenate([_weights(older[1][cut:]), _weights(newer[1])]))
        more = _total(after[1]) - _total(older[1][cut:])
        return np.concatenate([older[0][first:cut], after[0]]), np.concatenate([older[1][first:cut] + more, after[1]])

    def close_before(self, time_ms: int) -> None:
        """Times before this one will not be asked for again."""
        self._floor = max(self._floor, time_ms)

    def count_from(self, time_ms: int) -> int:
        """Rows whose time is this one or later."""
        total = 0
        for times, from_here in self._levels:
            place = int(np.searchsorted(times, time_ms))
            total += int(from_here[place]) if place < len(times) else 0
        return total


def _weights(from_here: Times) -> Times:
    return np.asarray(from_here - np.append(from_here[1:], 0), dtype=np.int64)


def _total(from_here: Times) -> int:
    return int(from_here[0]) if len(from_here) else 0
