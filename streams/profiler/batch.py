"""The pending batch: columns by model, until a commit closes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas import topics
from streams.engine.processor import DeadLetter, Record
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
        base = self._n_read.get(topic, 0)
        if topic == topics.PREDICTIONS.name:
            self._add_predictions(records, base)
        elif topic == topics.LABELS.name:
            self._add_labels(records, base)
        else:
            msg = f"topic = {topic!r}: expected {topics.PREDICTIONS.name} or {topics.LABELS.name}"
            raise ValueError(msg)
        self._n_read[topic] = base + len(records)

    def _add_predictions(self, records: Sequence[Record], base: int) -> None:
        chunk = self._predictions.read(records, base)
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

    def _add_labels(self, records: Sequence[Record], base: int) -> None:
        chunk = self._labels.read(records, base)
        for names, columns in chunk.parts:
            self._model(names.key, names).labels.append(columns)
        for mark in chunk.marks:
            self._model(mark.model_key).label_marks.append(mark)
        for key in self._dead(chunk):
            self._model(key).dead_labels += 1

    def _dead(self, chunk: Sorted) -> list[str]:
        for record, why in chunk.rejected:
            self.dead_letters.append(DeadLetter(record=record, reason=why.reason.value, message=why.message))
        return [NO_MODEL if why.model_key is None else why.model_key for _, why in chunk.rejected]
