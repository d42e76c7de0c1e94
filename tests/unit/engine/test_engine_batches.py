"""Cutting rules, the inbox, and the hunt for a broken record."""

from __future__ import annotations

import pytest

from streams.engine.cutting import CutRules, Pending
from streams.engine.errors import ProcessingError
from streams.engine.inbox import Inbox
from streams.engine.poison import PoisonHunt
from streams.engine.processor import ListRecord

RULES = CutRules(interval_seconds=0.2, when_drained_seconds=0.02, max_records=100, max_bytes=1_000)


def records(start: int, n: int, *, value: bytes | None = b"x", topic: str = "t") -> list[ListRecord]:
    return [ListRecord(topic=topic, offset=start + i, value=value, timestamp=start + i) for i in range(n)]


def pending(n: int, *, value: bytes | None = b"x", now: float = 0.0) -> Pending:
    batch = Pending()
    batch.add("t", records(10, n, value=value), now=now)
    return batch


def test_a_batch_is_full_by_records_by_bytes_or_by_the_limit_of_a_hunt() -> None:
    assert not RULES.is_full(pending(99))
    assert RULES.is_full(pending(100))
    assert RULES.is_full(pending(2, value=b"x" * 500))
    assert RULES.is_full(pending(3), limit=3)
    assert not RULES.is_full(pending(2, value=None), limit=3)


def test_a_batch_is_old_an_interval_after_its_first_record() -> None:
    batch = pending(1, now=5.0)
    batch.add("t", records(11, 1), now=5.19)
    assert not RULES.is_old(batch, now=5.19)
    assert RULES.is_old(batch, now=5.2)
    assert not RULES.is_old(Pending(), now=100.0)


@pytest.mark.parametrize(("took", "gap"), [(0.0, 0.02), (0.01, 0.05), (1.0, 0.2)])
def test_drained_batches_wait_longer_where_commits_take_longer(took: float, gap: float) -> None:
    assert RULES.drained_gap_seconds(took) == pytest.approx(gap)


def test_a_pending_batch_names_its_offsets() -> None:
    batch = pending(3)
    batch.add("u", records(4, 1), now=0.0)
    assert batch.describe(2) == "topic t, partition 2, offset 10 to 12; topic u, partition 2, offset 4"
    assert batch.last_timestamp_ms == 12
    assert batch.n_by_topic == {"t": 3, "u": 1}


def test_the_inbox_keeps_order_splits_chunks_and_drops_what_it_had() -> None:
    inbox = Inbox(high_water=4)
    inbox.reset({"t": 2, "u": 0})
    inbox.offer("t", records(0, 5))
    inbox.offer("u", records(0, 1))
    assert inbox.next_positions == {"t": 5, "u": 1}
    assert inbox.is_full
    topic, chunk = inbox.take(2) or ("", [])
    assert (topic, [r.offset for r in chunk]) == ("t", [2, 3])
    assert inbox.has("t")
    assert inbox.is_low
    assert [r.offset for r in (inbox.take(10) or ("", []))[1]] == [4]
    assert not inbox.has("t")
    assert (inbox.take(10) or ("", []))[0] == "u"
    assert inbox.take(10) is None


def test_stop_ends_at_the_first_crash_and_names_the_place() -> None:
    hunt = PoisonHunt("stop", partition=3)
    with pytest.raises(ProcessingError, match=r"KeyError: 'x' at topic t, partition 3, offset 10 to 12"):
        hunt.crashed(pending(3), start={}, error=KeyError("x"))


def test_a_crash_without_records_is_not_a_records_fault() -> None:
    with pytest.raises(ProcessingError, match="no record"):
        PoisonHunt("dead_letter", partition=0).crashed(Pending(), start={}, error=ValueError())


@pytest.mark.parametrize("poisonous", [0, 7, 12, 31])
def test_the_hunt_finds_the_one_record(poisonous: int) -> None:
    hunt = PoisonHunt("dead_letter", partition=0)
    position, runs = 0, 0
    while position < 32:
        runs += 1
        assert runs < 60
        n = min(32 - position, hunt.limit or 32)
        batch = Pending()
        batch.add("t", records(position, n), now=0.0)
        offsets = set(range(position, position + n)) - {offset for _, offset in hunt.poison}
        if poisonous in offsets:
            hunt.crashed(batch, start={"t": position}, error=ValueError("boom"))
        else:
            position += n
            aside = dict(hunt.poison)
            hunt.committed({"t": position})
            if position > poisonous:
                assert aside in ({("t", poisonous): "ValueError: boom"}, {})
    assert hunt.limit is None
    assert not hunt.poison
