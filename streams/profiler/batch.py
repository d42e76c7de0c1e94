"""The pending batch: columns by model, until a commit closes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas import topics
from streams.engine.processor import DeadLetter, Record
from streams.ingest.arrow import is_batch
from streams.ingest.chunk import Mark, Sorted
from streams.ingest.columns import EventColumns, LabelColumns
from streams.ingest.labels import LabelReader
from streams.ingest.models import ModelNames
from streams.ingest.predictions import PredictionReader
from streams.profiler.model import Tally
from streams.profiler.samples import Sampler, Taken

NO_MODEL = ""


@dataclass(slots=True)
class ModelBatch:
    """What a batch holds of one model."""

    names: ModelNames | None
    predictions: dict[str, list[EventColumns]] = field(default_factory=dict)
    """By plan_id, in offset order."""
    labels: list[LabelColumns] = field(default_factory=list)
    prediction_marks: list[Mark] = field(default_factory=list)
    label_marks: list[Mark] = field(default_factory=list)
    dead_predictions: int = 0
    dead_labels: int = 0
    taken: Taken = field(default_factory=dict)

    def dead(self) -> Tally:
        """Tally of what could not be read."""
        return Tally(
            predictions=self.dead_predictions,
            predictions_dead=self.dead_predictions,
            labels=self.dead_labels,
            labels_dead=self.dead_labels,
        )


class Batch:
    """Collects chunks.

    Parameters
    ----------
    predictions, labels
        The readers.
    samplers
        By model key; missing ones are made.
    redact
        Features that are never sampled.
    """

    def __init__(
        self, predictions: PredictionReader, labels: LabelReader, samplers: dict[str, Sampler], redact: Sequence[str]
    ) -> None:
        self._predictions = predictions
        self._labels = labels
        self._samplers = samplers
        self._redact = frozenset(redact)
        self.models: dict[str, ModelBatch] = {}
        self.dead_letters: list[DeadLetter] = []
        self._n_read: dict[str, int] = {}

    def _model(self, key: str, names: ModelNames | None = None) -> ModelBatch:
        batch = self.models.setdefault(key, ModelBatch(names))
        batch.names = batch.names or names or self._predictions.models.get(key)
        return batch

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Read a chunk.

        Raises
        ------
        ValueError
            For a topic that is no input of this stage.
        """
        if not records:
            return
        if topic not in {topics.PREDICTIONS.name, topics.LABELS.name}:
            msg = f"topic = {topic!r}: expected {topics.PREDICTIONS.name} or {topics.LABELS.name}"
            raise ValueError(msg)
        for run, batches in _runs(records):
            base = self._n_read.get(topic, 0)
            read = self._add_predictions if topic == topics.PREDICTIONS.name else self._add_labels
            self._n_read[topic] = base + read(run, base, batches=batches)

    def _add_predictions(self, records: Sequence[Record], base: int, *, batches: bool) -> int:
        reader = self._predictions
        chunk = reader.read_batch(records[0], base) if batches else reader.read(records, base)
        for part in chunk.parts:
            batch = self._model(part.names.key, part.names)
            plan = part.columns.plan
            batch.predictions.setdefault(plan.plan_id, []).append(part.columns)
            if plan.reference is None:
                sampler = self._samplers.setdefault(part.names.key, Sampler(self._redact))
                sampler.take(part, batch.taken)
        for mark in chunk.marks:
            self._model(mark.model_key).prediction_marks.append(mark)
        for key in self._dead(chunk):
            self._model(key).dead_predictions += 1
        return chunk.n_rows

    def _add_labels(self, records: Sequence[Record], base: int, *, batches: bool) -> int:
        chunk = self._labels.read_batch(records[0], base) if batches else self._labels.read(records, base)
        for names, columns in chunk.parts:
            self._model(names.key, names).labels.append(columns)
        for mark in chunk.marks:
            self._model(mark.model_key).label_marks.append(mark)
        for key in self._dead(chunk):
            self._model(key).dead_labels += 1
        return chunk.n_rows

    def _dead(self, chunk: Sorted) -> list[str]:
        for record, why in chunk.rejected:
            self.dead_letters.append(DeadLetter(record=record, reason=why.reason.value, message=why.message))
        return [NO_MODEL if why.model_key is None else why.model_key for _, why in chunk.rejected]


def _runs(records: Sequence[Record]) -> Iterator[tuple[Sequence[Record], bool]]:
    """Split a chunk: records of one event each together, batches of rows alone; whether it is a batch."""
    if not any([record.headers for record in records]):  # noqa: C419 - a list is quicker than a generator here
        yield records, False
        return
    start = 0
    for i, record in enumerate(records):
        if record.headers and is_batch(record.headers):
            if i > start:
                yield records[start:i], False
            yield records[i : i + 1], True
            start = i + 1
    if start < len(records):
        yield records[start:], False
