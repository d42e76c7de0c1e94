"""Labels: chunks of records become LabelColumns, or dead letters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.events import DEFAULT_ENVIRONMENT, LABEL_TYPE
from schemas.models import TaskKind
from streams.engine.processor import Record
from streams.ingest.arrow import UNEVEN, UnevenError, json_records
from streams.ingest.arrow_columns import LabelBatch
from streams.ingest.chunk import ChunkReader, Sorted, require, text_of, time_of
from streams.ingest.columns import LabelColumns
from streams.ingest.loose import is_category, is_finite
from streams.ingest.models import ModelNames, Models
from streams.ingest.rejection import Reason, RejectedError, wrong
from streams.ingest.schema import Category, EventTime, Number, Text
from streams.ingest.values import Float64, Int64, coded, floats, hashes, timestamps_ms
from streams.settings import IngestSettings

_MAX_REVISION: Final = 2**31 - 1


class _Label(msgspec.Struct, forbid_unknown_fields=False, gc=False, kw_only=True):
    prediction_id: Text
    model_name: Text
    label_timestamp: EventTime
    environment: Text = DEFAULT_ENVIRONMENT
    actual_label: Category = None
    actual_value: Number = None
    label_source: str | None = None
    revision: Annotated[int, msgspec.Meta(ge=0, le=_MAX_REVISION)] = 0
    retracted: bool = False


@dataclass(slots=True)
class LabelChunk(Sorted):
    """A chunk of labels, sorted."""

    parts: list[tuple[ModelNames, LabelColumns]] = field(default_factory=list)


class LabelReader(ChunkReader):
    """Reads labels; one decoder does for all models.

    Parameters
    ----------
    settings, models
        Bounds, and the models that are followed.
    n_partitions
        Of the topic.
    """

    def __init__(self, settings: IngestSettings, models: Models, *, n_partitions: int | None = None) -> None:
        super().__init__(settings, models, LABEL_TYPE, n_partitions=n_partitions)
        self._decode = msgspec.json.Decoder(_Label).decode

    def read(self, records: Sequence[Record], base: int) -> LabelChunk:
        """Decode a chunk; `base` is the order of its first record."""
        chunk = LabelChunk(n_rows=len(records))
        events, complete = self.decode(records, lambda: self._decode, lambda _, parsed: read_label(parsed), chunk, base)
        for environment, model_name, rows in self._groups(events, complete=complete):
            self._read_model(environment, model_name, rows, records, events, base, chunk)
        return chunk

    def read_batch(self, record: Record, base: int) -> LabelChunk:
        """Read a record of many rows; `base` is the order of the first."""
        try:
            table = self.open_batch(record)
            try:
                return self._columns_of(record, table, base)
            except UNEVEN:
                return self.read(json_records(record, table), base)
        except RejectedError as error:
            chunk = LabelChunk(n_rows=1)
            chunk.reject(record, error)
            return chunk

    def _columns_of(self, record: Record, table: Any, base: int) -> LabelChunk:
        chunk = LabelChunk(n_rows=table.num_rows)
        if not table.num_rows:
            return chunk
        batch = LabelBatch(table)
        ids = batch.ids()
        times = batch.times("label_timestamp")
        self.check_times(record, times)
        try:
            names = self.models.follow(*batch.model())
        except RejectedError as error:
            raise UnevenError from error
        high, low = hashes(ids)
        retracted = batch.flags("retracted")
        columns = LabelColumns(
            order=np.arange(base, base + table.num_rows),
            hash_high=high,
            hash_low=low,
            timestamp_ms=times,
            actual=batch.actual(names.labels, self.models.control.spec(names.key), retracted=retracted),
            revision=batch.integers("revision", low=0, high=_MAX_REVISION),
            retracted=retracted,
        )
        chunk.parts.append((names, columns))
        return chunk

    @staticmethod
    def _groups(events: Sequence[Any], *, complete: bool) -> list[tuple[str, str, Sequence[int]]]:
        """Rows by model; two comparisons of sets where a chunk has one model."""
        rows: Sequence[int] = range(len(events))
        if not complete:
            rows = [i for i in rows if events[i] is not None]
        kept = events if complete else [events[i] for i in rows]
        environments, names = {event.environment for event in kept}, {event.model_name for event in kept}
        if len(environments) == 1 and len(names) == 1:
            return [(environments.pop(), names.pop(), rows)]
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for i, event in zip(rows, kept, strict=True):
            groups[event.environment, event.model_name].append(i)
        return [(environment, model_name, members) for (environment, model_name), members in groups.items()]

    def _read_model(
        self,
        environment: str,
        model_name: str,
        rows: Sequence[int],
        records: Sequence[Record],
        events: Sequence[Any],
        base: int,
        chunk: LabelChunk,
    ) -> None:
        try:
            names = self.models.follow(environment, model_name)
        except RejectedError as error:
            for i in rows:
                chunk.reject(records[i], error)
            return
        if len(rows) < len(events):
            records, events = [records[i] for i in rows], [events[i] for i in rows]
        spec = self.models.control.spec(names.key)
        regression = spec.task is TaskKind.REGRESSION
        times = timestamps_ms([event.label_timestamp for event in events])
        ids = [event.prediction_id.encode() for event in events]
        place = self.admitted(records, ids, times, "label_timestamp", events, names, chunk)
        actual = self._actual(events, names, regression=regression)
        missing = np.isnan(actual)
        if missing.any():
            place = self._with_actual(records, events, place, missing, names, chunk, regression=regression)
        if spec.classes and not regression:
            place = self._of_known_classes(records, events, place, spec.classes, names, chunk)
        if not len(place):
            return
        high, low = hashes(ids)
        revisions, retracted = [event.revision for event in events], [event.retracted for event in events]
        columns = LabelColumns(
            order=np.asarray(rows, dtype=np.int64) + base,
            hash_high=high,
            hash_low=low,
            timestamp_ms=times,
            actual=actual,
            revision=np.array(revisions, dtype=np.int64) if any(revisions) else np.zeros(len(events), dtype=np.int64),
            retracted=np.array(retracted) if any(retracted) else np.zeros(len(events), dtype=np.bool_),
        )
        chunk.parts.append((names, columns if len(place) == len(events) else columns.take(place)))

    @staticmethod
    def _with_actual(
        records: Sequence[Record],
        events: Sequence[Any],
        place: Int64,
        missing: NDArray[np.bool_],
        names: ModelNames,
        chunk: LabelChunk,
        *,
        regression: bool,
    ) -> Int64:
        """Admitted rows that say something; the others are rejected."""
        wanted = "actual_value" if regression else "actual_label"
        task = "regression" if regression else "classification"
        message = f"{wanted} is missing: expected it in a label that is not retracted ({task})"
        silent = [i for i in place.tolist() if missing[i] and not events[i].retracted]
        for i in silent:
            chunk.reject(records[i], RejectedError(Reason.MISSING_FIELD, message), names.key)
        return np.setdiff1d(place, silent, assume_unique=True)

    @staticmethod
    def _of_known_classes(
        records: Sequence[Record],
        events: Sequence[Any],
        place: Int64,
        classes: Sequence[str],
        names: ModelNames,
        chunk: LabelChunk,
    ) -> Int64:
        """Admitted rows whose class was declared; the others are rejected."""
        known = {None, *classes}
        strange = coded([event.actual_label for event in events], lambda label: label not in known, np.float64) > 0.0
        for i in place[strange[place]].tolist():
            expected = f"one of the model's classes: {', '.join(classes)}"
            chunk.reject(records[i], wrong("actual_label", events[i].actual_label, expected), names.key)
        return place[~strange[place]]

    @staticmethod
    def _actual(events: Sequence[Any], names: ModelNames, *, regression: bool) -> Float64:
        if regression:
            return floats([event.actual_value for event in events], len(events))
        return coded([event.actual_label for event in events], names.labels.code_or_nan, np.float64)


def read_label(parsed: dict[str, Any]) -> _Label:
    """Make a label from parsed JSON, field by field.

    Raises
    ------
    RejectedError
        Naming the field that is wrong.
    """
    require(parsed, ("prediction_id", "model_name", "label_timestamp"))
    label, value, revision = parsed.get("actual_label"), parsed.get("actual_value"), parsed.get("revision")
    if label is not None and not is_category(label):
        raise wrong("actual_label", label, "a text, an integer or a boolean")
    if value is not None and not is_finite(value):
        raise wrong("actual_value", value, "a finite number")
    if revision is not None and not (isinstance(revision, int) and 0 <= revision <= _MAX_REVISION):
        raise wrong("revision", revision, f"an integer from 0 to {_MAX_REVISION}")
    if parsed.get("retracted") not in (None, True, False):
        raise wrong("retracted", parsed["retracted"], "true or false")
    return _Label(
        prediction_id=text_of(parsed, "prediction_id"),
        model_name=text_of(parsed, "model_name"),
        label_timestamp=time_of(parsed, "label_timestamp"),
        environment=text_of(parsed, "environment", DEFAULT_ENVIRONMENT),
        actual_label=label,
        actual_value=None if value is None else float(value),
        revision=revision or 0,
        retracted=bool(parsed.get("retracted")),
    )
