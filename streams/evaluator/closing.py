"""Closing a cell: metrics, verdicts, alerts; and, once outcomes have matured, evidence for a rollback."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.outcomes import OutcomeDetector, make_outcome_detector
from schemas.alerts import AlertEvidence
from schemas.base import milliseconds
from schemas.identifiers import ALL_SEGMENT, digest, segment_name
from schemas.metrics import BurnStatus, WindowMetrics
from schemas.monitors import RIVER_DETECTORS, Monitor
from schemas.references import Reference
from schemas.signals import (
    CANARY_SIGNALS,
    ESTIMATE_SIGNALS,
    FAIRNESS_SIGNALS,
    OUTCOME_SIGNALS,
    RESOURCE_SIGNALS,
    Signal,
)
from streams.control import layout as sections
from streams.evaluator import alerting
from streams.evaluator.alert_evidence import evidence_of_alarm, evidence_of_burn, evidence_of_value
from streams.evaluator.blame import with_other_versions
from streams.evaluator.burning import burn_condition, burn_status, leading
from streams.evaluator.cells import CellKey
from streams.evaluator.deployments import evidence_matures_with, mark_cell, observe_canary, raised_in
from streams.evaluator.estimating import estimated_value, estimates, why_unreliable
from streams.evaluator.fairness import rate_difference
from streams.evaluator.inputs_seen import current_moves, inputs_of, keep_inputs
from streams.evaluator.lifecycle import Condition
from streams.evaluator.model import ModelEvaluator
from streams.evaluator.reading import read_window
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.scene import Scene
from streams.evaluator.series import Series
from streams.evaluator.serving import champion
from streams.evaluator.signals import Counted, input_values, outcome_values, rate_pair
from streams.evaluator.state import BurnHistory
from streams.evaluator.watch import Alarm, Watched, threshold_condition, watch
from streams.evaluator.windows import Closing, alert_key, window_metrics


def close_cell(model: ModelEvaluator, cell_ms: int, *, outcomes: bool, now_ms: int) -> None:
    """Close a cell of every version, for its inputs or for its outcomes.

    Parameters
    ----------
    model
        Whose cell it is; what follows is published there.
    cell_ms
        Start of the cell.
    outcomes
        Whether its outcomes have matured; else its inputs are complete.
    now_ms
        Event time at which it was due.
    """
    present = model.in_cell(cell_ms, outcomes=outcomes)
    serving = {d.model_version for d in model.serving(now_ms)}
    in_maintenance = model.maintenance(cell_ms, cell_ms + milliseconds(model.spec().cell)) is not None
    canary = None if in_maintenance else observe_canary(model, cell_ms, now_ms, outcomes=outcomes)
    for key, plan in present:
        closing = Closing(
            key=key,
            plan=plan,
            cell=model.cells.in_time(key, plan, outcomes=outcomes),
            outcomes=outcomes,
            is_serving=not serving or key.model_version in serving,
            n_versions=max(1, len({k.model_version for k, _ in present})),
            now_ms=now_ms,
            maintenance=model.maintenance(cell_ms, cell_ms + plan.cell_ms),
            canary=canary if canary is not None and canary.candidate == key.model_version else None,
        )
        _close(model, closing)
    end = cell_ms + max((plan.cell_ms for _, plan in present), default=milliseconds(model.spec().cell))
    if outcomes:
        model.state.outcomes_closed_ms = end
    else:
        model.state.inputs_closed_ms = end
        keep_inputs(model, cell_ms)


def _close(model: ModelEvaluator, closing: Closing) -> None:
    cell_ms, version = closing.key.cell_ms, closing.key.model_version
    series = model.derived.series(model.key, closing.plan, cell_ms)
    view = model.derived.view(model.key, closing.plan, cell_ms)
    watched = Watched(readings={}, statistics={}, thresholds={})
    scene = _scene(model, closing, view.reference if view else None)
    burns: list[BurnStatus] = []
    if closing.is_judged:
        watched = watch(
            series=series,
            share=model.derived.weights(model.key, closing.plan, cell_ms),
            closing=[s for s in series if s.needs_labels is closing.outcomes],
            read=lambda some: read_window(
                some, closing.counted, view, closing.plan, cell_start_ms=cell_ms, n_series=max(1, len(series))
            ),
            states=model.state.series,
            model_version=version,
            spec=closing.plan.spec,
            n_versions=closing.n_versions,
        )
        _remember_moves(model, closing, watched)
        scene = _scene(model, closing, view.reference if view else None)
        _advance_detectors(model, closing, series, watched, scene)
        burns = _advance_values(model, closing, scene, view)
    window = window_metrics(model.state, closing, series, watched, scene, burns)
    model.publish(_with_estimates(model, closing, view, window))


def _with_estimates(
    model: ModelEvaluator, closing: Closing, view: ReferenceView | None, window: WindowMetrics
) -> WindowMetrics:
    """Performance without labels; of a matured window for its labelled events, beside what they turned out to be."""
    found = estimates(closing.counted(), view, realised=window.values if closing.outcomes else None)
    if not found:
        return window
    cell_ms, version = closing.key.cell_ms, closing.key.model_version
    raised = raised_in(model, version, cell_ms, outcomes=closing.outcomes)
    doubts = why_unreliable(raised, model.monitors(cell_ms))
    return window.model_copy(update={"estimates": found, "estimates_unreliable": doubts})


def _scene(model: ModelEvaluator, closing: Closing, reference: Reference | None) -> Scene:
    deployments = [d for d in model.serving(closing.now_ms) if d.model_version == closing.key.model_version]
    counted = closing.counted()
    n1, n = rate_pair(Signal.LABEL_COVERAGE, counted, monitor=_COVERAGE)
    return Scene(
        spec=closing.plan.spec,
        model_version=closing.key.model_version,
        window_start_ms=closing.key.cell_ms,
        window_end_ms=closing.end_ms,
        n=int(counted.total(sections.N_PREDICTIONS)),
        reference=reference,
        deployment=champion(deployments) or (deployments[0] if deployments else None),
        config_revision=model.derived.config_revision(model.key, closing.key.cell_ms),
        coverage=float(n1) / float(n) if closing.outcomes and n else None,
        moves=inputs_of(model, closing.key.cell_ms).moves if closing.outcomes else current_moves(model),
        offsets=model.offsets,
    )


USUAL_WEIGHT = 0.02
"""Weight of a new window in what is usual of a feature: about fifty windows."""
_COVERAGE = Monitor(signal=Signal.LABEL_COVERAGE)


def _remember_moves(model: ModelEvaluator, closing: Closing, watched: Watched) -> None:
    """Keep how far each feature has moved: an alert about outcomes says which inputs moved with them."""
    if closing.outcomes:
        return
    for name, reading in watched.readings.items():
        if reading.summarise is None or reading.value is None:
            continue
        whole, feature = f"|{ALL_SEGMENT}|", name.partition(f"|{ALL_SEGMENT}|")[2]
        if feature and name.find("|") == name.find(whole):
            usual = model.state.usual.get(feature, reading.value)
            model.state.moved[feature] = max(0.0, reading.value - usual)
            model.state.usual[feature] = usual + USUAL_WEIGHT * (reading.value - usual)
            model.state.moves[feature] = reading.summarise()


def _advance_detectors(
    model: ModelEvaluator, closing: Closing, series: Sequence[Series], watched: Watched, scene: Scene
) -> None:
    """Take what the e-detectors say into the alerts of their monitors."""
    raising: dict[str, Alarm] = {alarm.leading.series.monitor.monitor_id: alarm for alarm in watched.alarms}
    for alarm in watched.alarms:
        _mark_history(model, closing.key, alarm)
    for monitor in model.monitors(closing.key.cell_ms):
        own = [s for s in series if s.monitor.monitor_id == monitor.monitor_id and s.key in watched.readings]
        if monitor.detector != "e_detector" or not own:
            continue
        raised = raising.get(monitor.monitor_id)
        condition = Condition.BREACH if raised else _quiet_condition(model, closing, monitor, watched)
        evidence = evidence_of_alarm(raised, scene) if raised else None
        carriers = [c.series.key for c in raised.carriers] if raised else []
        step_alert(model, monitor, condition, scene, evidence, carriers)


def _quiet_condition(model: ModelEvaluator, closing: Closing, monitor: Monitor, watched: Watched) -> Condition:
    """What a window without an alarm says: the series that raised it have recovered, are quiet, or too few."""
    alert = model.state.alerts.get(alert_key(closing.key.model_version, monitor))
    if alert is None:
        return Condition.CLEAR
    own = [name for name in alert.series if name in watched.readings]
    if own and all(name in watched.recovered for name in own):
        return Condition.RECOVERED
    kept = [model.state.series.get(f"{closing.key.model_version}|{name}") for name in alert.series]
    enough = any(item is not None and item.n_since_reset >= monitor.min_samples for item in kept)
    if enough:
        return Condition.CLEAR
    waited = closing.end_ms - alert.last_alarm_ms >= milliseconds(monitor.keep_firing)
    return Condition.NO_DATA if waited else Condition.BETWEEN


def _mark_history(model: ModelEvaluator, key: CellKey, alarm: Alarm) -> None:
    """An alarm stands in the record of its cell: a drift of the evidence's own signal, or a page."""
    evidence = model.spec().rollback.evidence
    is_page = alarm.severity == "page"
    is_own = any(c.series.monitor.signal == evidence and c.series.segment == ALL_SEGMENT for c in alarm.carriers)
    if is_page or is_own:
        mark_cell(model, key.model_version, key.cell_ms, critical=is_page)


def _advance_values(
    model: ModelEvaluator, closing: Closing, scene: Scene, view: ReferenceView | None
) -> list[BurnStatus]:
    """Take threshold monitors, error budgets and river's detectors."""
    burns: list[BurnStatus] = []
    for monitor in model.monitors(closing.key.cell_ms):
        if monitor.signal in RESOURCE_SIGNALS or not _is_due(model, monitor, outcomes=closing.outcomes):
            continue
        if monitor.signal in CANARY_SIGNALS:
            _judge_canary(model, closing, monitor, scene)
            continue
        if monitor.detector == "threshold":
            condition, value, n, segment = _worst_segment(closing, monitor, view)
            evidence = evidence_of_value(monitor, value, n, scene, segment)
            step_alert(model, monitor, condition, scene, evidence, [])
        elif monitor.detector == "burn_rate":
            burns.append(_burn(model, closing, monitor, scene))
        elif monitor.detector in RIVER_DETECTORS:
            n_alarms, n = _feed_river(model, closing, monitor)
            condition = Condition.BREACH if n_alarms else Condition.CLEAR if n else Condition.NO_DATA
            evidence = evidence_of_value(monitor, float(n_alarms), n, scene)
            step_alert(model, monitor, condition, scene, evidence, [])
    return burns


def _burn(model: ModelEvaluator, closing: Closing, monitor: Monitor, scene: Scene) -> BurnStatus:
    history = model.state.burns.setdefault(alert_key(closing.key.model_version, monitor), BurnHistory())
    counted, start = closing.counted(), closing.key.cell_ms
    status = burn_status(history, monitor, counted, cell_ms=start, end_ms=closing.end_ms)
    condition = burn_condition(status, monitor.min_samples)
    step_alert(model, monitor, condition, scene, evidence_of_burn(leading(status), status, scene), [])
    return status


def _is_due(model: ModelEvaluator, monitor: Monitor, *, outcomes: bool) -> bool:
    """Whether a monitor's signal is known when a cell closes for its outcomes, or for its inputs."""
    if monitor.signal in CANARY_SIGNALS:
        return evidence_matures_with(model, outcomes=outcomes)
    return _is_outcome(monitor) is outcomes


def _judge_canary(model: ModelEvaluator, closing: Closing, monitor: Monitor, scene: Scene) -> None:
    """Harm by its lower bound, a recommendation once its upper one is tolerable; nothing where arms are unequal."""
    status = closing.canary
    if status is None:
        return
    is_known = status.verdict != "blocked"
    tolerable = 1.0 if status.verdict == "no_harm" else 0.0
    value = (status.harm_lower if monitor.signal is Signal.CANARY_HARM else tolerable) if is_known else None
    condition = threshold_condition(monitor, value, status.n_pairs)
    step_alert(model, monitor, condition, scene, evidence_of_value(monitor, value, status.n_pairs, scene), [])


def _is_outcome(monitor: Monitor) -> bool:
    return monitor.signal in OUTCOME_SIGNALS


def _worst_segment(
    closing: Closing, monitor: Monitor, view: ReferenceView | None
) -> tuple[Condition, float | None, int, str]:
    """A threshold monitor's value in each segment that it watches; the worst one decides."""
    segments = [ALL_SEGMENT]
    for dimension in monitor.by:
        segments += [segment_name(dimension, v) for v in closing.plan.segment_values.get(dimension, ())]
    found = []
    for segment in segments:
        value, n = signal_value(closing.counted(segment), monitor, view)
        found.append((threshold_condition(monitor, value, n), value, n, segment))
    order = [Condition.BREACH, Condition.BETWEEN, Condition.CLEAR, Condition.NO_DATA]
    return min(found, key=lambda item: order.index(item[0]))


def signal_value(counted: Counted, monitor: Monitor, view: ReferenceView | None = None) -> tuple[float | None, int]:
    """A signal's value in a window and the events it rests on; the reference is asked for what is estimated."""
    signal = monitor.signal
    if signal in ESTIMATE_SIGNALS:
        return estimated_value(estimates(counted, view), monitor), int(counted.total(sections.N_PREDICTIONS))
    if signal in FAIRNESS_SIGNALS:
        groups = [monitor.group] if monitor.group else list(counted.plan.group_values)
        found = [rate_difference(counted, group, signal) for group in groups]
        known = [item for item in found if item[0] is not None]
        worst = min if signal is Signal.SELECTION_RATE_RATIO else max
        return worst(known, key=lambda item: item[0] or 0.0) if known else (None, 0)
    values = {**input_values(counted), **outcome_values(counted)}
    if signal.value in values:
        name = sections.N_LABELLED if _is_outcome(monitor) else sections.N_PREDICTIONS
        return values[signal.value], int(counted.total(name))
    pairs = [
        rate_pair(signal, counted, monitor=monitor, feature=feature)
        for feature in (monitor.features or counted.plan.feature_names if monitor.rule is None else ("",))
    ]
    rates = [(float(n1) / float(n), int(n)) for n1, n in pairs if n]
    return max(rates) if rates else (None, 0)


def _feed_river(model: ModelEvaluator, closing: Closing, monitor: Monitor) -> tuple[int, int]:
    """Feed the cell's outcomes, source by source, to a detector that reads sequences."""
    cell = f"{closing.key.model_version}@{closing.key.cell_ms}"
    came = model.state.outcomes.get(cell, [])
    sources = model.state.outcome_sources.get(cell, [0] * len(came))
    # In order of the sources, not of their arrival.
    waiting = [errors for _, errors in sorted(zip(sources, came, strict=True), key=lambda pair: pair[0])]
    name = f"{closing.key.model_version}|{monitor.monitor_id}"
    kept = model.state.river.get(name)
    if kept is not None:
        detector = OutcomeDetector.from_bytes(kept)
    else:
        detector = make_outcome_detector(monitor.detector, **monitor.parameters)
    values = [np.frombuffer(item, dtype=np.uint8).astype(np.float64) for item in waiting]
    alarms = sum(len(detector.update(item)) for item in values)
    model.state.river[name] = detector.to_bytes()
    return alarms, sum(len(item) for item in values)


def step_alert(
    model: ModelEvaluator,
    monitor: Monitor,
    condition: Condition,
    scene: Scene,
    evidence: AlertEvidence | None,
    series: Sequence[str],
) -> None:
    """Take a window into a monitor's alert, and publish what comes of it."""
    name = alert_key(scene.model_version, monitor)
    previous = model.state.alerts.get(name)
    if previous is None and condition is not Condition.BREACH:
        return
    scene, evidence = with_other_versions(model.state.alerts.values(), monitor, scene, evidence)
    fingerprint = digest(alerting.alert_labels(monitor, scene.spec, scene.model_version))[:16]
    n_before = model.state.n_alerts.get(fingerprint, 0)
    if previous is not None and condition is not Condition.NO_DATA:
        previous.last_data_ms = scene.window_end_ms
    state, alert = alerting.next_alert(
        previous,
        monitor=monitor,
        condition=condition,
        scene=scene,
        evidence=evidence if condition is Condition.BREACH else None,
        explanation=alerting.explain(monitor, scene),
        n_before=n_before,
        series=series,
    )
    if previous is None and state is not None:
        model.state.n_alerts[fingerprint] = n_before + 1
    if state is None:
        model.state.alerts.pop(name, None)
    else:
        model.state.alerts[name] = state
    if alert is not None:
        model.publish(alert)
