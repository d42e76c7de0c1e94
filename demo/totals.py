"""The profiler's own books: cumulative totals per source partition, from its last sign of life."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from demo.errors import DemoError
from demo.reading import TopicReader
from schemas.profiles import Heartbeat, ProfileRecord, Totals, Watermarks

_PATIENCE_SECONDS: Final = 45.0
_decode = msgspec.msgpack.Decoder(ProfileRecord).decode


@dataclass(slots=True)
class TotalsBook:
    """Folds `ml.profiles.v1`: what each source partition last said of its totals and watermarks."""

    _totals: dict[int, dict[str, dict[str, int]]] = field(default_factory=dict)
    _watermarks: dict[int, dict[str, Watermarks]] = field(default_factory=dict)
    _seq: dict[int, int] = field(default_factory=dict)
    n_partitions: int = 0

    def take(self, record: ProfileRecord) -> None:
        """Fold one record; what is older than the last word of its partition changes nothing."""
        partition = record.source_partition
        if record.seq < self._seq.get(partition, -1):
            return
        self._seq[partition] = record.seq
        if isinstance(record, Heartbeat):
            self.n_partitions = record.n_partitions
            self._totals[partition] = {key: dict(each) for key, each in record.totals.items()}
            self._watermarks[partition] = dict(record.watermarks)
        elif partition in self._totals:
            self._totals[partition][f"{record.environment}/{record.model_name}"] = dict(record.totals)

    def has_reached(self, not_before_ms: int, keys: Iterable[str]) -> bool:
        """Whether a Heartbeat of every source partition has told of the final watermarks of these models.

        A delta tells of one model alone; only a Heartbeat has everything, also what belongs to no model.
        """
        wanted = list(keys)
        return bool(self.n_partitions) and all(
            _is_past(self._watermarks.get(partition, {}).get(key), not_before_ms)
            for partition in range(self.n_partitions)
            for key in wanted
        )

    def sums(self) -> dict[str, int]:
        """All partitions and models together, by name of `Totals`."""
        sums: Counter[str] = Counter()
        for by_model in self._totals.values():
            for totals in by_model.values():
                sums.update(totals)
        names = (Totals.PREDICTIONS, *Totals.PREDICTION_OUTCOMES, Totals.LABELS, *Totals.LABEL_OUTCOMES)
        return {name: sums.get(name, 0) for name in (*names, Totals.REVISED, Totals.RETRACTED)}


def _is_past(watermarks: Watermarks | None, not_before_ms: int) -> bool:
    if watermarks is None or watermarks.predictions_ms is None or watermarks.labels_ms is None:
        return False
    return min(watermarks.predictions_ms, watermarks.labels_ms) >= not_before_ms


async def read_totals(reader: TopicReader, *, not_before_ms: int, keys: Iterable[str]) -> dict[str, int]:
    """Read on until every source partition has reported past the final watermark, and add up.

    Parameters
    ----------
    reader
        Of `ml.profiles.v1`, standing before the final watermarks were sent.
    not_before_ms
        The final watermark.
    keys
        Models, by `environment/model`, whose watermarks have to be there.
    """
    book = TotalsBook()
    wanted = list(keys)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not book.has_reached(not_before_ms, wanted):
                for _, record in await reader.read_to_end():
                    book.take(_decode(record.value or b""))
                await asyncio.sleep(0.05)
    except TimeoutError:
        msg = (
            f"no sign of life past the final watermark from every source partition within {_PATIENCE_SECONDS:g} s:"
            " expected Heartbeats on ml.profiles.v1"
        )
        raise DemoError(msg) from None
    return book.sums()
