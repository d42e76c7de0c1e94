"""Profiler, evaluator and governor one after the other in memory: what a worker decides, without Kafka."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from schemas import topics
from schemas.events import WATERMARK_TYPE
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.references import Reference
from streams.control.view import ControlView
from streams.engine.processor import CommitContext, DeadLetter, ListRecord, Output, Processor, Record, Staged
from streams.evaluator.processor import EvaluatorProcessor
from streams.governor.processor import GovernorProcessor
from streams.producing import CONTENT_TYPE
from streams.profiler.processor import ProfilerProcessor
from streams.replay.source import LABEL_TIME, TIME
from streams.settings import IngestSettings, Settings, TopicSettings

BATCH_ROWS: Final = 10_000
"""Rows of an Arrow record: one bad row sends no more than these the slow way."""
_MOST_BYTES: Final = 1 << 30
_HEADERS: Final = (("ce_type", WATERMARK_TYPE.encode()),)
_ARROW: Final = (("content-type", CONTENT_TYPE.encode()),)
_CONTROL: Final = frozenset({topics.REFERENCES.name, topics.DEPLOYMENTS.name})

Sink = Callable[[str, bytes], None]
"""Takes the topic and value of everything that is published."""


def replay_settings() -> Settings:
    """One partition, and no bounds but those of a single row."""
    bounds = IngestSettings(
        max_record_bytes=_MOST_BYTES, max_batch_bytes=_MOST_BYTES, max_batch_rows=BATCH_ROWS, max_models=10_000
    )
    return Settings(topics=TopicSettings(events_partitions=1), ingest=bounds)


def control_of(spec: ModelSpec, monitors: Iterable[Monitor], references: Iterable[Reference] = ()) -> ControlView:
    """What is in force from the beginning.

    Raises
    ------
    ControlError
        Where it contradicts itself.
    """
    control = ControlView()
    control.apply(topics.MODELS.name, spec.model_copy(update={"effective_from": None}).to_bytes())
    for monitor in monitors:
        control.apply(topics.MONITORS.name, monitor.to_bytes())
    for reference in references:
        control.apply(topics.REFERENCES.name, reference.to_bytes())
    return control


class Pipeline:
    """The three stages on one partition each.

    Parameters
    ----------
    control
        What is in force; references that the evaluator proposes are added to it, as a worker would read them.
    sink
        Takes what the stages publish for others: windows, alerts, evidence, incidents, commands, references.
    dead
        Takes records that could not be read.
    observe
        Sees what the profiler publishes.
    """

    def __init__(
        self,
        control: ControlView,
        sink: Sink,
        dead: Callable[[DeadLetter], None],
        observe: Callable[[bytes, ControlView], None] | None = None,
    ) -> None:
        settings = replay_settings()
        self._observe = observe
        self._control, self._sink, self._dead = control, sink, dead
        stages: list[Processor] = [
            kind(partition=0, settings=settings, control=control)
            for kind in (ProfilerProcessor, EvaluatorProcessor, GovernorProcessor)
        ]
        for stage in stages:
            stage.restored()
        self._profiler, self._evaluator, self._governor = stages
        self._seq = itertools.count(1)
        self._offsets: dict[str, int] = {}
        self._now_ms = 0

    def feed(self, predictions: Any | None, labels: Any | None) -> None:
        """Take a slice of tables of the wire, in order of their times, and decide on all of it."""
        self._push([
            (topic, record)
            for topic, table in ((topics.PREDICTIONS.name, predictions), (topics.LABELS.name, labels))
            if table is not None
            for record in self._arrow(topic, table)
        ])  # fmt: skip

    def feed_json(self, events: Sequence[tuple[str, float, bytes | None, bytes]]) -> None:
        """Take events as JSON: topic, time in seconds, key and value of each."""
        records = []
        for topic, at, key, value in events:
            self._see(at)
            records.append((topic, ListRecord(topic=topic, offset=self._offset(topic, 1), key=key, value=value)))
        self._push(records)

    def close(self, models: Iterable[tuple[str, str]], *, predictions_until: float, labels_until: float) -> None:
        """Say that nothing before these times, in seconds, follows: what is complete then is decided."""
        ends = {topics.PREDICTIONS.name: predictions_until, topics.LABELS.name: labels_until}
        records = []
        for environment, model_name in models:
            for topic, until in ends.items():
                said = {"environment": environment, "model_name": model_name, "not_before": until}
                value = json.dumps(said).encode()
                offset = self._offset(topic, 1)
                records.append((topic, ListRecord(topic=topic, offset=offset, value=value, headers=_HEADERS)))
        self._push(records)

    @property
    def control(self) -> ControlView:
        """What is in force by now."""
        return self._control

    def _arrow(self, topic: str, table: Any) -> Iterable[ListRecord]:
        self._see(float(np.asarray(table.column(table.column_names.index(_time_of(table))))[-1]))
        wire = table.drop_columns([name for name in (TIME, LABEL_TIME) if name in table.column_names])
        for start in range(0, wire.num_rows, BATCH_ROWS):
            rows = wire.slice(start, BATCH_ROWS)
            offset = self._offset(topic, rows.num_rows)
            yield ListRecord(topic=topic, offset=offset, value=_stream(rows), headers=_ARROW)

    def _offset(self, topic: str, n: int) -> int:
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + n
        return offset

    def _see(self, at: float) -> None:
        self._now_ms = max(self._now_ms, round(at * 1000))

    def _push(self, records: Sequence[tuple[str, Record]]) -> None:
        for topic, group in itertools.groupby(records, key=lambda pair: pair[0]):
            self._profiler.add(topic, [record for _, record in group])
        profiles = self._commit(self._profiler)
        for each in profiles:
            if self._observe is not None and each.value is not None:
                self._observe(each.value, self._control)
        if profiles:
            self._evaluator.add(topics.PROFILES.name, self._records(topics.PROFILES.name, profiles))
        decided = self._commit(self._evaluator)
        self._publish(decided)
        for topic in (topics.ALERTS.name, topics.EVIDENCE.name):
            self._governor.add(topic, self._records(topic, [each for each in decided if each.topic == topic]))
        self._publish(self._commit(self._governor))

    def _records(self, topic: str, outputs: Sequence[Output]) -> list[ListRecord]:
        return [
            ListRecord(
                topic=topic,
                offset=self._offset(topic, 1),
                timestamp=self._now_ms,
                key=output.key,
                value=output.value,
                headers=output.headers,
            )
            for output in outputs
        ]

    def _commit(self, stage: Processor) -> Sequence[Output]:
        context = CommitContext(
            partition=0,
            seq=next(self._seq),
            positions=dict(self._offsets),
            previous_positions={},
            now_ms=self._now_ms,
            caught_up=False,
        )
        staged: Staged = stage.stage(context, heartbeat=False)
        stage.apply(staged)
        for letter in staged.dead_letters:
            self._dead(letter)
        return staged.outputs

    def _publish(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if output.value is None:
                continue
            if output.topic in _CONTROL:
                self._control.apply(output.topic, output.value)
            self._sink(output.topic, output.value)


def _time_of(table: Any) -> str:
    return TIME if TIME in table.column_names else LABEL_TIME


def _stream(table: Any) -> bytes:
    """A table as an Arrow IPC stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    value: bytes = sink.getvalue().to_pybytes()
    return value
