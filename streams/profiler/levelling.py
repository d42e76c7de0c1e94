"""Brings all partitions to one event time, by watermark events that nobody has to send: before state is moved.

A cell's ordered outcomes are given out when its partition's watermarks pass it. Partitions that stood apart would give
them out twice, or never, once their rows are mixed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from schemas import topics
from schemas.events import WATERMARK_TYPE
from schemas.identifiers import split_model_key
from streams.control.view import ControlView
from streams.engine.processor import CommitContext, ListRecord, Staged
from streams.profiler.processor import ProfilerProcessor
from streams.profiler.restoring import MODEL_PREFIX, ModelRecord
from streams.profiler.watermarks import NEVER
from streams.settings import Settings

Marks = Mapping[str, tuple[int, int]]
"""Watermarks of predictions and labels in milliseconds, by `environment/model`."""


def latest_marks(partitions: Iterable[Mapping[str, bytes]]) -> dict[str, tuple[int, int]]:
    """Return the latest watermarks of every model over some partitions' entries."""
    found: dict[str, tuple[int, int]] = {}
    for entries in partitions:
        for key, (predictions, labels) in marks_of(entries).items():
            before = found.get(key, (NEVER, NEVER))
            found[key] = (max(before[0], predictions), max(before[1], labels))
    return found


def marks_of(entries: Mapping[str, bytes]) -> dict[str, tuple[int, int]]:
    """Return a partition's watermarks."""
    return {
        key.removeprefix(MODEL_PREFIX): msgspec.msgpack.decode(value, type=ModelRecord).clock[:2]
        for key, value in entries.items()
        if key.startswith(MODEL_PREFIX)
    }


def levelled(
    entries: Mapping[str, bytes], marks: Marks, *, context: CommitContext, settings: Settings, control: ControlView
) -> Staged:
    """Stage a commit that moves one partition's watermarks up to some marks; empty where it stands there."""
    processor = ProfilerProcessor(partition=context.partition, settings=settings, control=control)
    for key, value in entries.items():
        processor.restore(key, value)
    processor.restored()
    own = marks_of(entries)
    for place, topic in enumerate((topics.PREDICTIONS, topics.LABELS)):
        records = _records(topic.name, {key: marks[key][place] for key in own if own[key][place] < marks[key][place]})
        processor.add(topic.name, records)
    return processor.stage(context, heartbeat=False)


def _records(topic: str, marks: Mapping[str, int]) -> Sequence[ListRecord]:
    records = []
    for key, at_ms in sorted(marks.items()):
        environment, model_name = split_model_key(key)
        event = {"environment": environment, "model_name": model_name, "not_before": at_ms / 1000}
        headers = [("ce_type", WATERMARK_TYPE.encode())]
        records.append(ListRecord(topic=topic, value=json.dumps(event).encode(), headers=headers))
    return records
