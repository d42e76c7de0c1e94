"""From decoded predictions to EventColumns, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.binning import CategoricalBins, NumericBins
from schemas.models import TaskKind
from streams.control.layout import N_SCORE_BINS, SCORE_MISSING
from streams.control.plan import Plan
from streams.ingest.columns import Codes, EventColumns, Interner
from streams.ingest.rules import rule_verdicts
from streams.ingest.schema import PredictionSchema
from streams.ingest.values import Float64, Int64, UInt64, coded, floats, texts


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
        plan, events = self.plan, self.events
        failed, backfill = self._failed(), np.zeros(self.n, dtype=np.bool_)
        if any([event.backfill for event in events]):  # noqa: C419 - a list is quicker than a generator here
            backfill = np.array([event.backfill for event in events], dtype=np.bool_)
        predicted = self._predicted(failed)
        return EventColumns(
            plan=plan,
            order=order,
            hash_high=hashes[0],
            hash_low=hashes[1],
            timestamp_ms=timestamps,
            version=versions.codes([event.model_version for event in events]),
            numeric=self.schema.matrix(self.features, [b.name for b in plan.bins if isinstance(b, NumericBins)]),
            categorical=self._categorical(),
            segments=self._coded(plan.segment_values, plan.segment_offsets),
            groups=self._coded(plan.group_values, {}),
            predicted=predicted,
            score=self._scores([event.prediction_score for event in events], predicted),
            latency_seconds=self._measure([event.latency_seconds for event in events]),
            cost_usd=self._measure([event.cost_usd for event in events]),
            failed=failed,
            backfill=backfill,
            schema_finding=schema_finding,
            rules=self._rules(),
            type_findings=self._findings,
        )

    def _failed(self) -> NDArray[np.bool_]:
        errors = [event.error for event in self.events]
        if errors.count(None) == self.n:
            return np.zeros(self.n, dtype=np.bool_)
        return np.array([error is not None for error in errors], dtype=np.bool_)

    def _measure(self, raw: list[float | None]) -> Float64:
        if raw.count(math.nan) == self.n:  # the default of the struct: one object, told by identity
            return np.full(self.n, math.nan)
        values = floats(raw, self.n)
        negative = values < 0.0
        if not negative.any():
            return values
        self._find(negative)
        return np.where(negative, math.nan, values)

    def _predicted(self, failed: NDArray[np.bool_]) -> Float64:
        """Class codes or values; a prediction that has neither though it did not fail is a finding."""
        plan = self.plan
        if plan.spec.task is TaskKind.REGRESSION:
            predicted = floats([event.prediction_value for event in self.events], self.n)
        else:
            labels = [event.prediction_label for event in self.events]
            predicted = coded(labels, class_coder(plan), np.float64)
            if plan.spec.classes and plan.spec.task is TaskKind.BINARY:  # of many classes the others have a code
                known = {None, *plan.spec.classes}
                self._find(coded(labels, lambda label: label not in known, np.float64) > 0.0)
        if failed.any():
            predicted[failed] = math.nan
        self._find(np.isnan(predicted) & ~failed)
        return predicted

    def _scores(self, scores: Sequence[Any], predicted: Float64) -> NDArray[np.uint8]:
        try:
            x = np.fromiter(scores, dtype=np.float64, count=self.n)
        except TypeError:
            x = floats((self._score(s, c) for s, c in zip(scores, predicted.tolist(), strict=True)), self.n)
        inside = (x >= 0.0) & (x <= 1.0)
        if inside.all():
            return score_bins(x)
        self._find(~inside & ~np.isnan(x))
        return np.where(inside, score_bins(np.where(inside, x, 0.0)), np.uint8(SCORE_MISSING))

    def _score(self, score: object, predicted: float) -> float | None:
        """Score of the positive class (binary) or of the predicted one (multiclass); a regression has no classes."""
        if not isinstance(score, dict):
            return score  # type: ignore[return-value]
        plan = self.plan
        if plan.spec.task is TaskKind.REGRESSION:
            return None
        if plan.spec.task is TaskKind.BINARY:
            wanted: Sequence[str] = sorted(plan.positive_values)
        else:
            wanted = () if np.isnan(predicted) else (plan.classes[int(predicted)],)
        return next((score[name] for name in wanted if name in score), None)

    def _categorical(self) -> Codes:
        found = [item for item in self.plan.bins if isinstance(item, CategoricalBins)]
        out = np.empty((self.n, len(found)), dtype=np.uint16)
        for i, item in enumerate(found):
            column = self.schema.column(self.features, item.name)
            out[:, i] = item.missing_slot if column is None else self._slots(item, column)
        return out

    @staticmethod
    def _slots(item: CategoricalBins, column: list[Any]) -> NDArray[Any]:
        try:
            return item.encode_known(column)
        except KeyError:
            return item.encode(texts(column))

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
        tags = [event.tags.get(name) for event in self.events]
        if column is None:
            return tags
        # A number that is not itself is NaN: the default of a missing numeric feature.
        return [t if v is None or v != v else v for v, t in zip(column, tags, strict=True)]  # noqa: PLR0124

    def _texts(self, name: str) -> list[str | None]:
        return texts(self._raw(name))

    def _rules(self) -> NDArray[np.uint8]:
        out = np.zeros((self.n, len(self.plan.rules)), dtype=np.uint8)
        for i, (_, rule) in enumerate(self.plan.rules):
            out[:, i] = rule_verdicts(rule, self._raw)
        return out


def score_bins(scores: Float64) -> NDArray[np.uint8]:
    """Bins of scores within [0, 1]."""
    return np.minimum((scores * N_SCORE_BINS).astype(np.uint8), np.uint8(N_SCORE_BINS - 1))


def class_coder(plan: Plan) -> Callable[[str | None], float]:
    """Return what gives the class code of a label under a plan; NaN for None."""
    if plan.spec.task is TaskKind.BINARY:
        positive = plan.positive_values
        return lambda label: math.nan if label is None else float(label in positive)
    codes, other = plan.class_codes, len(plan.classes) - 1
    return lambda label: math.nan if label is None else float(codes.get(label, other))


def class_codes(plan: Plan, labels: Sequence[str | None]) -> list[float]:
    """Class codes of labels under a plan; NaN for None."""
    return list(map(class_coder(plan), labels))
