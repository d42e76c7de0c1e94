"""Where runs wait while the changelog is read: only its end says which of them count."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import zstandard

from streams.local.disk import write_all


class Shelf:
    """Runs by number: in memory, or in a nameless file that needs no memory.

    Parameters
    ----------
    folder
        Where that file is; in memory without.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._end = 0
        self._places: dict[int, tuple[int, int]] = {}
        self._values: dict[int, bytes] = {}

    def numbers(self) -> list[int]:
        """Runs that are here."""
        return [*self._places, *self._values]

    def put(self, number: int, value: bytes | None) -> None:
        """Take a run, or that it is gone."""
        self._places.pop(number, None)
        self._values.pop(number, None)
        if value is None:
            return
        if self._folder is None:
            self._values[number] = value
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by `clear`
        packed = zstandard.ZstdCompressor(level=-5).compress(value)
        write_all(self._file.fileno(), packed, self._end, self._folder)
        self._places[number] = (self._end, len(packed))
        self._end += len(packed)

    def get(self, number: int) -> bytes:
        """A run."""
        if number in self._values:
            return self._values[number]
        at, length = self._places[number]
        packed = b"" if self._file is None else os.pread(self._file.fileno(), length, at)
        return zstandard.ZstdDecompressor().decompress(packed)

    def clear(self) -> None:
        """Nothing is needed any more."""
        if self._file is not None:
            self._file.close()
        self._file, self._end, self._places, self._values = None, 0, {}, {}
