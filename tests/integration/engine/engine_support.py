"""A counting Processor, and settings for small topics: what the engine's integration tests run."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition

from schemas import topics
from schemas.topics import TOPICS
from streams.engine.clients import make_reader, start_reader
from streams.engine.ends import end_offsets
from streams.engine.follower import Follower
from streams.engine.processor import Change, CommitContext, DeadLetter, Output, Record, Staged
from streams.engine.topics import TopicNames
from streams.settings import Settings

PREDICTIONS = topics.PREDICTIONS.name
LABELS = topics.LABELS.name
PROFILES = topics.PROFILES.name


def make_settings(bootstrap_servers: str, **engine: Any) -> Settings:
    """Settings of an application of its own, with its own topics."""
    unique = uuid.uuid4().hex[:8]
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap_servers, "connect_timeout_seconds": 10},
            "topics": {"prefix": f"{unique}.", "events_partitions": 2, "models_partitions": 1},
            "engine": {
                "application_id": f"test-{unique}",
                "commit_interval_seconds": 0.05,
                "session_timeout_seconds": 3.0,
                "heartbeat_interval_seconds": 1.0,
                **engine,
            },
            "web": {"port": 0},
        }
    )


class CountingProcessor:
    """Counts records by topic; says with every commit which offsets it took and how many there were before."""

    def __init__(self, partition: int, trouble: Callable[[str, Record], None] | None = None) -> None:
        self.partition = partition
        self.total = 0
        self.n_restored = 0
        self._trouble = trouble
        self._offsets: dict[str, list[int]] = {}
        self._letters: list[DeadLetter] = []

    def restore(self, key: str, value: bytes | None) -> None:
        assert key == "total"
        self.n_restored += 1
        self.total = 0 if value is None else int(value)

    def restored(self) -> None:
        pass

    def add(self, topic: str, records: Sequence[Record]) -> None:
        for record in records:
            if self._trouble is not None:
                self._trouble(topic, record)
            if record.value == b"broken":
                letter = DeadLetter(record=record, reason="malformed", message="value is b'broken': expected b'x'")
                self._letters.append(letter)
        self._offsets.setdefault(topic, []).extend(record.offset for record in records)

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        offsets, self._offsets = self._offsets, {}
        letters, self._letters = self._letters, []
        n = sum(map(len, offsets.values()))
        if not n:
            return Staged()
        body = {"partition": self.partition, "seq": context.seq, "before": self.total, "offsets": offsets}
        return Staged(
            outputs=[Output(topic=PROFILES, key=b"k", value=msgspec.json.encode(body))],
            changes=[Change(key="total", value=b"%d" % (self.total + n))],
            dead_letters=letters,
            overlay=self.total + n,
            counts={"counted": n},
        )

    def apply(self, staged: Staged) -> None:
        if staged.overlay is not None:
            self.total = staged.overlay


async def read_all(settings: Settings, topic: str) -> list[Record]:
    """Everything a topic holds now, as a reader of committed records sees it."""
    await _markers_are_written(settings, topic)
    records: list[Record] = []
    follower = Follower(settings, TopicNames(settings), topics=[topic], on_record=lambda _, r: records.append(r))
    await follower.start()
    try:
        await follower.caught_up()
    finally:
        await follower.stop()
    return records


async def _markers_are_written(settings: Settings, topic: str) -> None:
    """Wait out the moment in which a commit holds already, and a partition has not got its marker yet."""
    names = TopicNames(settings)
    spread = next(each.spread for each in TOPICS if each.name == topic)
    wanted = [TopicPartition(names.in_use(topic), partition) for partition in range(names.n_partitions(spread))]
    stable, all_ = (
        make_reader(settings, client="stable"),
        make_reader(settings, client="all", sees_open_transactions=True),
    )
    try:
        for reader in (stable, all_):
            await start_reader(reader, settings)
        with contextlib.suppress(TimeoutError):  # one that stays open is nobody's commit
            async with asyncio.timeout(5):
                while await end_offsets(stable, wanted, settings) != await end_offsets(all_, wanted, settings):
                    await asyncio.sleep(0.01)
    finally:
        await stable.stop()
        await all_.stop()


def seen_offsets(profiles: list[Record]) -> Counter[tuple[int, str, int]]:
    """How often the outputs say that a record (partition, topic, offset) was counted."""
    seen: Counter[tuple[int, str, int]] = Counter()
    for record in profiles:
        body = msgspec.json.decode(record.value or b"")
        seen.update(
            (body["partition"], topic, offset) for topic, offsets in body["offsets"].items() for offset in offsets
        )
    return seen


def check_chain(profiles: list[Record]) -> None:
    """Every commit builds on the one before: seq without gaps, and the total it started from."""
    total: Counter[int] = Counter()
    seq: Counter[int] = Counter()
    for record in profiles:
        body = msgspec.json.decode(record.value or b"")
        partition = body["partition"]
        assert body["before"] == total[partition], body
        assert body["seq"] > seq[partition], body
        seq[partition] = body["seq"]
        total[partition] += sum(map(len, body["offsets"].values()))
