"""From columns to slots of a plan's layout: which counts each event adds one to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.binning import NumericBins
from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS
from schemas.models import TaskKind
from streams.control import layout as sections
from streams.control.layout import FIXED_POINT, N_SCORE_BINS, SCORE_MISSING
from streams.control.plan import RESIDUAL_BINS, Plan
from streams.ingest.columns import EventColumns
from streams.ingest.rules import NOT_EVALUATED, VIOLATED
from streams.profiler.table import Array

SlotRows = NDArray[np.int32]
"""(k, n): every event's slots; the slot after the layout's last one stands for none."""
Sums = dict[int, NDArray[np.int64]]
"""By slot what every event adds to it, fixed point."""

_LARGEST: float = float(2**52)
"""A single contribution to a sum is cut off here."""


class SlotBuilder:
    """Collects rows of slots for n events.

    Parameters
    ----------
    plan
        Whose layout.
    n
        Events.
    """

    def __init__(self, plan: Plan, n: int) -> None:
        self._offsets = plan.layout.offsets
        self._none = plan.layout.width
        self._n = n
        self._rows: list[Array] = []
        self.sums: Sums = {}

    def add(self, section: str, codes: Array | int, where: Array | None = None) -> None:
        """Count every event (or those of a mask) at a code of a section."""
        row = np.full(self._n, self._offsets[section], dtype=np.int32)
        row += np.asarray(codes).astype(np.int32)
        if where is not None:
            row[~where] = self._none
        self._rows.append(row)

    def add_sum(self, section: str, values: Array) -> None:
        """Sum a value, in its unit; NaN adds nothing."""
        most = _LARGEST / FIXED_POINT
        scaled = np.clip(np.nan_to_num(values, nan=0.0), -most, most) * FIXED_POINT
        self.sums[self._offsets[section]] = np.rint(scaled).astype(np.int64)

    def add_sums(self, section: str, codes: Array, n_codes: int, values: Array) -> None:
        """Sum a value at the code of each event; NaN adds nothing."""
        most = _LARGEST / FIXED_POINT
        scaled = np.rint(np.clip(np.nan_to_num(values, nan=0.0), -most, most) * FIXED_POINT).astype(np.int64)
        for code in np.unique(codes).tolist():
            if 0 <= code < n_codes:
                self.sums[self._offsets[section] + code] = np.where(codes == code, scaled, 0)

    def rows(self) -> SlotRows:
        """All rows, shape (k, n)."""
        return np.stack(self._rows)


def input_slots(plan: Plan, events: EventColumns) -> tuple[SlotRows, Sums]:
    """Slots of predictions as they arrive."""
    out = SlotBuilder(plan, len(events))
    served, counted = ~events.failed, ~events.backfill
    out.add(sections.N_PREDICTIONS, 0, counted)
    if events.failed.any():
        out.add(sections.N_SERVING_ERRORS, 0, events.failed & counted)
    if events.backfill.any():
        out.add(sections.N_BACKFILL, 0, events.backfill)
    some = None if counted.all() else counted
    out.add(sections.LATENCY, LATENCY_BINS.encode(events.latency_seconds), some)
    out.add(sections.COST, COST_BINS.encode(events.cost_usd), some)
    out.add_sum(sections.SUM_LATENCY, np.where(counted, events.latency_seconds, 0.0))
    out.add_sum(sections.SUM_COST, np.where(counted, events.cost_usd, 0.0))
    _features(plan, events, out, some)
    if events.type_findings is not None:
        for i in np.flatnonzero(events.type_findings.any(axis=0)).tolist():
            out.add(sections.TYPE_FINDING, i, events.type_findings[:, i] & counted)
    if events.schema_finding.any():
        out.add(sections.SCHEMA_FINDING, 0, events.schema_finding & counted)
    for i, (monitor_id, _) in enumerate(plan.rules):
        verdict, section = events.rules[:, i], sections.rule_section(monitor_id)
        out.add(section, 0, (verdict != NOT_EVALUATED) & counted)
        out.add(section, 1, (verdict == VIOLATED) & counted)
    _predictions(plan, events, out, served & counted)
    return out.rows(), out.sums


def _features(plan: Plan, events: EventColumns, out: SlotBuilder, where: Array | None) -> None:
    numeric = categorical = 0
    for item in plan.bins:
        section = sections.feature_section(item.name)
        if isinstance(item, NumericBins):
            out.add(section, item.encode(np.ascontiguousarray(events.numeric[:, numeric])), where)
            numeric += 1
        else:
            out.add(section, events.categorical[:, categorical], where)
            categorical += 1


def _predictions(plan: Plan, events: EventColumns, out: SlotBuilder, where: Array) -> None:
    known = where & ~np.isnan(events.predicted)
    positive = np.zeros(len(events), dtype=np.bool_)
    if plan.spec.task is TaskKind.REGRESSION:
        if plan.prediction_bins is not None:
            out.add(sections.PREDICTION, plan.prediction_bins.encode(events.predicted), where)
    else:
        classes = np.where(known, events.predicted, 0.0).astype(np.int32)
        out.add(sections.PREDICTION, classes, known)
        out.add(sections.SCORE, events.score, where)
        positive = known & (classes == 1) if plan.spec.task is TaskKind.BINARY else positive
    for i, name in enumerate(plan.group_values):
        codes = events.groups[:, i].astype(np.int32) * 2
        out.add(sections.group_section(name), codes, where)
        out.add(sections.group_section(name), codes + 1, positive)


def outcome_slots(plan: Plan, rows: dict[str, Array], actual: Array) -> tuple[SlotRows, Sums]:
    """Slots of labelled predictions.

    Parameters
    ----------
    plan
        Under which the predictions were counted.
    rows
        Columns of rows.
    actual
        Class codes or values under the plan; never NaN.
    """
    out = SlotBuilder(plan, len(actual))
    predicted = rows["predicted"]
    known = ~np.isnan(predicted)
    out.add(sections.N_LABELLED, 0)
    delay = np.maximum(rows["label_timestamp"] - rows["timestamp"], 0) / 1000.0
    out.add(sections.LABEL_DELAY, DELAY_BINS.encode(delay))
    if plan.spec.task is TaskKind.REGRESSION:
        _residuals(plan, predicted, actual, out)
        return out.rows(), out.sums
    n_classes = len(plan.classes)
    said, true = np.where(known, predicted, 0.0).astype(np.int32), actual.astype(np.int32)
    out.add(sections.CONFUSION, true * n_classes + said, known)
    if plan.spec.task is TaskKind.BINARY:
        scored = known & (rows["score"] != SCORE_MISSING)
        out.add(sections.OUTCOME_SCORE, true * N_SCORE_BINS + rows["score"], scored)
        for i, name in enumerate(plan.group_values):
            codes = rows["groups"][:, i].astype(np.int32) * 4 + true * 2 + said
            out.add(sections.group_outcome_section(name), codes, known)
    else:
        scored = known & (rows["score"] != SCORE_MISSING)
        out.add(sections.OUTCOME_SCORE, (true == said) * N_SCORE_BINS + rows["score"], scored)
    return out.rows(), out.sums


def _residuals(plan: Plan, predicted: Array, actual: Array, out: SlotBuilder) -> None:
    scale = plan.value_scale
    with np.errstate(over="ignore"):  # infinite errors and squares are cut off like other large ones
        residual = (predicted - actual) / scale
        known = ~np.isnan(residual)
        out.add(sections.RESIDUAL, RESIDUAL_BINS.encode(residual), known)
        out.add_sum(sections.SUM_ABS_ERROR, np.abs(residual))
        out.add_sum(sections.SUM_ACTUAL, np.where(known, actual / scale, 0.0))
        out.add_sum(sections.SUM_SQUARED_ERROR, residual**2)
        out.add_sum(sections.SUM_ACTUAL_SQUARED, np.where(known, (actual / scale) ** 2, 0.0))
    if plan.prediction_bins is not None:
        _errors_by_prediction(plan, predicted, actual, residual, out)


def _errors_by_prediction(plan: Plan, predicted: Array, actual: Array, residual: Array, out: SlotBuilder) -> None:
    bins = plan.prediction_bins
    if bins is None:
        return
    known = ~np.isnan(residual)
    codes = bins.encode(predicted).astype(np.int32)
    has_ratio = known & (actual != 0.0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        relative = np.abs((predicted - actual) / actual)
        squared = residual**2
    out.add(sections.LABELLED_AT, codes, known)
    out.add(sections.RELATIVE_AT, codes, has_ratio)
    out.add_sums(sections.SUM_ABS_ERROR_AT, codes, bins.n_slots, np.abs(residual))
    out.add_sums(sections.SUM_SQUARED_ERROR_AT, codes, bins.n_slots, squared)
    out.add_sums(sections.SUM_RELATIVE_ERROR_AT, codes, bins.n_slots, np.where(has_ratio, relative, 0.0))
