"""The changelog's codec: what goes in comes out, and what is newer is refused."""

from __future__ import annotations

import msgspec
import pytest

from streams.engine import changelog
from streams.engine.changelog import FORMAT, CommitRecord
from streams.engine.errors import ChangelogFormatError, CommitTooLargeError
from streams.engine.processor import EVERY_PARTITION, Change, Output

CHANGES = [Change(key="a", value=b"1"), Change(key="ü/b", value=None), Change(key="big", value=b"x" * 5_000)]
OUTPUTS = [
    Output(topic="ml.profiles.v1", key=b"k", value=b"v", headers=(("h", b"1"),), partition=3),
    Output(topic="ml.metrics.v1", key=b"k", value=None, partition=EVERY_PARTITION),
]


def make_record(**more: object) -> CommitRecord:
    return msgspec.structs.replace(
        CommitRecord(format=FORMAT, seq=7, generation=2, positions={"p.ml.labels.v1": 12}), **more
    )


def test_a_commit_record_comes_back_with_all_that_was_embedded() -> None:
    record = make_record(changes=changelog.store_changes(CHANGES), outputs=changelog.store_outputs(OUTPUTS))
    decoded = changelog.decode_commit(changelog.encode_commit(record))
    assert decoded == record
    assert list(changelog.load_changes(decoded)) == CHANGES
    assert list(changelog.load_outputs(decoded)) == OUTPUTS


def test_a_commit_record_without_embedded_parts_is_small() -> None:
    assert len(changelog.encode_commit(make_record())) < 80


def test_a_newer_format_is_refused_with_both_versions_named() -> None:
    newer = changelog.pack(msgspec.msgpack.encode({"format": FORMAT + 1, "everything": "else"}))
    with pytest.raises(ChangelogFormatError, match=f"format {FORMAT + 1}: expected at most {FORMAT}"):
        changelog.decode_commit(newer)


@pytest.mark.parametrize("stored", [b"", b"\x07abc", b"\x00\xff\xff", b"\x01not zstd"])
def test_what_cannot_be_read_says_so(stored: bytes) -> None:
    with pytest.raises(ChangelogFormatError):
        changelog.decode_commit(stored)


@pytest.mark.parametrize("size", [0, 1, 1_000, 1_001, 1_000_000])
def test_values_come_back_and_large_ones_are_compressed(size: int) -> None:
    value = b"ab" * (size // 2) + b"c" * (size % 2)
    stored = changelog.pack(value)
    assert changelog.unpack(stored) == value
    assert len(stored) < max(1_002, size // 2)


def test_state_keys_and_the_commit_key_do_not_meet() -> None:
    assert changelog.parse_state_key(changelog.state_key("commit")) == "commit"
    assert changelog.parse_state_key(changelog.COMMIT_KEY) is None
    assert changelog.parse_state_key(None) is None


def test_a_change_that_its_topic_would_refuse_is_named() -> None:
    noise = b"".join(i.to_bytes(2, "little") for i in range(0, 65_536, 3))  # does not shrink much
    with pytest.raises(CommitTooLargeError, match=r"state key 'model' is \d+ bytes: expected at most 1976"):
        changelog.change_records([Change(key="model", value=noise)], max_bytes=3_000)
