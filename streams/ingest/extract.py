"""From decoded predictions to EventColumns, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import CategoricalBins, NumericBins
from schemas.models import TaskKind
from schemas.monitors import Rule
from streams.control.layout import N_SCORE_BINS, SCORE_MISSING
from streams.control.plan import Plan
from streams.ingest.columns import Codes, EventColumns, Interner
from streams.ingest.schema import PredictionSchema, as_float
from streams.ingest.values import Float64, Int64, UInt64, floats, texts

NOT_EVALUATED, HELD, VIOLATED = 0, 1, 2
_SCALARS: Final = attrgetter("prediction_label", "prediction_value", "prediction_score", "error", "backfill")


class Extraction:
    """Columns of some predictions of one model under one plan.

    Parameters
    ----------
    schema, plan
        What the events were decoded with, and how they are counted.
    events
        Decoded structs.
    type_findings
        By row, the features (or None for another field) that had the wrong type.
    """

    def __init__(
        self,
        schema: PredictionSchema,
        plan: Plan,
        events: Sequence[Any],
        type_findings: dict[int, list[str | None]] | None = None,
    ) -> None:
        self.schema = schema
        self.plan = plan
        self.events = events
        self.n = len(events)
        self.features = [event.features for event in events]
        self._tags = [event.tags for event in events]
        self._findings = self._finding_matrix(type_findings) if type_findings else None

    def _finding_matrix(self, found: dict[int, list[str | None]]) -> NDArray[np.bool_]:
        matrix = np.zeros((self.n, len(self.plan.bins) + 1), dtype=np.bool_)
        place = {name: i for i, name in enumerate(self.plan.feature_names)}
        for row, names in found.items():
            for name in names:
                matrix[row, place.get(name, len(place)) if name is not None else len(place)] = True
        return matrix

    def _find(self, rows: NDArray[np.bool_]) -> None:
        """Count a finding of type that belongs to no feature."""
        if rows.any():
            if self._findings is None:
                self._findings = np.zeros((self.n, len(self.plan.bins) + 1), dtype=np.bool_)
            self._findings[rows, -1] = True

    def columns(
        self,
        *,
        order: Int64,
        hashes: tuple[UInt64, UInt64],
        timestamps: Int64,
        versions: Interner,
        schema_finding: NDArray[np.bool_],
    ) -> EventColumns:
        """Make the columns; what is known of the events already is handed in."""
        plan = self.plan
        scalars = list(zip(*map(_SCALARS, self.events), strict=True))
        failed = np.array([error is not None for error in scalars[3]], dtype=np.bool_)
        predicted = self._predicted(scalars[0], scalars[1], failed)
        return EventColumns(
            plan=plan,
            order=order,
            hash_high=hashes[0],
            hash_low=hashes[1],
            timestamp_ms=timestamps,
            version=versions.codes([event.model_version for event in self.events]),
            numeric=self.schema.matrix(self.features, [b.name for b in plan.bins if isinstance(b, NumericBins)]),
            categorical=self._categorical(),
            segments=self._coded(plan.segment_values, plan.segment_offsets),
            groups=self._coded(plan.group_values, {}),
            predicted=predicted,
            score=self._scores(scalars[2], predicted),
            latency_seconds=self._measure("latency_seconds"),
            cost_usd=self._measure("cost_usd"),
            failed=failed,
            backfill=np.array(scalars[4], dtype=np.bool_),
            schema_finding=schema_finding,
            rules=self._rules(),
            type_findings=self._findings,
        )

    def _measure(self, field: str) -> Float64:
        values = floats(map(attrgetter(field), self.events), self.n)
        negative = values < 0.0
        self._find(negative)
        return np.where(negative, np.nan, values) if negative.any() else values

    def _predicted(self, labels: Sequence[Any], values: Sequence[Any], failed: NDArray[np.bool_]) -> Float64:
        """Class codes or values; a prediction that has neither though it did not fail is a finding."""
        plan = self.plan
        if plan.spec.task is TaskKind.REGRESSION:
            predicted = floats(values, self.n)
        else:
            predicted = np.array(class_codes(plan, texts(labels)), dtype=np.float64)
        predicted[failed] = np.nan
        self._find(np.isnan(predicted) & ~failed)
        return predicted

    def _scores(self, scores: Sequence[Any], predicted: Float64) -> NDArray[np.uint8]:
        try:
            x = np.fromiter(scores, dtype=np.float64, count=self.n)
        except TypeError:
            x = floats((self._score(s, c) for s, c in zip(scores, predicted.tolist(), strict=True)), self.n)
        inside = (x >= 0.0) & (x <= 1.0)
        self._find(~inside & ~np.isnan(x))
        bins = np.minimum(np.where(inside, x, 0.0) * N_SCORE_BINS, N_SCORE_BINS - 1).astype(np.uint8)
        return np.where(inside, bins, np.uint8(SCORE_MISSING))

    def _score(self, score: object, predicted: float) -> float | None:
        """Score of the positive class (binary) or of the predicted one (multiclass)."""
        if not isinstance(score, dict):
            return score  # type: ignore[return-value]
        plan = self.plan
        if plan.spec.task is TaskKind.BINARY:
            wanted: Sequence[str] = sorted(plan.positive_values)
        else:
            wanted = () if np.isnan(predicted) else (plan.classes[int(predicted)],)
        return next((score[name] for name in wanted if name in score), None)

    def _categorical(self) -> Codes:
        found = [item for item in self.plan.bins if isinstance(item, CategoricalBins)]
        out = np.empty((self.n, len(found)), dtype=np.uint16)
        for i, item in enumerate(found):
            out[:, i] = item.encode(texts(self.schema.column(self.features, item.name) or repeat(None, self.n)))
        return out

    def _coded(self, dimensions: dict[str, tuple[str, ...]], offsets: dict[str, int]) -> Codes:
        out = np.empty((self.n, len(dimensions)), dtype=np.uint16)
        for i, (name, values) in enumerate(dimensions.items()):
            codes: dict[str | None, int] = {value: code for code, value in enumerate(values)}
            other = len(values) - 1
            found = map(codes.get, self._texts(name), repeat(other))
            out[:, i] = np.fromiter(found, dtype=np.uint16, count=self.n) + offsets.get(name, 0)
        return out

    def _raw(self, name: str) -> list[Any]:
        """A field's values: the feature's, and where that is missing the tag's."""
        column = self.schema.column(self.features, name)
        tags = [row.get(name) for row in self._tags]
        if column is None:
            return tags
        # A number that is not itself is NaN: the default of a missing numeric feature.
        return [t if v is None or v != v else v for v, t in zip(column, tags, strict=True)]  # noqa: PLR0124

    def _texts(self, name: str) -> list[str | None]:
        return texts(self._raw(name))

    def _rules(self) -> NDArray[np.uint8]:
        out = np.zeros((self.n, len(self.plan.rules)), dtype=np.uint8)
        for i, (_, rule) in enumerate(self.plan.rules):
            out[:, i] = self._rule(rule)
        return out

    def _rule(self, rule: Rule) -> NDArray[np.uint8]:
        raw = self._raw(rule.field)
        if rule.allowed or rule.excluded:
            wanted, holds = (set(rule.allowed), True) if rule.allowed else (set(rule.excluded), False)
            said = [None if text is None else (text in wanted) is holds for text in texts(raw)]
            return np.array([NOT_EVALUATED if s is None else HELD if s else VIOLATED for s in said], dtype=np.uint8)
        x = _numeric(raw)
        low = -np.inf if rule.minimum is None else rule.minimum
        high: Float64 | float = np.inf if rule.maximum is None else rule.maximum
        if rule.less_or_equal is not None:
            high = _numeric(self._raw(rule.less_or_equal))
        verdict = np.where((x >= low) & (x <= high), HELD, VIOLATED)
        return np.where(np.isnan(x) | np.isnan(high), NOT_EVALUATED, verdict).astype(np.uint8)


def _numeric(raw: Sequence[Any]) -> Float64:
    return np.array([as_float(v) for v in raw], dtype=np.float64)


def class_codes(plan: Plan, labels: Sequence[str | None]) -> list[float]:
    """Class codes of labels under a plan; NaN for None."""
    nan = float("nan")
    if plan.spec.task is TaskKind.BINARY:
        known: dict[str | None, float] = {None: nan, **dict.fromkeys(plan.positive_values, 1.0)}
        return [known.get(name, 0.0) for name in labels]
    other = len(plan.classes) - 1
    codes = plan.class_codes
    return [nan if name is None else float(codes.get(name, other)) for name in labels]
