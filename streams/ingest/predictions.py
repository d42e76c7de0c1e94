"""Predictions: chunks of records become EventColumns, or dead letters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import msgspec
import numpy as np

from schemas.base import milliseconds
from schemas.events import PREDICTION_TYPE
from schemas.identifiers import split_model_key
from streams.control.plan import Plan
from streams.engine.processor import Record
from streams.ingest.arrow import UNEVEN, UnevenError, json_records
from streams.ingest.arrow_columns import PredictionBatch
from streams.ingest.chunk import ChunkReader, Sorted
from streams.ingest.columns import EventColumns
from streams.ingest.extract import Extraction
from streams.ingest.loose import Findings, read_prediction
from streams.ingest.models import ModelNames, Models
from streams.ingest.rejection import RejectedError
from streams.ingest.schema import PredictionSchema
from streams.ingest.values import Int64, UInt64, hashes, timestamps_ms
from streams.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of one model and plan, with the events they were made from, for sampling before they are dropped."""

    names: ModelNames
    columns: EventColumns
    events: Sequence[Any]
    schema: PredictionSchema


@dataclass(slots=True)
class PredictionChunk(Sorted):
    """A chunk of predictions, sorted."""

    parts: list[Part] = field(default_factory=list)


def _refuse(value: bytes) -> Any:
    del value
    raise msgspec.ValidationError


class PredictionReader(ChunkReader):
    """Reads predictions; keeps a typed decoder for all models that are followed.

    Parameters
    ----------
    settings, models
        Bounds, and the models that are followed.
    n_partitions
        Of the topic.
    """

    def __init__(self, settings: IngestSettings, models: Models, *, n_partitions: int | None = None) -> None:
        super().__init__(settings, models, PREDICTION_TYPE, n_partitions=n_partitions)
        self._schemas: dict[str, PredictionSchema] = {}
        self._decode: Callable[[bytes], Any] = _refuse
        self._revision = -1
        self._stale = True
        self._findings: dict[int, Findings] = {}

    def _refresh(self) -> None:
        """Take over what control events changed; models that were declared are known before their first event."""
        control = self.models.control
        if control.revision != self._revision:
            self._schemas, self._stale, self._revision = {}, True, control.revision
            for key in control.model_keys():
                self.models.attributed(*split_model_key(key))
            for names in list(self.models):
                self._schema(*split_model_key(names.key))

    def _decoder(self) -> Callable[[bytes], Any]:
        """Return the decoder of all models that are known by now."""
        if self._stale and self._schemas:
            structs = tuple(schema.struct for schema in self._schemas.values())
            self._decode = msgspec.json.Decoder(Union[structs]).decode  # noqa: UP007 - made at run time
        self._stale = False
        return self._decode

    def _schema(self, environment: str, model_name: str) -> PredictionSchema:
        """Return the schema of a model, which is followed from here; of all environments, as one tag tells it."""
        self.models.follow(environment, model_name)
        if model_name not in self._schemas:
            self._stale = True
            control = self.models.control
            keys = [names.key for names in self.models if split_model_key(names.key)[1] == model_name]
            plans = [plan for key in keys for plan in control.plans(key)]
            self._schemas[model_name] = PredictionSchema(model_name, plans)
        return self._schemas[model_name]

    def read(self, records: Sequence[Record], base: int) -> PredictionChunk:
        """Decode a chunk; `base` is the order of its first record."""
        self._refresh()
        self._findings = {}
        chunk = PredictionChunk(n_rows=len(records))
        events, complete = self.decode(records, self._decoder, self._slow, chunk, base)
        for model_name, environment, members in self._groups(events, complete=complete):
            self._read_model(model_name, environment, members, records, events, base, chunk)
        return chunk

    def read_batch(self, record: Record, base: int) -> PredictionChunk:
        """Read a record of many rows; `base` is the order of the first."""
        self._refresh()
        try:
            table = self.open_batch(record)
            try:
                return self._columns_of(record, table, base)
            except UNEVEN:
                return self.read(json_records(record, table), base)
        except RejectedError as error:
            chunk = PredictionChunk(n_rows=1)
            chunk.reject(record, error)
            return chunk

    def _columns_of(self, record: Record, table: Any, base: int) -> PredictionChunk:
        chunk = PredictionChunk(n_rows=table.num_rows)
        if not table.num_rows:
            return chunk
        batch = PredictionBatch(table)
        ids = batch.ids()
        times = batch.times("prediction_timestamp")
        self.check_times(record, times)
        names, schema = self._followed(*batch.model())
        high, low = hashes(ids)
        order = np.arange(base, base + table.num_rows)
        for plan, rows in self._plans(names.key, times):
            if plan.reference is None:  # it is sampled, event by event
                raise UnevenError
            part = batch if len(rows) == len(ids) else PredictionBatch(table.take(rows))
            columns = part.columns(
                schema,
                plan,
                order=order[rows],
                hashes=(high[rows], low[rows]),
                timestamps=times[rows],
                versions=names.versions,
            )
            chunk.parts.append(Part(names, columns, (), schema))
        return chunk

    def _followed(self, environment: str, model_name: str) -> tuple[ModelNames, PredictionSchema]:
        """Names and schema of a batch's model; one that is refused, or has no reference yet, is for the other way."""
        try:
            schema = self._schema(environment, model_name)
            names = self.models.follow(environment, model_name)
        except RejectedError as error:
            raise UnevenError from error
        if schema.is_open:
            raise UnevenError
        return names, schema

    def _slow(self, i: int, parsed: dict[str, Any]) -> Any:
        event, self._findings[i] = read_prediction(parsed, self._schema)
        return event

    def _groups(self, events: Sequence[Any], *, complete: bool) -> list[tuple[str, str, Sequence[int]]]:
        """Rows by model; one comparison of sets where a chunk has one model."""
        rows: Sequence[int] = range(len(events))
        if not complete:
            rows = [i for i in rows if events[i] is not None]
        kept = events if complete else [events[i] for i in rows]
        if len(set(map(type, kept))) == 1 and len({event.environment for event in kept}) == 1:
            return [(_model_name(kept[0]), kept[0].environment, rows)]
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for i, event in zip(rows, kept, strict=True):
            groups[_model_name(event), event.environment].append(i)
        return [(model_name, environment, members) for (model_name, environment), members in groups.items()]

    def _read_model(
        self,
        model_name: str,
        environment: str,
        rows: Sequence[int],
        records: Sequence[Record],
        events: Sequence[Any],
        base: int,
        chunk: PredictionChunk,
    ) -> None:
        try:
            names = self.models.follow(environment, model_name)
        except RejectedError as error:
            for i in rows:
                chunk.reject(records[i], error)
            return
        if len(rows) < len(events):
            records, events = [records[i] for i in rows], [events[i] for i in rows]
        times = timestamps_ms([event.prediction_timestamp for event in events])
        ids = [event.prediction_id.encode() for event in events]
        kept = self.admitted(records, ids, times, "prediction_timestamp", events, names, chunk)
        index = np.asarray(rows, dtype=np.int64)
        if len(kept) < len(rows):
            places = kept.tolist()
            events, ids = [events[i] for i in places], [ids[i] for i in places]
            times, index = times[kept], index[kept]
        high, low = hashes(ids)
        for plan, members in self._plans(names.key, times):
            if len(members) == len(events):
                chunk.parts.append(self._part(names, plan, events, (high, low), times, index, base))
            else:
                mine = [events[i] for i in members.tolist()]
                of_rows = high[members], low[members]
                chunk.parts.append(self._part(names, plan, mine, of_rows, times[members], index[members], base))

    def _plans(self, key: str, times: Int64) -> list[tuple[Plan, Int64]]:
        """Rows by the plan that is in force for their cell."""
        if not len(times):
            return []
        control = self.models.control
        cell_ms = milliseconds(control.spec(key).cell)
        first = int(times.min()) // cell_ms * cell_ms
        if int(times.max()) < first + cell_ms:
            return [(control.plan(key, first), np.arange(len(times)))]
        cells, inverse = np.unique(times // cell_ms * cell_ms, return_inverse=True)
        plans = [control.plan(key, cell) for cell in cells.tolist()]
        by_id = {plan.plan_id: plan for plan in plans}
        if len(by_id) == 1:
            return [(plans[0], np.arange(len(times)))]
        of_row = np.array([plan.plan_id for plan in plans])[inverse]
        return [(plan, np.flatnonzero(of_row == plan_id)) for plan_id, plan in by_id.items()]

    def _part(
        self,
        names: ModelNames,
        plan: Plan,
        events: Sequence[Any],
        of_rows: tuple[UInt64, UInt64],
        times: Int64,
        index: Int64,
        base: int,
    ) -> Part:
        types: dict[int, list[str | None]] = {}
        unknown = np.zeros(len(events), dtype=np.bool_)
        if self._findings:
            for row, i in enumerate(index.tolist()):
                found = self._findings.get(i)
                if found is not None:
                    unknown[row] = found.schema
                    if found.types:
                        types[row] = found.types
        schema = self._schemas[_model_name(events[0])]
        columns = Extraction(schema, plan, events, types).columns(
            order=index + base, hashes=of_rows, timestamps=times, versions=names.versions, schema_finding=unknown
        )
        return Part(names, columns, events, schema)


def _model_name(event: Any) -> str:
    tag: str = type(event).__struct_config__.tag
    return tag
