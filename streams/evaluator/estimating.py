"""Performance without labels in a window, from its counts and the reference's: CBPE for classes, DLE for values.

A window of outcomes has an estimate too, of its labelled events alone: beside what they turned out to be, that is the
self-audit. Why an estimate is not to be trusted is said with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import Calibration, fit_calibration
from detectors.estimation import CONFUSION, estimate_classification, split_scores
from detectors.expected_loss import ExpectedLoss
from schemas.identifiers import ALL_SEGMENT
from schemas.metrics import Estimate
from schemas.models import ModelSpec, TaskKind
from schemas.monitors import Monitor
from schemas.signals import INPUT_DRIFT_SIGNALS, Signal
from streams.control import layout as sections
from streams.control.layout import FIXED_POINT, N_SCORE_BINS
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.signals import Counted

LEAST_LABELLED: Final = 200
"""Labelled events of the reference, below which nothing is estimated."""
_LOSSES: Final[Mapping[str, tuple[str, str]]] = {
    "mae": (sections.SUM_ABS_ERROR_AT, sections.LABELLED_AT),
    "mse": (sections.SUM_SQUARED_ERROR_AT, sections.LABELLED_AT),
    "mape": (sections.SUM_RELATIVE_ERROR_AT, sections.RELATIVE_AT),
}
UNRELIABLE_SIGNALS: Final = INPUT_DRIFT_SIGNALS | {Signal.ESTIMATOR_UNRELIABLE, Signal.UNSEEN_RATIO}
"""Alerts on these say that the reference may not speak for the window any more."""


def estimates(
    window: Counted, view: ReferenceView | None, *, realised: Mapping[str, float | None] | None = None
) -> dict[str, Estimate]:
    """Estimate what a window's labels will say, or would have said.

    Parameters
    ----------
    window
        Counts of a segment in a window, shape (width,).
    view
        The reference; its counts over all segments are what the estimate rests on.
    realised
        With it the window is one of outcomes: its labelled events alone are estimated, and what came of them is put
        beside.

    Returns
    -------
    dict
        Metric (`accuracy`, …, `mae`) to its estimate; empty where the reference holds too little, or the window
        nothing that could be estimated.
    """
    reference = None if view is None or not view.has_counts else view.segment(ALL_SEGMENT)
    if view is None or reference is None:
        return {}
    matured = realised is not None
    if window.plan.spec.task is TaskKind.REGRESSION:
        found = _values(window, reference, view, matured=matured)
    else:
        found = _classes(window, reference, view, matured=matured)
    known = realised or {}
    return {name: each.model_copy(update={"realised": known.get(name)}) for name, each in found.items()}


def _classes(window: Counted, reference: Counted, view: ReferenceView, *, matured: bool) -> dict[str, Estimate]:
    calibration = view.kept(("calibration",), lambda: _calibration(reference))
    if calibration is None:
        return {}
    if matured:
        scores = window.section(sections.OUTCOME_SCORE).reshape(2, N_SCORE_BINS).sum(axis=0)
    else:
        scores = window.section(sections.SCORE)[:N_SCORE_BINS]
    if not scores.sum():
        return {}
    spec = window.plan.spec
    if spec.task is TaskKind.MULTICLASS:
        # Whether the prediction is right is the class here: its "precision" is the accuracy.
        table = np.stack([np.zeros_like(scores), scores])
        return _named(estimate_classification(table, calibration), {"accuracy"})
    table = split_scores(scores, _n_positive(window, float(scores.sum()), matured=matured))
    return _named(estimate_classification(table, calibration, values=_worth(spec)), None)


def _n_positive(window: Counted, n_scored: float, *, matured: bool) -> float:
    """How many of the scored predictions were positive, from all that have a prediction."""
    if matured:
        confusion = window.confusion()
        positive, known = float(confusion[:, 1].sum()), float(confusion.sum())
    else:
        predicted = window.section(sections.PREDICTION)
        positive, known = float(predicted[1]), float(predicted.sum())
    return min(n_scored, positive * n_scored / known) if known else 0.0


def _worth(spec: ModelSpec) -> NDArray[np.float64] | None:
    value = spec.business_value
    if value is None:
        return None
    return np.array([[value.true_negative, value.false_positive], [value.false_negative, value.true_positive]])


def _calibration(reference: Counted) -> Calibration | None:
    table = reference.section(sections.OUTCOME_SCORE)
    if table.shape[-1] != 2 * N_SCORE_BINS:
        return None  # a reference that was made before these were counted
    counts = table.sum(axis=0).reshape(2, N_SCORE_BINS)
    if counts.sum() < LEAST_LABELLED or not counts.sum(axis=1).all():
        return None
    return fit_calibration(counts)


def _named(found: Mapping[str, tuple[float, float, float]], chosen: Iterable[str] | None) -> dict[str, Estimate]:
    names = (set(found) if chosen is None else set(chosen)) - set(CONFUSION)
    return {
        name: Estimate(value=value, lower=lower, upper=upper)
        for name, (value, lower, upper) in found.items()
        if name in names
    }


def _values(window: Counted, reference: Counted, view: ReferenceView, *, matured: bool) -> dict[str, Estimate]:
    predictions = window.section(sections.LABELLED_AT if matured else sections.PREDICTION)
    unit = window.plan.value_scale
    found: dict[str, Estimate] = {}
    for name, (sums, counts) in _LOSSES.items():
        loss = view.kept(("expected_loss", name), lambda s=sums, c=counts: _loss(reference, s, c))  # type: ignore[misc]
        if loss is None or predictions.shape != loss.by_bin.shape:
            continue
        estimate = loss.estimate(predictions)
        if estimate is not None:
            found[name] = _scaled(estimate, {"mae": unit, "mse": unit**2, "mape": 1.0}[name])
    if "mse" in found:
        squared = found.pop("mse")
        root = {key: value**0.5 for key, value in squared.model_dump().items() if value is not None}
        found["rmse"] = Estimate.model_validate(root)
    return found


def _loss(reference: Counted, sums: str, counts: str) -> ExpectedLoss | None:
    if counts not in reference.layout or reference.section(sections.LABELLED_AT).sum() < LEAST_LABELLED:
        return None
    return ExpectedLoss.fit(reference.section(sums) / FIXED_POINT, reference.section(counts))


def _scaled(estimate: tuple[float, float | None, float | None], unit: float) -> Estimate:
    value, lower, upper = estimate
    return Estimate(
        value=value * unit,
        lower=None if lower is None else lower * unit,
        upper=None if upper is None else upper * unit,
    )


def estimated_value(found: Mapping[str, Estimate], monitor: Monitor) -> float | None:
    """The value of an `estimated_…` signal."""
    estimate = found.get(monitor.signal.value.removeprefix("estimated_"))
    return None if estimate is None else estimate.value


def why_unreliable(raised: Iterable[str], monitors: Iterable[Monitor]) -> list[str]:
    """Of monitors with an alert in force, those on what estimates rest on."""
    doubtful = {monitor.monitor_id for monitor in monitors if monitor.signal in UNRELIABLE_SIGNALS}
    return sorted(doubtful & set(raised))


def residual_values(view: ReferenceView) -> NDArray[np.float64] | None:
    """What an outcome says of the calibration, for each slot of `outcome_score`; None where there is none.

    Returns
    -------
    numpy.ndarray or None
        Shape (2, slots), each (r + 1) / 2 of a residual r with mean zero while the calibration holds: whether it is
        right less how sure it was, sign(c - 1/2) (y - c), and y - c itself.
    """
    reference = view.segment(ALL_SEGMENT) if view.has_counts else None
    calibration = None if reference is None else view.kept(("calibration",), lambda: _calibration(reference))
    if calibration is None:
        return None
    c = calibration.probability
    residual = np.concatenate([-c, 1.0 - c])
    side = np.tile(np.where(c >= 0.5, 1.0, -1.0), 2)
    return np.stack([side * residual + 1.0, residual + 1.0]) / 2.0
