"""Where keys go, found out from a log; and new places of ids that are known by hash alone."""

from __future__ import annotations

import numpy as np
import pytest

from streams.engine.errors import TopicLayoutError
from streams.engine.partitioning import PARTITIONERS, PartitionerSurvey, Places, by_crc32, by_murmur2
from streams.ingest.values import hashes


def test_the_partitioners_are_those_of_the_clients() -> None:
    # From the Java client's own test of Utils.murmur2, and from librdkafka's of its consistent partitioner.
    assert by_murmur2(b"21", 2**31) == -973932308 & 0x7FFFFFFF
    assert by_murmur2(b"foobar", 2**31) == -790332482 & 0x7FFFFFFF
    assert by_crc32(b"123456789", 2**32) == 0xCBF43926


@pytest.mark.parametrize("name", sorted(PARTITIONERS))
def test_a_log_shows_its_partitioner(name: str) -> None:
    survey = PartitionerSurvey(5)
    keys = [f"id-{i}".encode() for i in range(500)]
    for key in keys:
        survey.see(key, PARTITIONERS[name](key, 5))
    survey.see(b"by hand", 0)
    assert survey.verdict("auto") == name
    assert survey.verdict(name) == name
    other = next(each for each in PARTITIONERS if each != name)
    with pytest.raises(TopicLayoutError, match=f"expected at least 99% for {other}"):
        survey.verdict(other)
    for i, key in enumerate(keys):
        survey.see(key, i % 5)
    with pytest.raises(TopicLayoutError, match="none that is known"):
        survey.verdict("auto")


def test_with_one_partition_or_without_keys_the_default_is_taken() -> None:
    survey = PartitionerSurvey(1)
    survey.see(b"a", 0)
    assert (survey.verdict("auto"), survey.verdict("crc32")) == ("murmur2", "crc32")
    assert PartitionerSurvey(7).verdict("auto") == "murmur2"


def test_ids_are_placed_by_their_hash_and_strangers_are_not() -> None:
    ids = [f"id-{i}" for i in range(1_000)]
    high, low = hashes(id_.encode() for id_ in ids)
    low[0] += np.uint64(1)  # half of a hash in common is not the same id
    places = Places(np.append(high, high[5:9]), np.append(low, low[5:9]), 7)
    known = [id_.encode() for id_ in ids[:600]] + [b"nobody asked"]
    places.learn(known, *hashes(known))
    for name, partitioner in PARTITIONERS.items():
        found = places.place(name)(high, low)
        assert found[1:600].tolist() == [partitioner(id_.encode(), 7) for id_ in ids[1:600]]
        assert set(found[600:].tolist()) == {-1} == {int(found[0])}
    empty = Places(high[:0], low[:0], 3)
    empty.learn(known, *hashes(known))
    assert empty.place("crc32")(high[:2], low[:2]).tolist() == [-1, -1]
