"""Rates and bounded losses of a series, read in a window and bet on with algorithm A."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.bounded_mean import BoundedMean
from detectors.classification import score_loss_table
from detectors.two_sided import MeanTest, mean_test
from schemas.models import TaskKind
from schemas.monitors import Monitor
from schemas.signals import Signal
from streams.control import layout as sections
from streams.control.plan import RESIDUAL_BINS
from streams.evaluator.estimating import residual_values
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.series import Reading, Series
from streams.evaluator.signals import LOWER_IS_WORSE, QUANTILE_SIGNALS, Counted, is_rate_of, rate_pair

LOSSES: Final = {Signal.BRIER: "brier", Signal.LOG_LOSS: "log_loss"}
_SMALLEST_TOLERANCE: Final = 0.001
"""A guardrail without a tolerance still needs a share to be tested against."""
_RESIDUAL_QUANTILE: Final = 0.90
"""The mean absolute error is bet on through the share of residuals above this quantile of the reference."""


def read_rate(
    series: Series, window: Counted, view: ReferenceView | None, context: int | None, n_series: int
) -> Reading:
    """Read a rate in one window; arguments as of `streams.evaluator.reading.read_window`."""
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


def read_calibration(series: Series, window: Counted, view: ReferenceView | None, n_series: int) -> Reading:
    """The self-audit: whether outcomes still are what the calibration on the reference makes of their scores.

    The value is the realised accuracy less the estimated one, of the events that have both.
    """
    if window.plan.spec.task is TaskKind.REGRESSION:
        return Reading(0, None, None, why="only models with classes have score bins")
    counts = window.section(sections.OUTCOME_SCORE)
    n = int(counts.sum())
    tables = None if view is None else view.kept(("residual_values",), partial(residual_values, view))
    if view is None or tables is None:
        return Reading(n, None, None, why="the reference holds too few labelled scores")
    value = 2.0 * float(tables[0] @ counts) / n - 1.0 if n else None
    tests: list[tuple[MeanTest, NDArray[np.float64]]] = []
    for number, values in enumerate(tables):
        key = f"{series.monitor.monitor_id}#{number}"
        baseline = view.mean(key, series.segment, sections.OUTCOME_SCORE, values, n_series=2 * n_series)
        test = None if baseline is None else mean_test(
            "both", upper=baseline.upper, lower=baseline.lower, tolerance=series.monitor.tolerance / 2.0,
            inflation=baseline.inflation,
        )  # fmt: skip
        if test is None:
            return Reading(n, value, None, why="the reference holds too little of this series")
        tests.append((test, values))
    bets = np.concatenate([test.log_bets(values, counts) for test, values in tests])
    return Reading(n, value, 0.0, bets, partial(_both_clear, tests, counts))


def _both_clear(
    tests: Sequence[tuple[MeanTest, NDArray[np.float64]]], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The smaller of the bets, which is fair whichever of the two is still out of true."""
    bets = [test.mirrored().log_bets(values, counts) for test, values in tests]
    return np.asarray(np.minimum(*bets))


def read_loss(series: Series, window: Counted, view: ReferenceView | None, n_series: int) -> Reading:
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
