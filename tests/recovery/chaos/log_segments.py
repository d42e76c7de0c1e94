"""The broker's own files: record batches by producer id and epoch, and the markers that end transactions."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and last timestamp, producer id,
producer epoch, first sequence, number of records: a record batch of format 2, up to its records."""
_LENGTH_FROM: Final = 12
"""The length counts from behind itself."""
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_COMPRESSION: Final = 0x07
_ABORT, _COMMIT = 0, 1
_GROUP_METADATA: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A record batch of a transactional or idempotent producer; `marker` says how a transaction ended."""

    offset: int
    producer_id: int
    producer_epoch: int
    is_transactional: bool
    marker: str | None


def partition_folders(data: Path, topic: str) -> dict[int, Path]:
    """Return the folder of each partition of a topic."""
    found = data.glob(f"{topic}-*")
    return {int(each.name.removeprefix(f"{topic}-")): each for each in found if each.name[len(topic) + 1 :].isdigit()}


def read_batches(folder: Path) -> Iterator[Batch]:
    """Yield the batches of a partition, in order of their offsets."""
    for header, records in _raw(folder):
        attributes, producer_id, epoch = header[5], header[9], header[10]
        marker = None
        if attributes & _CONTROL:
            key = next(iter(_records(records)))[0]
            (kind,) = struct.unpack_from(">h", key, 2)
            marker = {_ABORT: "abort", _COMMIT: "commit"}.get(kind)
        yield Batch(
            offset=header[0],
            producer_id=producer_id,
            producer_epoch=epoch,
            is_transactional=bool(attributes & _TRANSACTIONAL),
            marker=marker,
        )


def group_generations(data: Path, groups: frozenset[str]) -> dict[str, int]:
    """Return the last generation of consumer groups: one more at every rebalance."""
    generations: dict[str, int] = {}
    for folder in partition_folders(data, "__consumer_offsets").values():
        for header, records in _raw(folder):
            if header[5] & (_CONTROL | _COMPRESSION):
                continue
            for key, value in _records(records):
                if value is None or struct.unpack_from(">h", key)[0] != _GROUP_METADATA:
                    continue
                group = _text(key, 2)[0]
                if group in groups:
                    _, at = _text(value, 2)
                    (generation,) = struct.unpack_from(">i", value, at)
                    generations[group] = max(generations.get(group, 0), generation)
    return generations


def _raw(folder: Path) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield header and records of each batch; a torn batch at the end of a file is left out."""
    for file in sorted(folder.glob("*.log")):
        data = file.read_bytes()
        at = 0
        while at + _HEADER.size <= len(data):
            header = _HEADER.unpack_from(data, at)
            end = at + _LENGTH_FROM + header[1]
            if end > len(data) or header[1] <= 0:
                break
            yield header, data[at + _HEADER.size : end]
            at = end


def _records(data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield key and value of the records of a batch that is not compressed."""
    at = 0
    while at < len(data):
        length, start = _varint(data, at)
        end = start + length
        _, place = _varint(data, start + 1)  # behind the attributes: timestamp and offset deltas
        _, place = _varint(data, place)
        size, place = _varint(data, place)
        key = data[place : place + max(size, 0)]
        size, place = _varint(data, place + max(size, 0))
        yield key, None if size < 0 else data[place : place + size]
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag number; return it and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def _text(data: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", data, at)
    return data[at + 2 : at + 2 + size].decode(), at + 2 + size
