"""The changelog: a task's state by key, and the one commit record that says how far it got.

Values carry one leading byte: whether the rest is compressed. The commit record has a format version, so that
a worker meets a newer one with a clear refusal.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from streams.engine.errors import ChangelogFormatError, CommitTooLargeError
from streams.engine.processor import Change, Output

FORMAT: Final = 2
"""2: series of the evaluator are entries of their own."""
COMMIT_KEY: Final = b"commit"
_STATE_PREFIX: Final = b"state/"
_PLAIN: Final = b"\x00"
_ZSTD: Final = b"\x01"
_COMPRESS_ABOVE_BYTES: Final = 1_000
_RECORD_OVERHEAD_BYTES: Final = 1_024
"""Key, headers and batch framing of a record, generously."""


class StoredChange(msgspec.Struct, frozen=True, array_like=True):
    """A change, inside a commit record."""

    key: str
    value: bytes | None


class StoredOutput(msgspec.Struct, frozen=True, array_like=True):
    """An output, inside a commit record."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class CommitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a task got; the last one on a changelog partition is the truth.

    Attributes
    ----------
    format
        Version of this layout.
    seq
        Number of the commit, from 1, without gaps.
    generation
        Number of the owner: one more at every take-over of the task.
    positions
        Next offset to read, by input topic (name in use).
    life
        A random name that a changelog gets with its first commit, and anew when it is rewritten as a whole: local
        files of an earlier life are of another history, however well their numbers fit.
    changes, outputs
        Under at_least_once what the commit consists of, to be forwarded from here; empty under exactly_once.
    """

    format: int
    seq: int
    generation: int
    positions: dict[str, int]
    life: str = ""
    changes: tuple[StoredChange, ...] = ()
    outputs: tuple[StoredOutput, ...] = ()


def new_life() -> str:
    """Return a name for a changelog that begins."""
    return uuid.uuid4().hex


class _Version(msgspec.Struct):
    format: int


_encoder: Final = msgspec.msgpack.Encoder()
_version_decoder: Final = msgspec.msgpack.Decoder(_Version)
_decoder: Final = msgspec.msgpack.Decoder(CommitRecord)


def state_key(key: str) -> bytes:
    """Return the record key of a state key."""
    return _STATE_PREFIX + key.encode()


def parse_state_key(key: bytes | None) -> str | None:
    """Return the state key of a record key, or None for a record that is no state (the commit record)."""
    if key is None or not key.startswith(_STATE_PREFIX):
        return None
    return key[len(_STATE_PREFIX) :].decode()


def pack(value: bytes) -> bytes:
    """Encode a value for the changelog, compressed where that is worth it."""
    if len(value) <= _COMPRESS_ABOVE_BYTES:
        return _PLAIN + value
    return _ZSTD + zstandard.ZstdCompressor(level=1).compress(value)


def unpack(stored: bytes) -> bytes:
    """Decode a value of the changelog."""
    mark, body = stored[:1], stored[1:]
    if mark == _PLAIN:
        return body
    if mark == _ZSTD:
        return zstandard.ZstdDecompressor().decompress(body)
    msg = f"a changelog value starts with byte {mark.hex() or 'nothing'}: expected 00 (plain) or 01 (zstd)"
    raise ChangelogFormatError(msg)


def encode_commit(record: CommitRecord) -> bytes:
    """Encode a commit record for the changelog."""
    return pack(_encoder.encode(record))


def decode_commit(stored: bytes) -> CommitRecord:
    """Decode a commit record; refuses one of a newer format."""
    try:
        body = unpack(stored)
        version = _version_decoder.decode(body).format
        if version > FORMAT:
            msg = (
                f"the commit record has format {version}: expected at most {FORMAT}; a newer version has written"
                " this changelog, so run that one, or start with an application_id of its own"
            )
            raise ChangelogFormatError(msg)
        return _decoder.decode(body)
    except (msgspec.MsgspecError, zstandard.ZstdError) as error:
        msg = f"the commit record of {len(stored)} bytes cannot be read: {error}"
        raise ChangelogFormatError(msg) from error


def store_changes(changes: Sequence[Change]) -> tuple[StoredChange, ...]:
    """Embed changes into a commit record."""
    return tuple(StoredChange(change.key, change.value) for change in changes)


def store_outputs(outputs: Sequence[Output]) -> tuple[StoredOutput, ...]:
    """Embed outputs into a commit record."""
    return tuple(
        StoredOutput(o.topic, o.key, o.value, tuple((name, value) for name, value in o.headers), o.partition)
        for o in outputs
    )


def load_changes(record: CommitRecord) -> tuple[Change, ...]:
    """Take the changes out of a commit record."""
    return tuple(Change(key=each.key, value=each.value) for each in record.changes)


def load_outputs(record: CommitRecord) -> tuple[Output, ...]:
    """Take the outputs out of a commit record."""
    return tuple(
        Output(topic=o.topic, key=o.key, value=o.value, headers=o.headers, partition=o.partition)
        for o in record.outputs
    )


def change_records(changes: Sequence[Change], *, max_bytes: int) -> list[tuple[bytes, bytes | None]]:
    """Return changelog key and value for every change, each within what the topic takes."""
    records = []
    for change in changes:
        value = None if change.value is None else pack(change.value)
        check_size(f"state key {change.key!r}", value, max_bytes=max_bytes)
        records.append((state_key(change.key), value))
    return records


def check_size(what: str, value: bytes | None, *, max_bytes: int) -> None:
    """Raise where a value is larger than its topic takes; the broker would refuse it in the middle of a commit."""
    if value is not None and len(value) > max_bytes - _RECORD_OVERHEAD_BYTES:
        msg = (
            f"{what} is {len(value)} bytes: expected at most {max_bytes - _RECORD_OVERHEAD_BYTES};"
            " lower PLUMBLINE_ENGINE_COMMIT_MAX_RECORDS or PLUMBLINE_ENGINE_COMMIT_MAX_BYTES"
        )
        raise CommitTooLargeError(msg)
