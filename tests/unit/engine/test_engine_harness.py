"""The harness plays batches, aborts and restarts like a task does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.engine.harness import Harness
from streams.engine.processor import Change, CommitContext, DeadLetter, ListRecord, Output, Record, Staged


class Summing:
    """Sums values by key; heartbeats say the sum of all."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}
        self._pending: dict[str, int] = {}
        self._letters: list[DeadLetter] = []

    def restore(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.sums.pop(key, None)
        else:
            self.sums[key] = int(value)

    def restored(self) -> None: ...

    def add(self, topic: str, records: Sequence[Record]) -> None:
        for record in records:
            if not (record.value or b"").isdigit():
                self._letters.append(DeadLetter(record=record, reason="malformed", message="no digits"))
                continue
            key = (record.key or b"").decode()
            self._pending[key] = self._pending.get(key, self.sums.get(key, 0)) + int(record.value or b"0")

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        pending, self._pending = self._pending, {}
        letters, self._letters = self._letters, []
        said = [str(sum(self.sums.values())).encode()] if heartbeat else []
        return Staged(
            outputs=[Output(topic="out", key=b"%d" % context.seq, value=value) for value in said],
            changes=[Change(key=key, value=b"%d" % value if value else None) for key, value in pending.items()],
            dead_letters=letters,
            overlay=pending,
            counts={"n": len(pending)},
        )

    def apply(self, staged: Staged) -> None:
        for key, value in staged.overlay.items():
            if value:
                self.sums[key] = value
            else:
                self.sums.pop(key, None)


def numbers(n: int) -> list[ListRecord]:
    return [ListRecord(topic="t", offset=i, key=b"%d" % (i % 3), value=b"%d" % i) for i in range(n)]


@pytest.mark.parametrize("batch_sizes", [1, 7, 100, (1, 5, 2)])
@pytest.mark.parametrize("restart_after", [(), (1,), (1, 2, 3)])
def test_batches_and_restarts_make_no_difference(
    batch_sizes: int | tuple[int, ...], restart_after: tuple[int, ...]
) -> None:
    harness = Harness(Summing)
    harness.feed(numbers(30), batch_sizes=batch_sizes, restart_after=restart_after)
    processor = harness.processor
    assert isinstance(processor, Summing)
    assert processor.sums == {"0": 135, "1": 145, "2": 155}
    assert harness.positions == {"t": 30}


def test_an_abort_leaves_nothing_behind() -> None:
    harness = Harness(Summing)
    harness.feed(numbers(3))
    harness.add(numbers(6)[3:])
    assert not harness.stage().is_empty
    harness.restart()
    assert harness.positions == {"t": 3}
    harness.heartbeat(now_ms=5)
    assert [output.value for output in harness.outputs] == [b"3"]


def test_seq_counts_commits_and_dead_letters_are_kept() -> None:
    harness = Harness(Summing)
    harness.feed([ListRecord(topic="t", value=b"?"), *numbers(1)], batch_sizes=1)
    harness.commit()
    assert [letter.reason for letter in harness.dead_letters] == ["malformed"]
    assert harness.seq == 2
    assert harness.counts == {"n": 1}


def test_a_batch_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_sizes"):
        Harness(Summing).feed(numbers(1), batch_sizes=0)
