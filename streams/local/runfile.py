"""A run file: rows sorted by hash, immutable, memory-mapped.

Page by page: a header; the upper halves of the hashes, which are searched; copies of columns that are scanned alone;
and all else row by row, so that a row that was found costs one page. What was looked at is handed back to the
system at once, so a file costs no resident memory beyond a few MB, however large it is.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from streams.local.bits import Bits
from streams.local.disk import DiskFile
from streams.local.errors import NewerStateError, UnusableStateError

FORMAT: Final = 1
Array = NDArray[Any]
Places = NDArray[np.int64]

_MAGIC: Final = b"plumbline run\n"
_PAGE: Final = mmap.PAGESIZE
_CHUNK_BYTES: Final = 4_194_304
"""Of a section, what may be resident at a time."""
_SCATTERED: Final = _CHUNK_BYTES // (16 * _PAGE)
"""So many rows may be read wherever they are: the system makes up to sixteen pages resident for one that is read."""
_AROUND_BYTES: Final = 2_097_152
"""A page that is read can make others resident on both sides of it: as many as the largest page of the cache has."""
_READ_BYTES: Final = 1_048_576


class Header(msgspec.Struct, frozen=True):
    """What a run file holds: `rows` are the fields of a row (name, dtype, width); `apart` stand twice."""

    format: int
    n: int
    rows: list[tuple[str, str, int]]
    apart: list[tuple[str, str]]
    sections: dict[str, tuple[int, int, int]]
    """Name to offset, length in bytes and checksum."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a run file; `high` comes first in any case. A width of -1 stands for a column that is no matrix."""

    rows: tuple[tuple[str, str, int], ...]
    apart: tuple[tuple[str, str], ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a row."""
        return np.dtype([(name, kind) if width < 0 else (name, kind, (width,)) for name, kind, width in self.rows])


class RunWriter:
    """Writes a run file in pieces that are in the order of their hashes.

    Parameters
    ----------
    path
        Of the file.
    layout
        Its columns.
    capacity
        Rows that come, at most.
    """

    def __init__(self, path: Path, layout: Layout, capacity: int) -> None:
        self.layout = layout
        self.n = 0
        self._dtype = layout.dtype
        self._file = DiskFile(path)
        self._starts: dict[str, int] = {}
        self._sums: dict[str, xxhash.xxh3_64] = {}
        self._sizes = {"high": 8, **{n: np.dtype(k).itemsize for n, k in layout.apart}, "rows": self._dtype.itemsize}
        at = _PAGE
        for name, size in self._sizes.items():
            self._starts[name] = at
            self._sums[name] = xxhash.xxh3_64()
            at = -(-(at + size * capacity) // _PAGE) * _PAGE

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._file.path

    def write(self, columns: Mapping[str, Array]) -> None:
        """Add rows."""
        n = len(columns["high"])
        packed = np.zeros(n, dtype=self._dtype)
        for name, _, width in self.layout.rows:
            column = columns[name]
            if width < 0:
                packed[name] = column
            else:
                packed[name][:, : column.shape[1]] = column
        pieces = {"high": columns["high"].astype("<u8"), "rows": packed}
        pieces |= {name: columns[name].astype(kind) for name, kind in self.layout.apart}
        for name, piece in pieces.items():
            data = np.ascontiguousarray(piece).view(np.uint8).reshape(-1)
            self._sums[name].update(data.data)
            self._file.write(data.data, self._starts[name] + self.n * self._sizes[name])
        self.n += n

    def finish(self) -> RunFile:
        """Complete the file, and open it."""
        sections = {
            name: (self._starts[name], size * self.n, self._sums[name].intdigest())
            for name, size in self._sizes.items()
        }
        header = msgspec.msgpack.encode(
            Header(FORMAT, self.n, list(self.layout.rows), list(self.layout.apart), sections)
        )
        head = _MAGIC + len(header).to_bytes(4, "little") + xxhash.xxh3_64(header).digest() + header
        self._file.write(head, 0)
        at, length, _ = sections["rows"]
        self._file.finish(at + length)
        return RunFile(self.path)

    def drop(self) -> None:
        """Give it up."""
        self._file.drop()


def read_header(path: Path) -> Header:
    """Read and check a header.

    Raises
    ------
    UnusableStateError
        Where the file is missing, cut off or not one of ours.
    NewerStateError
        Where a newer version wrote it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_PAGE)
            size = file.seek(0, 2)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UnusableStateError(msg) from error
    start = len(_MAGIC) + 12
    length = int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 4], "little")
    body = head[start : start + length]
    if not head.startswith(_MAGIC) or xxhash.xxh3_64(body).digest() != head[start - 8 : start]:
        msg = f"{path} does not begin like a run file"
        raise UnusableStateError(msg)
    version = msgspec.msgpack.decode(body, type=dict[str, Any])["format"]
    if version > FORMAT:
        msg = f"{path} has format {version}: expected at most {FORMAT}; a newer version wrote it"
        raise NewerStateError(msg)
    header = msgspec.msgpack.decode(body, type=Header)
    end = max(at + length for at, length, _ in header.sections.values())
    if size != end:
        msg = f"{path} is {size} bytes long: expected {end}"
        raise UnusableStateError(msg)
    return header


def verify(path: Path) -> None:
    """Read all of a file and compare its checksums.

    Raises
    ------
    UnusableStateError
        Where a byte is not as it was written.
    """
    header = read_header(path)
    with path.open("rb", buffering=0) as file:
        for name, (at, length, wanted) in header.sections.items():
            file.seek(at)
            found, left = xxhash.xxh3_64(), length
            while left and (data := file.read(min(left, _READ_BYTES))):
                found.update(data)
                left -= len(data)
            if found.intdigest() != wanted:
                msg = f"{path} is damaged: its section {name!r} has another checksum than when it was written"
                raise UnusableStateError(msg)


class RunFile:
    """A run file that is open for reading; which of its rows are live is kept beside it.

    Parameters
    ----------
    path
        Of the file.
    bits
        Which rows are live; all of them without.
    """

    def __init__(self, path: Path, bits: bytes | None = None) -> None:
        header = read_header(path)
        self.path = path
        self.n = header.n
        self.alive = Bits(header.n, bits)
        self.layout = Layout(tuple(header.rows), tuple(header.apart))
        self.n_bytes = path.stat().st_size
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._sections: dict[str, Array] = {}
        kinds = {"high": np.dtype("<u8"), **{name: np.dtype(kind) for name, kind in self.layout.apart}}
        for name, kind in {**kinds, "rows": self.layout.dtype}.items():
            at = header.sections[name][0]
            self._sections[name] = np.frombuffer(self._map, dtype=kind, count=self.n, offset=at)
        self._starts = {name: at for name, (at, _, _) in header.sections.items()}
        self._fences, self._fence_keys = self._fenced()
        self.ranges = {name: self._range(name) for name, _ in self.layout.apart}
        """Smallest and largest value of columns that stand apart."""

    def _fenced(self) -> tuple[Places, Array]:
        """Places that cut the hashes into pieces, never between equal ones, and the hashes there."""
        high = self._sections["high"]
        at = np.arange(_CHUNK_BYTES // 8, self.n, _CHUNK_BYTES // 8)
        places = np.unique(np.searchsorted(high, high[at], side="left")) if len(at) else at
        keys = high[places]
        self._release("high", 0, self.n)
        return np.concatenate([[0], places, [self.n]]).astype(np.int64), keys

    def _range(self, name: str) -> tuple[int, int]:
        parts = [(int(part.min()), int(part.max())) for _, part in self._pieces(name)]
        return min(low for low, _ in parts), max(high for _, high in parts)

    def _pieces(self, name: str) -> Iterator[tuple[int, Array]]:
        step = max(1, _CHUNK_BYTES // self._sections[name].itemsize)
        for start in range(0, self.n, step):
            yield start, self.apart(name, start, min(self.n, start + step))

    def _release(self, name: str, start: int, end: int) -> None:
        """Hand pages back to the system, and what it made resident around them; they stay in its cache."""
        size = self._sections[name].itemsize
        first = max(0, self._starts[name] + start * size - _AROUND_BYTES) // _PAGE * _PAGE
        last = min(self.n_bytes, self._starts[name] + end * size + _AROUND_BYTES)
        if end > start:
            self._map.madvise(mmap.MADV_DONTNEED, first, last - first)

    def find(self, high: Array) -> tuple[Array, Places]:
        """Return every match of sorted hashes as (place in `high`, place in the file), dead rows among them."""
        places, found = [], []
        cuts = np.concatenate([[0], np.searchsorted(high, self._fence_keys), [len(high)]])
        for i in np.flatnonzero(np.diff(cuts)).tolist():
            queries = high[cuts[i] : cuts[i + 1]]
            start, end = int(self._fences[i]), int(self._fences[i + 1])
            place, slot = matches(self._sections["high"][start:end], queries)
            self._release("high", start, end)
            places.append(place + cuts[i])
            found.append(slot + start)
        if not places:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(places), np.concatenate(found)

    def take(self, places: Places, high: Array | None = None) -> dict[str, Array]:
        """Copy rows out; `places` in rising order. Who knows their hashes spares reading them."""
        return self._columns(self._gather("high", places) if high is None else high, self._gather("rows", places))

    def _gather(self, name: str, places: Places) -> Array:
        section = self._sections[name]
        taken = np.empty(len(places), dtype=section.dtype)
        step = max(1, _CHUNK_BYTES // section.itemsize)
        start = 0
        while start < len(places):
            end = max(start + _SCATTERED, int(np.searchsorted(places, places[start] + step)))
            np.take(section, places[start:end], out=taken[start:end])
            end = min(end, len(places))
            self._release(name, int(places[start]), int(places[end - 1]) + 1)
            start = end
        return taken

    def slice(self, start: int, end: int) -> dict[str, Array]:
        """Copy neighbouring rows out."""
        return self._columns(self.apart("high", start, end), self.apart("rows", start, end))

    def _columns(self, high: Array, rows: Array) -> dict[str, Array]:
        return {"high": high, **{name: rows[name] for name, _, _ in self.layout.rows}}

    def apart(self, name: str, start: int, end: int) -> Array:
        """Copy a piece of a section: by reading, which is quicker than the map where all of it is wanted."""
        kind = self._sections[name].dtype
        file = os.open(self.path, os.O_RDONLY)
        try:
            data = os.pread(file, (end - start) * kind.itemsize, self._starts[name] + start * kind.itemsize)
        finally:
            os.close(file)
        return np.frombuffer(data, dtype=kind)

    def cut(self, keys: Array) -> Places:
        """Where hashes would stand: places that cut the file in pieces."""
        places = np.searchsorted(self._sections["high"], keys)
        self._release("high", 0, self.n)
        return places.astype(np.int64)

    def quantiles(self, step: int) -> Array:
        """Every so many rows a hash, distinct ones."""
        keys = np.unique(self._sections["high"][step::step])
        self._release("high", 0, self.n)
        return keys


def matches(sorted_keys: Array, queries: Array) -> tuple[Places, Places]:
    """Return every match as (place in the queries, place among the keys)."""
    if not len(sorted_keys):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left = np.searchsorted(sorted_keys, queries, side="left")
    hit = np.flatnonzero(sorted_keys[np.minimum(left, len(sorted_keys) - 1)] == queries)
    start = left[hit]
    n = np.searchsorted(sorted_keys, queries[hit], side="right") - start
    offsets = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(hit, n), np.repeat(start, n) + offsets
