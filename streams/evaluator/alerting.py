"""Alerts from what a window raised: labels, evidence, explanation and lineage around the lifecycle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from schemas.alerts import (
    Alert,
    AlertEvidence,
    AlertStatus,
    Explanation,
    Lineage,
    Resolution,
    TopFeature,
)
from schemas.base import from_milliseconds, milliseconds
from schemas.identifiers import ALL_SEGMENT, digest, stable_id
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.signals import CANARY_SIGNALS, OUTCOME_SIGNALS, Signal
from streams.evaluator.blame import blame
from streams.evaluator.lifecycle import Condition, Life, Terms, advance, supersede
from streams.evaluator.scene import Scene
from streams.evaluator.state import AlertState

REASSERT_MS: Final = milliseconds(timedelta(days=1))
"""A raised alert is said again at least this often, so that `expires_at` moves on."""
EXPIRY_MS: Final = 3 * REASSERT_MS


def alert_labels(monitor: Monitor, spec: ModelSpec, model_version: str) -> dict[str, str]:
    """Labels of a monitor's alert: names only, so that one cause keeps one fingerprint."""
    labels = {
        "alertname": alert_name(monitor.signal),
        "severity": monitor.severity.value,
        "environment": spec.environment,
        "model_name": spec.model_name,
        "model_version": model_version,
        "monitor_id": monitor.monitor_id,
        "owner": monitor.owner,
        "namespace": monitor.namespace,
    }
    if len(monitor.features) == 1:
        labels["feature"] = monitor.features[0]
    if not monitor.by:
        labels["segment"] = ALL_SEGMENT
    return {name: value for name, value in labels.items() if value}


def alert_name(signal: Signal) -> str:
    """`miss_rate` -> `MissRate`."""
    return "".join(part.capitalize() for part in signal.value.split("_"))


def explain(monitor: Monitor, scene: Scene) -> Explanation:
    """Say which features moved most, and where the cause probably lies.

    Parameters
    ----------
    monitor
        The monitor that raised it.
    scene
        For how far the features have moved.
    """
    total = scene.moves.total
    features = [
        TopFeature(name=name, contribution_ratio=moved / total if total else 0.0, summary=words)
        for name, moved, words in scene.moves.top
    ]
    rule = blame(monitor, scene)
    return Explanation(top_features=features, attribution=rule.cause, rule=rule.name, why=rule.why)


def next_alert(
    previous: AlertState | None,
    *,
    monitor: Monitor,
    condition: Condition,
    scene: Scene,
    evidence: AlertEvidence | None,
    explanation: Explanation,
    n_before: int,
    series: Sequence[str] = (),
) -> tuple[AlertState | None, Alert | None]:
    """Take a window into a monitor's alert.

    Parameters
    ----------
    previous
        The alert so far.
    monitor, condition, scene
        Whose alert it is, what the window says, and what was in force.
    evidence
        What a new alarm rests on; None keeps the last one.
    explanation
        Of a new alarm.
    n_before
        Alerts that this fingerprint had before: part of the id of a new one.
    series
        Keys of the series that carry a new alarm.

    Returns
    -------
    tuple
        The alert's state (None where there is none any more) and what is to be published, if anything.
    """
    now = scene.window_end_ms
    terms = Terms(for_ms=milliseconds(monitor.for_), keep_firing_ms=milliseconds(monitor.keep_firing))
    life = advance(_life(previous), condition, now, terms)
    if life is None:
        return None, None
    if previous is None and evidence is None:
        return None, None
    is_news = (
        previous is None
        or life.status.value != previous.status
        or condition is Condition.BREACH
        or now - previous.updated_ms >= REASSERT_MS
    )
    if previous is not None and not is_news:
        previous.last_alarm_ms = life.last_alarm_ms
        return previous, None
    alert = _publish(previous, life, monitor, scene, evidence, explanation, n_before)
    state = _state(alert, life, monitor, scene, series or (previous.series if previous else ()), condition)
    return (None if life.is_over else state), alert


def end_alert(previous: AlertState, *, now_ms: int, reason: Resolution) -> Alert:
    """End an alert for a reason outside the data."""
    life = _life(previous)
    if life is None:
        msg = f"alert {previous.alert_id} has no life to end: expected one that is pending or raised"
        raise ValueError(msg)
    ended = supersede(life, reason)
    last = Alert.model_validate_json(previous.body)
    return last.model_copy(
        update={
            "sequence": previous.sequence + 1,
            "status": ended.status,
            "previous_status": last.status,
            "updated_at": from_milliseconds(now_ms),
            "ends_at": from_milliseconds(now_ms),
            "expires_at": None,
            "resolution": reason,
        }
    )


def _life(previous: AlertState | None) -> Life | None:
    if previous is None:
        return None
    return Life(
        status=AlertStatus(previous.status),
        since_ms=previous.since_ms,
        starts_at_ms=previous.starts_at_ms,
        last_alarm_ms=previous.last_alarm_ms,
    )


def _publish(
    previous: AlertState | None,
    life: Life,
    monitor: Monitor,
    scene: Scene,
    evidence: AlertEvidence | None,
    explanation: Explanation,
    n_before: int,
) -> Alert:
    last = None if previous is None else Alert.model_validate_json(previous.body)
    labels = alert_labels(monitor, scene.spec, scene.model_version) if last is None else last.labels
    fingerprint = digest(labels)[:16]
    now = from_milliseconds(scene.window_end_ms)
    chosen = evidence or (last.evidence if last else None)
    if chosen is None:
        msg = f"alert of monitor {monitor.monitor_id!r} has no evidence: expected some with its first alarm"
        raise ValueError(msg)
    return Alert(
        alert_id=last.alert_id if last else stable_id("alert", fingerprint, n_before),
        fingerprint=fingerprint,
        sequence=1 if previous is None else previous.sequence + 1,
        status=life.status,
        previous_status=None if last is None else last.status,
        starts_at=from_milliseconds(life.starts_at_ms),
        updated_at=now,
        ends_at=now if life.is_over else None,
        expires_at=None if life.is_over else from_milliseconds(scene.window_end_ms + EXPIRY_MS),
        resolution=life.resolution,
        labels=labels,
        annotations=wording(monitor, scene, chosen),
        evidence=chosen,
        explanation=explanation if evidence is not None or last is None else last.explanation,
        lineage=Lineage(
            deployment_id=scene.deployment.deployment_id if scene.deployment else "",
            git_sha=scene.deployment.git_sha if scene.deployment else "",
            dataset_version=scene.deployment.dataset_version if scene.deployment else "",
            reference_id=scene.reference.reference_id if scene.reference else "",
            config_revision=scene.config_revision,
        ),
        input_offsets={topic: dict(ranges) for topic, ranges in (scene.offsets or {}).items()},
    )


def wording(monitor: Monitor, scene: Scene, evidence: AlertEvidence) -> dict[str, str]:
    """A sentence for the pager, and one with the figures."""
    leading = evidence.series[0] if evidence.series else None
    subject = monitor.signal.value.replace("_", " ")
    where = f"{scene.spec.model_name} {scene.model_version}"
    if leading is not None and leading.feature:
        subject += f" of {leading.feature}"
    if leading is not None and leading.segment != ALL_SEGMENT:
        where += f" ({leading.segment})"
    held = ""
    if leading is not None and leading.value is not None:
        held = f": {leading.value:.3g}"
        if leading.reference_value:
            held += f", reference {leading.reference_value:.3g}"
    kind = "after labels matured" if monitor.signal in OUTCOME_SIGNALS else "as served"
    also = "" if len(evidence.series) < 2 else f" {len(evidence.series)} series carry it."
    has_left = f"has left its reference{held}"
    if monitor.detector == "burn_rate":
        has_left = f"uses up its error budget {evidence.statistic:.3g} times as fast as it may"
    text = {
        "summary": f"{where}: {subject} {has_left}",
        "description": (
            f"{monitor.monitor_id} ({evidence.detector}, {kind}): statistic {evidence.statistic:.4g} against "
            f"{evidence.threshold:.4g} on {evidence.window.n} events of the window that ends "
            f"{evidence.window.end.isoformat()}.{also}"
        ),
        "runbook_url": monitor.runbook_url,
    }
    return {name: value for name, value in text.items() if value}


def _state(
    alert: Alert, life: Life, monitor: Monitor, scene: Scene, series: Sequence[str], condition: Condition
) -> AlertState:
    return AlertState(
        alert_id=alert.alert_id,
        fingerprint=alert.fingerprint,
        monitor_id=monitor.monitor_id,
        model_version=scene.model_version,
        status=life.status.value,
        since_ms=life.since_ms,
        sequence=alert.sequence,
        starts_at_ms=life.starts_at_ms,
        updated_ms=scene.window_end_ms,
        last_alarm_ms=life.last_alarm_ms,
        last_data_ms=scene.window_end_ms if condition is not Condition.NO_DATA else life.last_alarm_ms,
        labels=alert.labels,
        series=list(series),
        severity=monitor.severity.value,
        body=alert.to_bytes(),
        needs_labels=_needs_labels(monitor, scene.spec),
    )


def _needs_labels(monitor: Monitor, spec: ModelSpec) -> bool:
    """Whether a monitor is fed by outcomes; a canary is where the evidence that it compares is."""
    if monitor.signal in CANARY_SIGNALS:
        return spec.rollback.evidence in {signal.value for signal in OUTCOME_SIGNALS}
    return monitor.signal in OUTCOME_SIGNALS
