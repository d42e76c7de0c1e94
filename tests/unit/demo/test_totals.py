from __future__ import annotations

import msgspec
import pytest

from demo import totals as module
from demo.errors import DemoError
from demo.totals import TotalsBook, read_totals
from schemas.profiles import Heartbeat, ProfileDelta, Watermarks
from streams.engine.processor import ListRecord

KEY = "production/flight-delay"
DONE = Watermarks(1_000, 1_000)


def _beat(partition: int, seq: int, joined: int, watermarks: Watermarks = DONE) -> Heartbeat:
    return Heartbeat(
        source_partition=partition, n_partitions=2, seq=seq, now_ms=0, caught_up=True,
        watermarks={KEY: watermarks}, totals={KEY: {"predictions_joined": joined}, "": {"predictions_dead": 1}},
    )  # fmt: skip


def _delta(partition: int, seq: int, joined: int) -> ProfileDelta:
    return ProfileDelta(
        environment="production", model_name="flight-delay", source_partition=partition, seq=seq, watermarks=DONE,
        totals={"predictions_joined": joined},
    )  # fmt: skip


def test_the_last_word_of_each_partition_counts_and_partitions_add() -> None:
    book = TotalsBook()
    for record in (_beat(0, 1, 5), _beat(1, 4, 7), _delta(0, 2, 6), _delta(0, 1, 99)):
        book.take(record)
    assert book.sums()["predictions_joined"] == 13
    assert book.sums()["predictions_dead"] == 2
    assert book.sums()["labels_orphan"] == 0


def test_it_waits_for_the_final_watermark_of_every_partition() -> None:
    book = TotalsBook()
    book.take(_beat(0, 1, 5))
    assert not book.has_reached(1_000, [KEY])
    book.take(_beat(1, 1, 5, Watermarks(1_000, None)))
    assert not book.has_reached(1_000, [KEY])
    book.take(_beat(1, 2, 5))
    assert book.has_reached(1_000, [KEY])
    assert not book.has_reached(1_001, [KEY])


def test_a_delta_alone_does_not_tell_what_belongs_to_no_model() -> None:
    book = TotalsBook()
    book.take(_beat(0, 1, 5))
    book.take(_delta(1, 9, 7))
    assert not book.has_reached(1_000, [KEY])
    book.take(_beat(1, 9, 7))
    assert book.has_reached(1_000, [KEY])


class _Reader:
    def __init__(self, batches: list[list[Heartbeat | ProfileDelta]]) -> None:
        self._batches = batches

    async def read_to_end(self) -> list[tuple[str, ListRecord]]:
        batch = self._batches.pop(0) if self._batches else []
        return [("t", ListRecord(topic="t", value=msgspec.msgpack.encode(each))) for each in batch]


async def test_it_reads_on_until_all_have_reported() -> None:
    reader = _Reader([[_beat(0, 1, 5)], [], [_beat(1, 1, 7)]])
    found = await read_totals(reader, not_before_ms=1_000, keys=[KEY])  # type: ignore[arg-type]
    assert found["predictions_joined"] == 12


async def test_a_partition_that_stays_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    with pytest.raises(DemoError, match="every source partition"):
        await read_totals(_Reader([[_beat(0, 1, 5)]]), not_before_ms=1_000, keys=[KEY])  # type: ignore[arg-type]
