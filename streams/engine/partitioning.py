"""Which partition a key goes to: how producers decide it, as the log shows, and for ids that are known by hash."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

from streams.engine.errors import TopicLayoutError

Partitioner = Callable[[bytes, int], int]


def by_murmur2(key: bytes, n_partitions: int) -> int:
    """The Java clients', aiokafka's and kafka-python's default."""
    number: int = murmur2(key) & 0x7FFFFFFF
    return number % n_partitions


def by_crc32(key: bytes, n_partitions: int) -> int:
    """The default of librdkafka and of what is built on it (confluent-kafka, kafka-net, most of Go)."""
    return zlib.crc32(key) % n_partitions


PARTITIONERS: Final[dict[str, Partitioner]] = {"murmur2": by_murmur2, "crc32": by_crc32}
_MIN_FIT: Final = 0.99
"""Share of the keyed records that a partitioner must explain; some records are always sent by hand."""


class PartitionerSurvey:
    """Counts which partitioner explains where keyed records are.

    Parameters
    ----------
    n_partitions
        Of the topics whose records are seen.
    """

    def __init__(self, n_partitions: int) -> None:
        self._n_partitions = n_partitions
        self.n_records = 0
        self._fitting = dict.fromkeys(PARTITIONERS, 0)

    def see(self, key: bytes, partition: int) -> None:
        """Take one record's key and place."""
        self.n_records += 1
        for name, partitioner in PARTITIONERS.items():
            self._fitting[name] += partitioner(key, self._n_partitions) == partition

    def verdict(self, wanted: str) -> str:
        """Return the name of the partitioner; `wanted` is one, or `auto`.

        Raises
        ------
        TopicLayoutError
            Where none explains the log, or another one than was wanted does.
        """
        shares = {name: n / max(1, self.n_records) for name, n in self._fitting.items()}
        if wanted == "auto":
            if not self.n_records or self._n_partitions == 1:
                return "murmur2"
            best = max(shares, key=lambda name: shares[name])
            if shares[best] >= _MIN_FIT:
                return best
        elif not self.n_records or shares[wanted] >= _MIN_FIT:
            return wanted
        said = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        msg = (
            f"the producers' partitioner is none that is known: of {self.n_records} keyed records lie where it says"
            f" {said}; expected at least {_MIN_FIT:.0%} for {' or '.join(PARTITIONERS) if wanted == 'auto' else wanted}"
        )
        raise TopicLayoutError(msg)


class Places:
    """New partitions of ids that are known by their hash alone, learnt from whoever knows the ids.

    Parameters
    ----------
    high, low
        Halves of the hashes of the ids that are asked for; repetitions do no harm.
    n_partitions
        The new count.
    """

    def __init__(self, high: NDArray[np.uint64], low: NDArray[np.uint64], n_partitions: int) -> None:
        pairs = np.unique(np.stack([high, low], axis=1), axis=0) if len(high) else np.empty((0, 2), dtype=np.uint64)
        self._high, self._low = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
        self._n_partitions = n_partitions
        self._found = {name: np.full(len(pairs), -1, dtype=np.int64) for name in PARTITIONERS}

    def learn(self, ids: Sequence[bytes], high: NDArray[np.uint64], low: NDArray[np.uint64]) -> None:
        """Take ids with their hashes; those that nobody asked for are passed over."""
        at = self._at(high, low)
        known = self._found["murmur2"]
        for i in np.flatnonzero(at >= 0).tolist():
            if known[at[i]] < 0:
                for name, partitioner in PARTITIONERS.items():
                    self._found[name][at[i]] = partitioner(ids[i], self._n_partitions)

    def place(self, partitioner: str) -> Callable[[NDArray[np.uint64], NDArray[np.uint64]], NDArray[np.int64]]:
        """Return the function from hashes to new partitions; -1 for an id that was not learnt."""
        found = np.append(self._found[partitioner], -1)
        return lambda high, low: found[self._at(high, low)]

    def _at(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Places in our arrays; -1 for what is not there. Halves that two ids share are looked at twice."""
        out = np.full(len(high), -1, dtype=np.int64)
        if not len(self._high):
            return out
        first = np.searchsorted(self._high, high)
        for step in (0, 1):
            at = np.minimum(first + step, len(self._high) - 1)
            hit = (self._high[at] == high) & (self._low[at] == low)
            out[hit] = at[hit]
        return out
