"""Series: a monitor on one segment and feature of one version, and how it bets on a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.binning import NumericBins
from detectors.bounded_mean import BoundedMean
from detectors.classification import score_loss_table
from detectors.divergences import Companion as Divergence
from detectors.divergences import companions
from detectors.two_sided import MeanTest, mean_test
from schemas.identifiers import ALL_SEGMENT, segment_name
from schemas.models import TaskKind
from schemas.monitors import OUTCOME_SIGNALS, RESOURCE_SIGNALS, Monitor, Signal
from streams.control import layout as sections
from streams.control.calendar import cell_of_week
from streams.control.plan import RESIDUAL_BINS, Plan
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.signals import (
    LOWER_IS_WORSE,
    PER_FEATURE_SIGNALS,
    QUANTILE_SIGNALS,
    Counted,
    applies_to,
    is_rate_of,
    rate_pair,
)

_DAY_MS: Final = 86_400_000
_LOSSES: Final = {Signal.BRIER: "brier", Signal.LOG_LOSS: "log_loss"}
_SMALLEST_TOLERANCE: Final = 0.001
"""A guardrail without a tolerance still needs a share to be tested against."""
_RESIDUAL_QUANTILE: Final = 0.90
"""The mean absolute error is bet on through the share of residuals above this quantile of the reference."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is watched as one: (monitor, segment, feature). The version is the caller's."""

    monitor: Monitor
    segment: str
    feature: str | None

    @property
    def key(self) -> str:
        """Name within a version."""
        return "|".join((self.monitor.monitor_id, self.segment, self.feature or ""))

    @property
    def needs_labels(self) -> bool:
        """Whether it is fed at maturity."""
        return self.monitor.signal in OUTCOME_SIGNALS


@dataclass(frozen=True, slots=True)
class Reading:
    """What a series sees in a window, before any accumulation.

    `log_bets` is None where nothing can be tested yet: then `why` says what is missing.
    """

    n: int
    value: float | None
    reference_value: float | None
    log_bets: NDArray[np.float64] | None = None
    clearing_bets: Callable[[], NDArray[np.float64]] | None = None
    """Bets of the mirrored test; asked for only while an alarm is in force."""
    why: str = ""
    companions: tuple[Divergence, ...] = ()
    summary: str = ""


def expand(monitors: Sequence[Monitor], plan: Plan) -> list[Series]:
    """List the series of a model's monitors: each watched segment, and each feature where the signal has them."""
    series: list[Series] = []
    for monitor in monitors:
        if monitor.signal in RESOURCE_SIGNALS:
            continue
        segments = [ALL_SEGMENT]
        for dimension in monitor.by:
            values = plan.segment_values.get(dimension, ())
            segments += [segment_name(dimension, value) for value in values]
        features: list[str | None] = [None]
        if monitor.signal in PER_FEATURE_SIGNALS:
            chosen = monitor.features or plan.feature_names
            features = [f for f in chosen if f in plan.feature_names and applies_to(monitor.signal, plan, f)]
        series += [Series(monitor, segment, feature) for segment in segments for feature in features]
    return series


def read(series: Series, window: Counted, view: ReferenceView | None, *, cell_start_ms: int, n_series: int) -> Reading:
    """Read one series in one window.

    Parameters
    ----------
    series
        What is watched.
    window
        Counts of the series' segment, shape (width,).
    view
        The reference; None while there is none.
    cell_start_ms
        Start of the window, for the cell of the week.
    n_series
        Number of series that share the error of an estimated baseline.
    """
    context = _context(series.monitor, window.plan, cell_start_ms)
    signal = series.monitor.signal
    if signal in {Signal.FEATURE_DRIFT, Signal.PREDICTION_DRIFT}:
        return _read_distribution(series, window, view, context, n_series)
    if signal in _LOSSES:
        return _read_loss(series, window, view, n_series)
    return _read_rate(series, window, view, context, n_series)


def _context(monitor: Monitor, plan: Plan, cell_start_ms: int) -> int | None:
    chosen = monitor.reference_context
    if chosen is None:
        is_input = monitor.signal not in OUTCOME_SIGNALS
        chosen = "cell_of_week" if is_input and plan.cell_ms < _DAY_MS else "global"
    if chosen == "global":
        return None
    return cell_of_week(cell_start_ms, plan.cell_ms, plan.spec.time_zone)


def _read_rate(
    series: Series, window: Counted, view: ReferenceView | None, context: int | None, n_series: int
) -> Reading:
    monitor, signal = series.monitor, series.monitor.signal
    if not is_rate_of(signal, window.plan.spec.task):
        return Reading(0, None, None, why=f"a {window.plan.spec.task} model has no {signal.value}")
    first_slot = None if view is None else first_slot_of(signal, view, series.segment)
    pair = partial(rate_pair, signal, monitor=monitor, feature=series.feature, first_slot=first_slot)
    n1, n = (int(item) for item in pair(window))
    value = n1 / n if n else None
    if signal is Signal.RULE_VIOLATION_RATIO:
        # A guardrail says itself what it tolerates: it is held against that, not against the past.
        rule = BoundedMean(m0=max(monitor.tolerance, _SMALLEST_TOLERANCE))
        return Reading(
            n, value, monitor.tolerance, rule.bernoulli_log_bets(n1, n - n1), partial(_clearing, rule, n1, n)
        )
    if view is None or not view.has_counts:
        return Reading(n, value, None, why="no reference with counts yet")
    baseline = view.rate((monitor.monitor_id, series.feature), series.segment, pair, n_series=n_series, context=context)
    if baseline is None:
        return Reading(n, value, None, why="the reference holds too little of this series")
    test = _mean_test(monitor, baseline)
    if test is None:
        return Reading(n, value, baseline.mean, why="the reference's bound and the tolerance leave no room")
    return Reading(n, value, baseline.mean, test.bernoulli_log_bets(n1, n - n1), partial(_clearing, test, n1, n))


def _clearing(test: MeanTest, n1: int, n: int) -> NDArray[np.float64]:
    return test.mirrored().bernoulli_log_bets(n1, n - n1)


def _mean_test(monitor: Monitor, baseline: Baseline) -> MeanTest | None:
    """The test of a rate or loss; None where the bound and the tolerance leave no room for an alarm."""
    direction = monitor.direction or ("fall" if monitor.signal in LOWER_IS_WORSE else "rise")
    return mean_test(
        direction,
        upper=baseline.upper,
        lower=baseline.lower,
        tolerance=monitor.tolerance,
        inflation=baseline.inflation,
    )


def first_slot_of(signal: Signal, view: ReferenceView, segment: str) -> int | None:
    """First slot above the reference's own quantile, for signals that count what lies above it; else None."""
    if signal is Signal.MAE:
        return view.first_slot_above(sections.RESIDUAL, RESIDUAL_BINS, _RESIDUAL_QUANTILE, segment)
    if signal not in QUANTILE_SIGNALS:
        return None
    section, bins, q = QUANTILE_SIGNALS[signal]
    return view.first_slot_above(section, bins, q, segment)


def _read_loss(series: Series, window: Counted, view: ReferenceView | None, n_series: int) -> Reading:
    """Brier score and log loss: bounded losses, one value for each score bin and class."""
    if window.plan.spec.task is not TaskKind.BINARY:
        return Reading(0, None, None, why="only binary models have score bins")
    kind = series.monitor.signal
    table = score_loss_table("brier" if kind is Signal.BRIER else "log_loss").ravel()
    counts = window.section(sections.OUTCOME_SCORE)
    n = int(counts.sum())
    value = float(table @ counts) / n if n else None

    if view is None or not view.has_counts:
        return Reading(n, value, None, why="no reference with counts yet")
    # Bounds are those of an event with that mean, which varies at least as much; the inflation is the loss's own.
    baseline = view.mean(
        series.monitor.monitor_id, series.segment, sections.OUTCOME_SCORE, table.astype(np.float64), n_series=n_series
    )
    test = None if baseline is None else _mean_test(series.monitor, baseline)
    if baseline is None or test is None:
        return Reading(n, value, None, why="the reference holds too little of this series")
    return Reading(
        n, value, baseline.mean, test.log_bets(table, counts), partial(test.mirrored().log_bets, table, counts)
    )


def _read_distribution(
    series: Series, window: Counted, view: ReferenceView | None, context: int | None, n_series: int
) -> Reading:
    section, n_ranked, ordered, labels = _slots(series, window.plan)
    counts = window.section(section)[:n_ranked]
    n = int(counts.sum())
    if view is None or not view.has_counts:
        return Reading(n, None, None, why="no reference with counts yet")
    held = view.distribution(section, series.segment, n_ranked, ordered=ordered, context=context)
    if held is None:
        return Reading(n, None, None, why="the reference holds too little of this series")
    bets = held.bets(n_series=n_series, tolerance=series.monitor.tolerance)
    shown = companions(
        held.probabilities * held.held.n,
        counts,
        n_effective=held.held.n / held.inflation,
        inflation=held.inflation,
        ordered=ordered,
        null=held.null,
    )
    psi = next((item.value for item in shown if item.name == "psi"), None)
    summary = _most_moved(held.probabilities, counts, labels) if n else ""
    return Reading(n, psi, 0.0, bets.log_bets(counts), None, companions=tuple(shown), summary=summary)


def _slots(series: Series, plan: Plan) -> tuple[str, int, bool, list[str]]:
    """Section, number of slots that are compared, whether they have an order, and their names."""
    if series.feature is not None:
        bins = plan.bins[plan.feature_names.index(series.feature)]
        ordered = isinstance(bins, NumericBins)
        n_ranked = bins.n_ranked if isinstance(bins, NumericBins) else bins.missing_slot
        return sections.feature_section(series.feature), n_ranked, ordered, bins.labels()
    if plan.prediction_bins is not None:
        bins = plan.prediction_bins
        return sections.PREDICTION, bins.n_ranked, True, bins.labels()
    if plan.spec.task is TaskKind.BINARY:
        names = [f"score {slot / sections.N_SCORE_BINS:.2f}" for slot in range(sections.N_SCORE_BINS)]
        return sections.SCORE, sections.N_SCORE_BINS, True, names
    return sections.PREDICTION, len(plan.classes), False, list(plan.classes)


def _most_moved(probabilities: NDArray[np.float64], counts: NDArray[np.int64], labels: list[str]) -> str:
    share = counts / counts.sum()
    slot = int(np.abs(share - probabilities).argmax())
    return f"{labels[slot]}: {probabilities[slot]:.1%} in the reference, {share[slot]:.1%} now"
