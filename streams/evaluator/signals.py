"""Signals from counts: the table that says which slots make up each signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import NumericBins
from detectors.classification import SCORE_MIDPOINTS, classification_metrics
from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS, LogBins
from detectors.regression import regression_metrics
from schemas.models import TaskKind
from schemas.monitors import Monitor
from schemas.signals import FEATURE_SIGNALS, Signal
from streams.control import layout as sections
from streams.control.layout import FIXED_POINT, Layout
from streams.control.plan import RESIDUAL_BINS, Plan

Counts = NDArray[np.int64]
Pair = tuple[NDArray[Any], NDArray[Any]]

assert len(SCORE_MIDPOINTS) == sections.N_SCORE_BINS  # noqa: S101 - both rooms must cut scores alike

LOWER_IS_WORSE: Final = frozenset({Signal.ACCURACY, Signal.RECALL, Signal.PRECISION, Signal.LABEL_COVERAGE})
"""Rates whose fall is the harm."""

QUANTILE_SIGNALS: Final[dict[Signal, tuple[str, LogBins, float]]] = {
    Signal.LATENCY_P50: (sections.LATENCY, LATENCY_BINS, 0.50),
    Signal.LATENCY_P95: (sections.LATENCY, LATENCY_BINS, 0.95),
    Signal.LATENCY_P99: (sections.LATENCY, LATENCY_BINS, 0.99),
    Signal.COST_P95: (sections.COST, COST_BINS, 0.95),
    Signal.LABEL_DELAY_P95: (sections.LABEL_DELAY, DELAY_BINS, 0.95),
}
"""Section, bins and quantile; what is tested is the share above the reference's own quantile."""

PER_FEATURE_SIGNALS: Final = FEATURE_SIGNALS


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts under a layout: shape (width,) for a window, (cells, width) for a reference."""

    plan: Plan
    layout: Layout
    counts: Counts

    def section(self, name: str) -> Counts:
        """The counts of a section, last axis its slots; zeros where the layout has none."""
        if name not in self.layout:
            return np.zeros((*self.counts.shape[:-1], 1), dtype=np.int64)
        return self.counts[..., self.layout.slice(name)]

    def total(self, name: str) -> NDArray[Any]:
        """Sum over a section's slots."""
        return np.asarray(self.section(name).sum(axis=-1))

    def confusion(self) -> Counts:
        """Rows actual, columns predicted, as the last two axes."""
        n = len(self.plan.classes)
        return self.section(sections.CONFUSION).reshape(*self.counts.shape[:-1], n, n)


def rate_pair(
    signal: Signal, counted: Counted, *, monitor: Monitor, feature: str | None = None, first_slot: int | None = None
) -> Pair:
    """Events that count and all relevant events of a rate.

    Parameters
    ----------
    signal
        A rate signal.
    counted
        Window or reference.
    monitor
        For a guardrail's section.
    feature
        For signals that have features.
    first_slot
        For quantile signals: the first slot above the reference's quantile.

    Returns
    -------
    tuple of numpy.ndarray
        (n1, n), with the leading shape of the counts.

    Raises
    ------
    ValueError
        For a signal that is no rate, or a model whose task does not have it.
    """
    if signal in QUANTILE_SIGNALS:
        section, bins, _ = QUANTILE_SIGNALS[signal]
        table = counted.section(section)[..., : bins.missing_slot]
        return table[..., (0 if first_slot is None else first_slot) :].sum(axis=-1), table.sum(axis=-1)
    if signal in PER_FEATURE_SIGNALS:
        return _feature_pair(signal, counted, feature or "")
    if signal is Signal.RULE_VIOLATION_RATIO:
        table = counted.section(sections.rule_section(monitor.monitor_id))
        return table[..., -1], table[..., 0]
    if signal in _COUNT_PAIRS:
        return _COUNT_PAIRS[signal](counted)
    if signal is Signal.MAE and counted.plan.spec.task is TaskKind.REGRESSION:
        return _large_residuals(counted, first_slot)
    pairs = _CONFUSION_PAIRS.get(signal)
    if pairs is None or counted.plan.spec.task is TaskKind.REGRESSION:
        msg = f"signal = {signal.value!r} is no rate of a {counted.plan.spec.task} model"
        raise ValueError(msg)
    return pairs(counted.confusion())


def _feature_pair(signal: Signal, counted: Counted, feature: str) -> Pair:
    index = counted.plan.feature_names.index(feature)
    bins = counted.plan.bins[index]
    table = counted.section(sections.feature_section(feature))
    n = table.sum(axis=-1)
    if signal is Signal.TYPE_VIOLATION_RATIO:
        return counted.section(sections.TYPE_FINDING)[..., index], n
    if signal is Signal.MISSING_RATIO:
        return table[..., bins.missing_slot], n
    if isinstance(bins, NumericBins):
        if signal is Signal.OUT_OF_RANGE_RATIO:
            return table[..., 0] + table[..., bins.n_ranked - 1], n
        return table[..., bins.non_finite_slot], n
    if signal is Signal.UNSEEN_RATIO:
        return table[..., bins.unseen_slot], n
    return np.zeros_like(n), n


def applies_to(signal: Signal, plan: Plan, feature: str) -> bool:
    """Whether a per-feature signal says anything about a feature: only numbers have a range."""
    bins = plan.bins[plan.feature_names.index(feature)]
    if signal is Signal.OUT_OF_RANGE_RATIO:
        return isinstance(bins, NumericBins)
    if signal is Signal.UNSEEN_RATIO:
        return not isinstance(bins, NumericBins)
    return True


def _large_residuals(counted: Counted, first_slot: int | None) -> Pair:
    """Residuals whose magnitude lies above the reference's 90th percentile stand for the mean error."""
    table = counted.section(sections.RESIDUAL)
    folded = np.apply_along_axis(RESIDUAL_BINS.fold, -1, table)
    magnitudes = folded[..., : RESIDUAL_BINS.magnitudes.missing_slot]
    return magnitudes[..., (0 if first_slot is None else first_slot) :].sum(axis=-1), magnitudes.sum(axis=-1)


_COUNT_PAIRS: Final[dict[Signal, Callable[[Counted], Pair]]] = {
    Signal.SERVING_ERROR_RATIO: lambda c: (c.total(sections.N_SERVING_ERRORS), c.total(sections.N_PREDICTIONS)),
    Signal.SCHEMA_VIOLATION_RATIO: lambda c: (
        np.minimum(c.total(sections.SCHEMA_FINDING) + _event_findings(c), c.total(sections.N_PREDICTIONS)),
        c.total(sections.N_PREDICTIONS),
    ),
    Signal.LABEL_COVERAGE: lambda c: (
        c.total(sections.N_LABELLED),
        np.maximum(c.total(sections.N_PREDICTIONS) - c.total(sections.N_SERVING_ERRORS), c.total(sections.N_LABELLED)),
    ),
}


def _event_findings(counted: Counted) -> NDArray[Any]:
    """Events in which something was wrong that is no feature: a score beyond [0, 1], no prediction, a negative cost."""
    return np.asarray(counted.section(sections.TYPE_FINDING)[..., -1])


def _trace(confusion: Counts) -> NDArray[Any]:
    return np.asarray(np.trace(confusion, axis1=-2, axis2=-1))


def _all(confusion: Counts) -> NDArray[Any]:
    return np.asarray(confusion.sum(axis=(-2, -1)))


_CONFUSION_PAIRS: Final[dict[Signal, Callable[[Counts], Pair]]] = {
    Signal.ERROR_RATE: lambda m: (_all(m) - _trace(m), _all(m)),
    Signal.ACCURACY: lambda m: (_trace(m), _all(m)),
    Signal.MISS_RATE: lambda m: (m[..., 1, 0], m[..., 1, :].sum(axis=-1)),
    Signal.RECALL: lambda m: (m[..., 1, 1], m[..., 1, :].sum(axis=-1)),
    Signal.PRECISION: lambda m: (m[..., 1, 1], m[..., :, 1].sum(axis=-1)),
    Signal.FALSE_DISCOVERY_RATE: lambda m: (m[..., 0, 1], m[..., :, 1].sum(axis=-1)),
    Signal.FALSE_POSITIVE_RATE: lambda m: (m[..., 0, 1], m[..., 0, :].sum(axis=-1)),
}

RATE_SIGNALS: Final = frozenset(
    {*QUANTILE_SIGNALS, *(PER_FEATURE_SIGNALS - {Signal.FEATURE_DRIFT}), *_COUNT_PAIRS, *_CONFUSION_PAIRS,
     Signal.RULE_VIOLATION_RATIO, Signal.MAE}
)  # fmt: skip


def is_rate_of(signal: Signal, task: TaskKind) -> bool:
    """Whether a signal is a rate that models of this kind have."""
    if signal is Signal.MAE:
        return task is TaskKind.REGRESSION
    if signal in _CONFUSION_PAIRS:
        return task is TaskKind.BINARY or (task is TaskKind.MULTICLASS and signal in _ANY_CLASSES)
    return signal in RATE_SIGNALS


_ANY_CLASSES: Final = frozenset({Signal.ERROR_RATE, Signal.ACCURACY})
"""Rates of the confusion matrix that need no positive class."""


def input_values(counted: Counted) -> dict[str, float | None]:
    """What a window says before any label: volume, service and cost."""
    n = int(counted.total(sections.N_PREDICTIONS))
    errors = int(counted.total(sections.N_SERVING_ERRORS))
    cost = counted.section(sections.COST)
    n_cost = int(cost[: COST_BINS.missing_slot].sum())
    values: dict[str, float | None] = {
        Signal.VOLUME: float(n),
        Signal.SERVING_ERROR_RATIO: errors / n if n else None,
        Signal.COST_MEAN: float(counted.total(sections.SUM_COST)) / FIXED_POINT / n_cost if n_cost else None,
    }
    for signal in (Signal.LATENCY_P50, Signal.LATENCY_P95, Signal.LATENCY_P99, Signal.COST_P95):
        section, bins, q = QUANTILE_SIGNALS[signal]
        values[signal] = bins.quantile(counted.section(section), q)
    return {str(name): value for name, value in values.items()}


def outcome_values(counted: Counted, *, with_scores: bool = True) -> dict[str, float | None]:
    """What a matured window says of quality; without what needs score bins where that is not asked for."""
    plan = counted.plan
    labelled = int(counted.total(sections.N_LABELLED))
    n1, n = rate_pair(Signal.LABEL_COVERAGE, counted, monitor=_NO_MONITOR)
    values: dict[str, float | None] = {
        str(Signal.LABEL_COVERAGE): float(n1) / float(n) if n else None,
        str(Signal.LABEL_DELAY_P95): DELAY_BINS.quantile(counted.section(sections.LABEL_DELAY), 0.95),
    }
    if plan.spec.task is TaskKind.REGRESSION:
        sums = [float(counted.total(name)) / FIXED_POINT for name in _SUMS]
        unit = plan.value_scale
        sums = [sums[0] * unit, sums[1] * unit**2, sums[2] * unit, sums[3] * unit**2]
        return {**values, **(regression_metrics(labelled, *sums) if labelled else {})}
    scores = None
    if with_scores and plan.spec.task is TaskKind.BINARY:
        scores = counted.section(sections.OUTCOME_SCORE).reshape(2, sections.N_SCORE_BINS)
        scores = scores if scores.sum() else None
    return {**values, **classification_metrics(counted.confusion(), 1, scores)}


_SUMS: Final = (
    sections.SUM_ABS_ERROR, sections.SUM_SQUARED_ERROR, sections.SUM_ACTUAL, sections.SUM_ACTUAL_SQUARED,
)  # fmt: skip
_NO_MONITOR: Final = Monitor(signal=Signal.LABEL_COVERAGE)


def findings(counted: Counted) -> dict[str, int]:
    """Data-quality counters that are not zero: `kind:field` to a count."""
    plan = counted.plan
    found = {"schema": int(counted.total(sections.SCHEMA_FINDING)), "type:event": int(_event_findings(counted))}
    types = counted.section(sections.TYPE_FINDING)
    for index, bins in enumerate(plan.bins):
        table = counted.section(sections.feature_section(bins.name))
        found[f"type:{bins.name}"] = int(types[index])
        found[f"missing:{bins.name}"] = int(table[bins.missing_slot])
        if isinstance(bins, NumericBins):
            found[f"non_finite:{bins.name}"] = int(table[bins.non_finite_slot])
            found[f"out_of_range:{bins.name}"] = int(table[0] + table[bins.n_ranked - 1])
        else:
            found[f"unseen:{bins.name}"] = int(table[bins.unseen_slot])
    return {name: count for name, count in found.items() if count}
