"""When a batch is cut: by age, size, or because nothing is left to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.engine.processor import Record
from streams.settings import EngineSettings

_COMMIT_SHARE: Final = 5
"""Drained batches wait five times what a commit takes: commits then never use more than a sixth of the time."""
POSITIONS_INTERVAL_SECONDS: Final = 1.0
"""With nothing to say, positions are committed this often at most."""


@dataclass(slots=True, kw_only=True)
class Pending:
    """The batch that is being collected."""

    n_records: int = 0
    n_bytes: int = 0
    since: float | None = None
    """When its first record was taken."""
    first: dict[str, int] = field(default_factory=dict)
    """First offset by topic."""
    last: dict[str, int] = field(default_factory=dict)
    n_by_topic: dict[str, int] = field(default_factory=dict)
    last_timestamp_ms: int | None = None
    """Append time of the latest record."""

    def add(self, topic: str, records: Sequence[Record], *, now: float) -> None:
        """Count a chunk in."""
        if self.since is None:
            self.since = now
        self.n_records += len(records)
        self.n_by_topic[topic] = self.n_by_topic.get(topic, 0) + len(records)
        self.n_bytes += sum(map(len, [record.value or b"" for record in records]))
        self.first.setdefault(topic, records[0].offset)
        self.last[topic] = records[-1].offset
        self.last_timestamp_ms = max(self.last_timestamp_ms or 0, records[-1].timestamp)

    def describe(self, partition: int) -> str:
        """Name topic, partition and offsets, for errors."""
        if not self.first:
            return f"partition {partition}, no record"
        return "; ".join(describe(topic, partition, first, self.last[topic]) for topic, first in self.first.items())


def describe(topic: str, partition: int, first: int, last: int) -> str:
    """Name a run of records, for errors."""
    return f"topic {topic}, partition {partition}, offset {first}" + ("" if last == first else f" to {last}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRules:
    """The rules, from the settings; `limit` bounds the records further while a broken one is hunted."""

    interval_seconds: float
    when_drained_seconds: float
    max_records: int
    max_bytes: int

    @classmethod
    def of(cls, settings: EngineSettings) -> CutRules:
        """Take the rules from the settings."""
        return cls(
            interval_seconds=settings.commit_interval_seconds,
            when_drained_seconds=settings.commit_when_drained_seconds,
            max_records=settings.commit_max_records,
            max_bytes=settings.commit_max_bytes,
        )

    def is_full(self, pending: Pending, *, limit: int | None = None) -> bool:
        """Whether the batch takes no more."""
        most = self.max_records if limit is None else min(limit, self.max_records)
        return pending.n_records >= most or pending.n_bytes >= self.max_bytes

    def is_old(self, pending: Pending, *, now: float) -> bool:
        """Whether the batch's first record has waited for an interval."""
        return pending.since is not None and now - pending.since >= self.interval_seconds

    def drained_gap_seconds(self, last_commit_seconds: float) -> float:
        """Return the least time between commits that are cut only because the inputs are drained."""
        return min(self.interval_seconds, max(self.when_drained_seconds, _COMMIT_SHARE * last_commit_seconds))
