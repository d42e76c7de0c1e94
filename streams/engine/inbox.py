"""A task's bounded queue: chunks of records as they were fetched, by topic, in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from streams.engine.processor import Record


class Inbox:
    """Chunks between the fetch loop and the task.

    Parameters
    ----------
    high_water
        Number of records from which on `is_full`; it takes more all the same, since they are fetched already.
    """

    def __init__(self, high_water: int) -> None:
        self._high_water = high_water
        self._chunks: deque[tuple[str, Sequence[Record]]] = deque()
        self._by_topic: Counter[str] = Counter()
        self.n_records = 0
        self.next_positions: dict[str, int] = {}
        """Next offset to fetch, by topic: where a seek has to go for the queue to stay gapless."""

    def reset(self, positions: Mapping[str, int]) -> None:
        """Forget everything; the next record expected is that of the positions."""
        self._chunks.clear()
        self._by_topic.clear()
        self.n_records = 0
        self.next_positions = dict(positions)

    def offer(self, topic: str, records: Sequence[Record]) -> None:
        """Append a chunk; records that were queued before are left out."""
        expected = self.next_positions.get(topic, 0)
        if records and records[0].offset < expected:
            records = [record for record in records if record.offset >= expected]
        if not records:
            return
        self._chunks.append((topic, records))
        self._by_topic[topic] += len(records)
        self.n_records += len(records)
        self.next_positions[topic] = records[-1].offset + 1

    def take(self, max_records: int) -> tuple[str, Sequence[Record]] | None:
        """Take the oldest chunk, or its head where it is longer than allowed."""
        if not self._chunks:
            return None
        topic, records = self._chunks.popleft()
        if len(records) > max_records:
            self._chunks.appendleft((topic, records[max_records:]))
            records = records[:max_records]
        self._by_topic[topic] -= len(records)
        self.n_records -= len(records)
        return topic, records

    def has(self, topic: str) -> bool:
        """Whether records of a topic are queued."""
        return self._by_topic[topic] > 0

    @property
    def is_full(self) -> bool:
        """Whether the partition should be paused."""
        return self.n_records >= self._high_water

    @property
    def is_low(self) -> bool:
        """Whether a paused partition should be resumed."""
        return self.n_records <= self._high_water // 2
