"""From Arrow tables to EventColumns and LabelColumns, without a Python object for a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import CategoricalBins, NumericBins
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.models import ModelSpec, TaskKind
from streams.control.layout import SCORE_MISSING
from streams.control.plan import Plan
from streams.ingest.arrow import UnevenError, seconds_of
from streams.ingest.columns import Codes, EventColumns, Interner
from streams.ingest.extract import class_coder, score_bins
from streams.ingest.rules import rule_verdicts
from streams.ingest.schema import PredictionSchema
from streams.ingest.values import Float64, Int64, UInt64, coded, texts, timestamps_ms

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError:  # then no batch is opened, and nothing here is called
    pa = pc = None

_PREDICTION_COLUMNS: Final = frozenset({
    "prediction_id", "model_name", "model_version", "prediction_timestamp", "environment", "prediction_label",
    "prediction_value", "prediction_score", "features", "tags", "latency_seconds", "cost_usd", "error", "variant",
    "backfill",
})  # fmt: skip
_LABEL_COLUMNS: Final = frozenset({
    "prediction_id", "model_name", "label_timestamp", "environment", "actual_label", "actual_value", "label_source",
    "revision", "retracted",
})  # fmt: skip


class Batch:
    """A table's columns by name; an absent one is all null.

    Parameters
    ----------
    table
        Rows of a record.
    known
        Names of columns; an unknown one that holds something is uneven.
    """

    def __init__(self, table: Any, known: frozenset[str]) -> None:
        self.n: int = table.num_rows
        self._columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        for name, column in self._columns.items():
            _require(name in known or column.null_count == self.n)

    def column(self, name: str) -> Any | None:
        """A column that holds something, or None."""
        column = self._columns.get(name)
        return None if column is None or column.null_count == self.n else column

    def fields(self, name: str) -> dict[str, Any]:
        """Columns of a struct column that hold something; null where the struct is."""
        column = self.column(name)
        if column is None:
            return {}
        _require(pa.types.is_struct(column.type))
        names = [column.type.field(i).name for i in range(column.type.num_fields)]
        _require(len(set(names)) == len(names))
        flat = dict(zip(names, column.flatten(), strict=True))
        return {key: each for key, each in flat.items() if each.null_count < self.n}

    def ids(self) -> list[bytes]:
        """Every prediction_id, UTF-8."""
        column = self.column("prediction_id")
        _require(column is not None and _is_text(column.type) and not column.null_count)
        found: list[bytes] = column.cast(pa.large_binary()).to_pylist()  # type: ignore[union-attr]
        _require(b"" not in found)
        return found

    def model(self) -> tuple[str, str]:
        """Environment and name of the one model that all rows are of."""
        environment = DEFAULT_ENVIRONMENT
        if self.column("environment") is not None:
            environment = self._only("environment")
        return environment, self._only("model_name")

    def _only(self, name: str) -> str:
        column = self.column(name)
        _require(column is not None and not column.null_count)
        found = pc.unique(_decoded(column)).to_pylist()
        _require(len(found) == 1 and isinstance(found[0], str))
        text: str = found[0]
        return text

    def times(self, name: str) -> Int64:
        """Milliseconds since the epoch, shape (n,)."""
        column = self.column(name)
        _require(column is not None and not column.null_count)
        kind = column.type  # type: ignore[union-attr]
        if pa.types.is_timestamp(kind):
            _require(kind.tz is not None)
            return timestamps_ms(seconds_of(column))
        _require(pa.types.is_floating(kind) or pa.types.is_integer(kind))
        return timestamps_ms(_numbers(column))  # type: ignore[arg-type]

    def numbers(self, name: str) -> Float64:
        """Float64 of shape (n,); null as NaN."""
        column = self.column(name)
        return np.full(self.n, math.nan) if column is None else _numbers(column)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """Booleans of shape (n,); null as false."""
        column = self.column(name)
        if column is None:
            return np.zeros(self.n, dtype=np.bool_)
        _require(pa.types.is_boolean(column.type))
        return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def integers(self, name: str, *, low: int, high: int) -> Int64:
        """Integers of shape (n,) within bounds; null as 0."""
        column = self.column(name)
        if column is None:
            return np.zeros(self.n, dtype=np.int64)
        _require(pa.types.is_integer(column.type))
        found = np.asarray(column.cast(pa.int64(), safe=False).fill_null(0))
        _require(bool((found >= low).all() and (found <= high).all()))
        return found

    def codes(self, name: str, code: Callable[[str | None], float], dtype: Any) -> NDArray[Any]:
        """Codes of categories, shape (n,)."""
        column = self.column(name)
        if column is None:
            return np.full(self.n, code(None), dtype=dtype)
        return _codes(column, code, dtype)

    def texts_only(self, names: Sequence[str]) -> None:
        """Require that columns hold texts."""
        for name in names:
            column = self.column(name)
            _require(column is None or _is_text(_decoded(column).type))


def _require(holds: bool) -> None:
    if not holds:
        raise UnevenError


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _numbers(column: Any) -> Float64:
    _require(pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _codes(column: Any, code: Callable[[str | None], float], dtype: Any) -> NDArray[Any]:
    """Look at every distinct value that occurs once, in order of appearance."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    _require(_is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind))
    # A dictionary that came along may hold values that no row has, or one twice: it is made anew.
    encoded = _decoded(column).dictionary_encode()
    distinct = texts(encoded.dictionary.to_pylist())
    table = np.array([*map(code, distinct), code(None)], dtype=dtype)
    return np.asarray(table[np.asarray(encoded.indices.fill_null(len(distinct)))])


class PredictionBatch(Batch):
    """Rows of one model whose features are known by their bins.

    Parameters
    ----------
    table
        Rows of a record.
    """

    def __init__(self, table: Any) -> None:
        super().__init__(table, _PREDICTION_COLUMNS)
        self._features = self.fields("features")
        self._tags = self.fields("tags")
        self.texts_only(("error", "variant"))

    def columns(
        self,
        schema: PredictionSchema,
        plan: Plan,
        *,
        order: Int64,
        hashes: tuple[UInt64, UInt64],
        timestamps: Int64,
        versions: Interner,
    ) -> EventColumns:
        """Make the columns; `UnevenError` where a row would be rejected, or have a finding."""
        _require(all(schema.knows(name) for name in self._features))
        failed = np.zeros(self.n, dtype=np.bool_)
        if (error := self.column("error")) is not None:
            failed = np.asarray(error.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
        return EventColumns(
            plan=plan,
            order=order,
            hash_high=hashes[0],
            hash_low=hashes[1],
            timestamp_ms=timestamps,
            version=self._versions(versions),
            numeric=self._numeric(plan),
            categorical=self._categorical(plan),
            segments=self._dimensions(plan.segment_values, plan.segment_offsets),
            groups=self._dimensions(plan.group_values, {}),
            predicted=self._predicted(plan, failed),
            score=self._scores(),
            latency_seconds=self._measure("latency_seconds"),
            cost_usd=self._measure("cost_usd"),
            failed=failed,
            backfill=self.flags("backfill"),
            schema_finding=np.zeros(self.n, dtype=np.bool_),
            rules=self._rules(plan),
            type_findings=None,
        )

    def _versions(self, versions: Interner) -> Codes:
        column = self.column("model_version")
        _require(column is not None and not column.null_count and _is_text(_decoded(column).type))

        def code(version: str | None) -> int:
            _require(version != "")
            return 0 if version is None else versions.code(version)

        return self.codes("model_version", code, np.uint16)

    def _numeric(self, plan: Plan) -> Float64:
        names = [item.name for item in plan.bins if isinstance(item, NumericBins)]
        out = np.full((len(names), self.n), math.nan)
        for i, name in enumerate(names):
            if name in self._features:
                out[i] = _numbers(self._features[name])
        return out.T

    def _categorical(self, plan: Plan) -> Codes:
        items = [item for item in plan.bins if isinstance(item, CategoricalBins)]
        out = np.empty((self.n, len(items)), dtype=np.uint16)
        for i, item in enumerate(items):
            column = self._features.get(item.name)
            out[:, i] = item.missing_slot if column is None else _codes(column, _slot_of(item), np.uint16)
        return out

    def _dimensions(self, dimensions: dict[str, tuple[str, ...]], offsets: dict[str, int]) -> Codes:
        out = np.empty((self.n, len(dimensions)), dtype=np.uint16)
        for i, (name, values) in enumerate(dimensions.items()):
            known = {value: code for code, value in enumerate(values)}
            other = len(values) - 1
            found = coded(self._raw(name), lambda text, k=known, o=other: k.get(text, o), np.uint16)  # type: ignore[misc]
            out[:, i] = found + offsets.get(name, 0)
        return out

    def _raw(self, name: str) -> list[Any]:
        """A field's values: the feature's, and where that is missing the tag's."""
        column, tags = (_values(each.get(name), self.n) for each in (self._features, self._tags))
        # A number that is not itself is NaN, which is missing.
        return [t if v is None or v != v else v for v, t in zip(column, tags, strict=True)]  # noqa: PLR0124

    def _rules(self, plan: Plan) -> NDArray[np.uint8]:
        out = np.zeros((self.n, len(plan.rules)), dtype=np.uint8)
        for i, (_, rule) in enumerate(plan.rules):
            out[:, i] = rule_verdicts(rule, self._raw)
        return out

    def _predicted(self, plan: Plan, failed: NDArray[np.bool_]) -> Float64:
        if plan.spec.task is TaskKind.REGRESSION:
            predicted = self.numbers("prediction_value").copy()
        else:
            predicted = self.codes("prediction_label", _known_only(class_coder(plan), plan.spec), np.float64)
        predicted[failed] = math.nan
        _require(bool((np.isfinite(predicted) | failed).all()))
        return predicted

    def _scores(self) -> NDArray[np.uint8]:
        x = self.numbers("prediction_score")
        inside, missing = (x >= 0.0) & (x <= 1.0), np.isnan(x)
        _require(bool((inside | missing).all()))
        return np.where(missing, np.uint8(SCORE_MISSING), score_bins(np.where(missing, 0.0, x)))

    def _measure(self, name: str) -> Float64:
        values = self.numbers(name)
        _require(not (values < 0.0).any() and not np.isinf(values).any())
        return values


def _known_only(coder: Callable[[str | None], float], spec: ModelSpec) -> Callable[[str | None], float]:
    """A coder that is given up for a class that was not declared."""
    if not spec.classes:
        return coder
    known = {None, *spec.classes}

    def code(label: str | None) -> float:
        _require(label in known)
        return coder(label)

    return code


def _slot_of(item: CategoricalBins) -> Callable[[str | None], float]:
    return lambda text: float(item.encode([text])[0])


def _values(column: Any | None, n: int) -> list[Any]:
    if column is None:
        return [None] * n
    found: list[Any] = column.to_pylist()
    return found


class LabelBatch(Batch):
    """Labels of one model.

    Parameters
    ----------
    table
        Rows of a record.
    """

    def __init__(self, table: Any) -> None:
        super().__init__(table, _LABEL_COLUMNS)
        self.texts_only(("label_source",))

    def actual(self, labels: Interner, spec: ModelSpec, *, retracted: NDArray[np.bool_]) -> Float64:
        """Actual values or codes, shape (n,); `UnevenError` where a label says nothing."""
        if spec.task is TaskKind.REGRESSION:
            found = self.numbers("actual_value")
            _require(self.column("actual_label") is None and not np.isinf(found).any())
        else:
            found = self.codes("actual_label", _known_only(labels.code_or_nan, spec), np.float64)
            _require(self.column("actual_value") is None)
        _require(bool((~np.isnan(found) | retracted).all()))
        return found
