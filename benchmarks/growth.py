"""How stage 1's cost per event grows with features, models, segments, partitions and pending predictions.

In memory, with the real ProfilerProcessor: one thing grows by a factor of 100, the others stay as they are.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import msgspec

from benchmarks.events import START
from schemas import topics
from schemas.models import ModelSpec
from schemas.references import BuiltFrom
from streams.control.bins import reference_from_columns
from streams.control.view import ControlView
from streams.engine.processor import CommitContext, ListRecord
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings

CHUNK: Final = 500
_POOL: Final = 1_000
_PER_COMMIT: Final = 50_000
"""Records of a commit over all partitions, as one worker at full load cuts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the events and their models look like."""

    features: int = 20
    models: int = 1
    segments: int = 1
    """Values of one segment dimension."""
    partitions: int = 10
    pending: int = 20_000
    """Predictions that wait for labels while it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One point of a curve."""

    grows: str
    size: int
    us_per_event: float
    changelog_bytes: float
    """Per prediction, before compression."""
    deltas_bytes: float
    """Of profile deltas, per event."""


CURVES: Final[dict[str, tuple[int, ...]]] = {
    "features": (5, 50, 500),
    "models": (1, 10, 100),
    "segments": (1, 10, 100),
    "partitions": (1, 10, 100),
    "pending": (20_000, 200_000, 2_000_000),
}


def measure(*, n_events: int = 60_000, curves: dict[str, tuple[int, ...]] = CURVES) -> list[Growth]:
    """Measure every point of every curve."""
    rows = []
    for name, sizes in curves.items():
        for size in sizes:
            shape = replace(Shape(), **{name: size})
            n = max(6_000, min(n_events, n_events * 50 // shape.features))
            rows.append(_measure(name, size, shape, n))
    return rows


def _measure(name: str, size: int, shape: Shape, n_events: int) -> Growth:
    view = _control(shape)
    settings = Settings.model_validate({"topics": {"events_partitions": shape.partitions}})
    tasks = [_Task(p, settings, view) for p in range(shape.partitions)]
    make = _Maker(shape)
    _fill(tasks, make, shape.pending)
    n_pairs = n_events // 2
    batches = [list(make.pairs(min(_PER_COMMIT // 2, n_pairs - i))) for i in range(0, n_pairs, _PER_COMMIT // 2)]
    gc.collect()
    before = sum(task.changelog_bytes for task in tasks), sum(task.delta_bytes for task in tasks)
    begin = time.process_time()
    for batch in batches:
        for task in tasks:
            mine = batch[task.partition :: shape.partitions]
            task.commit([prediction for prediction, _ in mine], [label for _, label in mine])
    seconds = time.process_time() - begin
    return Growth(
        grows=name,
        size=size,
        us_per_event=1e6 * seconds / (2 * n_pairs),
        changelog_bytes=(sum(task.changelog_bytes for task in tasks) - before[0]) / n_pairs,
        deltas_bytes=(sum(task.delta_bytes for task in tasks) - before[1]) / (2 * n_pairs),
    )


def _fill(tasks: list[_Task], make: _Maker, n_pending: int) -> None:
    """Let every task hold its share of predictions without labels."""
    while n_pending > 0:
        turn = min(n_pending, _PER_COMMIT)
        batch = list(make.pairs(turn, small=True))
        for task in tasks:
            task.commit([prediction for prediction, _ in batch[task.partition :: len(tasks)]], [])
        n_pending -= turn


class _Task:
    """A processor of one partition, and how much it writes."""

    def __init__(self, partition: int, settings: Settings, view: ControlView) -> None:
        self.partition = partition
        self.changelog_bytes = 0
        self.delta_bytes = 0
        self._processor = ProfilerProcessor(partition=partition, settings=settings, control=view)
        self._processor.restored()
        self._seq = 0

    def commit(self, predictions: list[ListRecord], labels: list[ListRecord]) -> None:
        for topic, records in ((topics.PREDICTIONS.name, predictions), (topics.LABELS.name, labels)):
            for start in range(0, len(records), CHUNK):
                self._processor.add(topic, records[start : start + CHUNK])
        self._seq += 1
        context = CommitContext(
            partition=self.partition, seq=self._seq, positions={}, previous_positions={}, now_ms=0, caught_up=False
        )
        staged = self._processor.stage(context, heartbeat=False)
        self.changelog_bytes += sum(len(change.value or b"") for change in staged.changes)
        self.delta_bytes += sum(len(output.value or b"") for output in staged.outputs)
        self._processor.apply(staged)


class _Maker:
    """Makes predictions and their labels; features come from a pool."""

    def __init__(self, shape: Shape) -> None:
        draw = random.Random(shape.features)
        encode = msgspec.json.Encoder().encode
        self._shape = shape
        self._features = [
            encode({f"n{j:03d}": draw.gauss(0, 1) for j in range(shape.features)})
            for _ in range(min(_POOL, 50_000 // shape.features))
        ]
        self._number = 0

    def pairs(self, n: int, *, small: bool = False) -> Iterator[tuple[ListRecord, ListRecord]]:
        shape, first = self._shape, self._number
        self._number += n
        for i in range(first, first + n):
            key = f"{(i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:024x}"
            dealt = (i * 0x9E3779B1) >> 7  # whatever the partition, all models and segments come by
            head = f'{{"prediction_id":"{key}","model_name":"{_name(dealt % shape.models)}",'
            at = f"{START + i / 5_000:.4f}"
            features = b"{}" if small else self._features[i % len(self._features)]
            value = (
                f'{head}"model_version":"7","prediction_timestamp":{at},"prediction_label":{i & 1},'
                f'"prediction_score":0.{i % 997:03d},"tags":{{"region":"r{dealt // shape.models % shape.segments}"}},'
                '"features":'
            )
            label = f'{head}"label_timestamp":{at},"actual_label":1}}'
            yield (
                _record(topics.PREDICTIONS.name, key, value.encode() + features + b"}"),
                _record(topics.LABELS.name, key, label.encode()),
            )


def _record(topic: str, key: str, value: bytes) -> ListRecord:
    return ListRecord(topic=topic, key=key.encode(), value=value, timestamp=10**13)


def _name(number: int) -> str:
    return f"model-{number:03d}"


def _control(shape: Shape) -> ControlView:
    draw = random.Random(0)
    columns: dict[str, list[object]] = {
        f"n{j:03d}": [draw.gauss(0, 1) for _ in range(1_000)] for j in range(shape.features)
    }
    columns["tags.region"] = [f"r{i % shape.segments}" for i in range(1_000)]
    view = ControlView()
    for number in range(shape.models):
        spec = ModelSpec(
            model_name=_name(number), positive_class="1", cell=timedelta(hours=1), segments=("region",),
            max_segment_values=200,
        )  # fmt: skip
        view.apply(topics.MODELS.name, spec.to_bytes())
        reference = reference_from_columns(
            spec, columns, reference_id=spec.model_name, built_from=BuiltFrom(kind="recording")
        )
        view.apply(topics.REFERENCES.name, reference.to_bytes())
    return view


def main() -> None:
    """Print the curves."""
    say: Callable[[Growth], None] = print
    for row in measure():
        say(row)


if __name__ == "__main__":
    main()
