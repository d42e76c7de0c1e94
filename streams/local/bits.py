"""A bit per row: an eighth of what a numpy mask takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Bits:
    """Which rows of a file are live.

    Parameters
    ----------
    n
        How many rows.
    data
        As `packed` gave them; all live without.
    """

    def __init__(self, n: int, data: bytes | None = None) -> None:
        self.n = n
        if data is None:
            self._data = np.packbits(np.ones(n, dtype=np.bool_), bitorder="little")
        else:
            self._data = np.frombuffer(data, dtype=np.uint8).copy()
        self.n_set = int(np.bitwise_count(self._data).sum())

    def packed(self) -> bytes:
        """The bits as bytes."""
        return self._data.tobytes()

    def at(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether they are set at some places."""
        return np.asarray(self._data[places >> 3] >> (places & 7).astype(np.uint8) & 1, dtype=np.bool_)

    def between(self, start: int, end: int) -> NDArray[np.bool_]:
        """The bits of a range, as a mask."""
        first = start >> 3
        bits = np.unpackbits(self._data[first : (end + 7) >> 3], bitorder="little")
        return np.asarray(bits[start - 8 * first : end - 8 * first], dtype=np.bool_)

    def clear(self, places: NDArray[Any]) -> None:
        """Unset bits that are set."""
        if len(places):
            masks = ~(np.uint8(1) << (places & 7).astype(np.uint8))
            np.bitwise_and.at(self._data, places >> 3, masks)
            self.n_set -= len(places)
