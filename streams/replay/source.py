"""Recorded files, batch by batch, as Arrow tables with the columns of the wire."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from schemas.models import ModelSpec, TaskKind
from streams.engine.errors import ConfigurationError
from streams.replay.mapping import ColumnMapping, check_columns
from streams.replay.values import feature_of, numbers_of, seconds_of, texts_of

TIME: Final = "__time"
LABEL_TIME: Final = "__label_time"
ACTUAL: Final = "__actual"
SUFFIXES: Final = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "json", ".ndjson": "json",
                   ".json": "json"}  # fmt: skip
_BLOCK_BYTES: Final = 8 << 20
_BATCH_ROWS: Final = 65_536
_SCORE_THRESHOLD: Final = 0.5


def format_of(path: Path) -> str:
    """Tell a file's format by its name.

    Raises
    ------
    ConfigurationError
        Where the name says nothing, or there is no such file.
    """
    if not path.is_file():
        msg = f"{path} is no file: expected a recording to replay"
        raise ConfigurationError(msg)
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path} ends in {path.suffix!r}: expected one of {', '.join(SUFFIXES)}"
        raise ConfigurationError(msg)
    return SUFFIXES[path.suffix.lower()]


def read_batches(path: Path, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> Iterator[Any]:
    """Read a file as Arrow tables of some ten thousand rows.

    Parameters
    ----------
    path
        CSV with a header, Parquet, or JSON lines.
    texts, numbers
        Columns of a CSV that are read as such; the others are inferred from its first megabytes.

    Raises
    ------
    ConfigurationError
        Where the file cannot be read, or is not what its name says.
    """
    kind = format_of(path)
    try:
        if kind == "parquet":
            with pa_parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                    yield pa.Table.from_batches([batch])
            return
        reader = _csv(path, texts, numbers) if kind == "csv" else _json(path)
        with reader:
            for batch in reader:
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as error:
        msg = f"{path} cannot be read as {kind}: {_named(str(error), path) if kind == 'csv' else error}"
        raise ConfigurationError(msg) from error


def _named(message: str, path: Path) -> str:
    """An error of a CSV, with the name of the column that Arrow gives the number of."""
    found = re.search(r"column #(\d+):", message)
    if found is None:
        return message
    with pa_csv.open_csv(path) as reader:
        name = reader.schema.names[int(found[1])]
    return f"{message.replace(found[0], f'column {name!r}:')}; --kind {name}=categorical reads it as text"


def _csv(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> Any:
    read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    with pa_csv.open_csv(path, read_options=read) as first:
        inferred = first.schema
    # Whole numbers at the top of a file say nothing of what follows.
    types = {each.name: pa.float64() for each in inferred if pa.types.is_integer(each.type)}
    types |= {each.name: pa.string() for each in inferred if pa.types.is_null(each.type)}
    types |= dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(texts, pa.string())
    convert = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    return pa_csv.open_csv(path, read_options=read, convert_options=convert)


def _json(path: Path) -> Any:
    return pa_json.open_json(path, read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False))


def columns_of_file(path: Path) -> tuple[list[str], Any]:
    """Names of a file's columns, and its first rows."""
    first = next(read_batches(path), None)
    if first is None or not first.num_rows:
        msg = f"{path} has no rows: expected some"
        raise ConfigurationError(msg)
    return first.column_names, first


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Files of predictions (and labels beside them), and of labels apart."""

    files: tuple[Path, ...]
    mapping: ColumnMapping
    """Checked against the files."""
    label_files: tuple[Path, ...] = ()

    def rows(self, spec: ModelSpec) -> Iterator[tuple[Any, int]]:
        """Tables of the wire's columns with `TIME`, `ACTUAL` and `LABEL_TIME`, in the files' order; and the bytes read.

        Raises
        ------
        ConfigurationError
            Where a file lacks a column, or a row has no time.
        """
        m = self.mapping
        as_text = [m.timestamp, m.id, m.label_timestamp, m.model_version, *m.segments]
        if spec.task is not TaskKind.REGRESSION:
            as_text += [m.prediction, m.label]
        kinds = {**spec.features, **m.kinds}
        as_text += [name for name, kind in kinds.items() if kind == "categorical"]
        numeric = [name for name, kind in kinds.items() if kind == "numeric"]
        for path in self.files:
            first_row = 1
            for table in read_batches(path, [name for name in as_text if name], numeric):
                m.check(table.column_names, str(path), labels_apart=bool(self.label_files))
                rows = _Rows(table.combine_chunks(), m, spec, str(path), first_row, bool(self.label_files))
                yield rows.table(), table.nbytes
                first_row += table.num_rows

    def label_rows(self, spec: ModelSpec) -> Iterator[Any]:
        """Tables of `prediction_id`, `ACTUAL` and `LABEL_TIME` of the files of labels."""
        m = self.mapping
        options = {"--id": m.id, "--label": m.label, "--label-timestamp": m.label_timestamp}
        for path in self.label_files:
            missing = next((option for option, name in options.items() if not name), None)
            if missing is not None:
                msg = f"{missing} is missing: expected a column of {path}"
                raise ConfigurationError(msg)
            first_row = 1
            for table in read_batches(path, [m.id, m.label, m.label_timestamp]):
                check_columns(list(options.items()), table.column_names, str(path))
                rows = _Rows(table.combine_chunks(), m, spec, str(path), first_row, labels_apart=False)
                yield rows.labels()
                first_row += table.num_rows


class _Rows:
    """One table of a file, and its columns as the wire has them."""

    def __init__(
        self, table: Any, mapping: ColumnMapping, spec: ModelSpec, where: str, first_row: int, labels_apart: bool
    ) -> None:
        self._table, self._mapping, self._spec = table, mapping, spec
        self._where, self._first_row, self._labels_apart = where, first_row, labels_apart

    def _column(self, name: str) -> Any:
        column = self._table.column(name)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    def _times(self, name: str, *, required: bool) -> Any:
        column = self._column(name)
        found = seconds_of(column, name, self._where, self._first_row, self._mapping.time_zone)
        if required and np.isnan(found).any():
            row = self._first_row + int(np.isnan(found).argmax())
            msg = f"{self._where}, row {row}: {name} is empty: expected a time"
            raise ConfigurationError(msg)
        return pa.array(found, from_pandas=True)

    def _ids(self) -> Any:
        if self._mapping.id:
            return texts_of(self._column(self._mapping.id))
        stem = Path(self._where).stem
        numbers = range(self._first_row, self._first_row + self._table.num_rows)
        return pa.array([f"{stem}-{number}" for number in numbers])

    def table(self) -> Any:
        m, n = self._mapping, self._table.num_rows
        times = self._times(m.timestamp, required=True)
        columns: dict[str, Any] = {"prediction_id": self._ids(), "prediction_timestamp": times, TIME: times}
        version = texts_of(self._column(m.model_version)) if m.model_version else pa.array(["recorded"] * n)
        columns |= {"model_version": version, **self._predicted()}
        columns["features"] = self._struct(list(m.features), m.kinds)
        tags = [name for name in m.segments if name not in m.features]
        if tags:
            columns["tags"] = self._struct(tags, dict.fromkeys(tags, "categorical"))
        if m.label and not self._labels_apart:
            late = self._times(m.label_timestamp, required=False) if m.label_timestamp else times
            columns |= {ACTUAL: self._actual(), LABEL_TIME: pc.coalesce(late, times)}
        return pa.table(columns)

    def _struct(self, names: Sequence[str], kinds: Any) -> Any:
        kinds = {**self._spec.features, **kinds}
        found = [feature_of(self._column(name), kinds.get(name), name, self._where, self._first_row) for name in names]
        if not names:
            return pa.array([{}] * self._table.num_rows, pa.struct([]))
        return pa.StructArray.from_arrays(found, names=list(names))

    def _predicted(self) -> dict[str, Any]:
        m, found = self._mapping, dict[str, Any]()
        if m.score:
            found["prediction_score"] = self._numbers(m.score)
        if self._spec.task is TaskKind.REGRESSION:
            if not m.prediction:
                msg = "--prediction is missing: expected the column of the predicted value (regression)"
                raise ConfigurationError(msg)
            return {**found, "prediction_value": self._numbers(m.prediction)}
        if m.prediction:
            return {**found, "prediction_label": texts_of(self._column(m.prediction))}
        positive = self._spec.positive_class or "1"
        negative = next((name for name in self._spec.classes if name != positive), "0")
        high = pc.greater_equal(found["prediction_score"], _SCORE_THRESHOLD)
        return {**found, "prediction_label": pc.if_else(high, pa.scalar(positive), pa.scalar(negative))}

    def _numbers(self, name: str) -> Any:
        return numbers_of(self._column(name), name, self._where, self._first_row)

    def _actual(self) -> Any:
        name = self._mapping.label
        return self._numbers(name) if self._spec.task is TaskKind.REGRESSION else texts_of(self._column(name))

    def labels(self) -> Any:
        times = self._times(self._mapping.label_timestamp, required=True)
        return pa.table({"prediction_id": self._ids(), ACTUAL: self._actual(), LABEL_TIME: times})


def some_predictions(source: Source) -> list[Any]:
    """Values of the prediction column in the first rows, for inferring the task."""
    if not source.mapping.prediction:
        return []
    _, first = columns_of_file(source.files[0])
    column = first.column(source.mapping.prediction).to_pylist()
    return [value for value in itertools.islice(column, _BATCH_ROWS) if value is not None]
