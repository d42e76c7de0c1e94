"""Alerts that the governor itself raises: a rollback that did not help or was not executed, a wish for retraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.alerts import Alert, AlertEvidence, AlertStatus, Explanation, Lineage, Resolution, Window
from schemas.evidence import RollbackEvidence
from schemas.identifiers import digest, stable_id
from schemas.rollbacks import RollbackCommand
from streams.governor.rules import MAX_ATTEMPTS

OWN_LABEL = {"owner_stage": "governor"}
"""Marks the governor's own alerts, which it does not read back."""


def ineffective_alert(evidence: RollbackEvidence, command: RollbackCommand) -> Alert:
    """A page: the rollback was executed, and the metric has not come back."""
    return _alert(
        evidence,
        name="RollbackIneffective",
        severity="page",
        summary=f"{evidence.model_name}: the rollback to {command.to_version} did not help",
        description=(
            f"{command.rollback_id} succeeded, but within {command.verification.within_seconds:.0f} s of event time "
            f"{evidence.signal} did not return below {command.reason.summary.partition('against at most ')[2]}"
        ),
    )


def retrain_alert(evidence: RollbackEvidence, reason: str) -> Alert:
    """A ticket: a rollback cannot cure this; retraining may."""
    return _alert(
        evidence,
        name="RetrainRequested",
        severity="ticket",
        summary=f"{evidence.model_name} {evidence.model_version}: no rollback ({reason}); retraining is asked for",
        description=(
            f"{evidence.signal} is {evidence.n_bad} of {evidence.n} since {evidence.deployed_at.isoformat()}; data "
            f"from there to {evidence.as_of.isoformat()} shows the world as it is now"
        ),
        details={
            "retrain_requested": {
                "reason": reason,
                "data_from": evidence.deployed_at.isoformat(),
                "data_to": evidence.as_of.isoformat(),
            }
        },
    )


def expired_alert(command: RollbackCommand) -> Alert:
    """A page: a rollback was ordered, and nobody executed it in time."""
    return _of_command(
        command,
        status=AlertStatus.FIRING,
        sequence=2 * command.attempt - 1,
        summary=(
            f"{command.model_name}: the rollback to {command.to_version} was not executed (attempt "
            f"{command.attempt} of {MAX_ATTEMPTS}); {command.from_version} still serves, as far as is known"
        ),
        description=f"{command.rollback_id} expired without an executor: look at the executor, or roll back by hand",
    )


def executed_at_last(command: RollbackCommand) -> Alert:
    """The end of `expired_alert`: a later attempt was executed."""
    return _of_command(
        command,
        status=AlertStatus.RESOLVED,
        sequence=2 * command.attempt,
        summary=f"{command.model_name}: attempt {command.attempt} of the rollback to {command.to_version} was executed",
        description=f"{command.rollback_id} {command.state.value}",
    )


def _of_command(
    command: RollbackCommand, *, status: AlertStatus, sequence: int, summary: str, description: str
) -> Alert:
    name = "RollbackExpired"
    labels = _labels(command.environment, command.model_name, command.from_version, name, "page")
    is_over = status is AlertStatus.RESOLVED
    return Alert(
        alert_id=stable_id("alert", name, command.deployment_id),
        fingerprint=digest(labels)[:16],
        sequence=sequence,
        status=status,
        previous_status=AlertStatus.FIRING if is_over or command.attempt > 1 else None,
        starts_at=command.requested_at,
        updated_at=max(command.requested_at, command.decided_at),
        ends_at=command.decided_at if is_over else None,
        resolution=Resolution.RECOVERED if is_over else None,
        labels=labels,
        annotations={"summary": summary, "description": description},
        evidence=AlertEvidence(
            detector="rollback_command",
            statistic=float(command.attempt),
            threshold=1.0,
            window=Window(start=command.requested_at, end=command.decided_at, n=command.attempt),
        ),
        explanation=Explanation(),
        lineage=Lineage(deployment_id=command.deployment_id),
    )


def _labels(environment: str, model_name: str, model_version: str, name: str, severity: str) -> dict[str, str]:
    return {
        "alertname": name,
        "severity": severity,
        "environment": environment,
        "model_name": model_name,
        "model_version": model_version,
        **OWN_LABEL,
    }


def _alert(
    evidence: RollbackEvidence,
    *,
    name: str,
    severity: str,
    summary: str,
    description: str,
    details: Mapping[str, Any] | None = None,
) -> Alert:
    labels = _labels(evidence.environment, evidence.model_name, evidence.model_version, name, severity)
    return Alert(
        alert_id=stable_id("alert", name, evidence.deployment_id),
        fingerprint=digest(labels)[:16],
        sequence=1,
        status=AlertStatus.FIRING,
        starts_at=evidence.as_of,
        updated_at=evidence.as_of,
        labels=labels,
        annotations={"summary": summary, "description": description},
        evidence=AlertEvidence(
            detector="rollback_evidence",
            statistic=evidence.e_value,
            threshold=evidence.threshold,
            e_value=evidence.e_value,
            window=Window(start=evidence.deployed_at, end=evidence.as_of, n=evidence.n),
        ),
        explanation=Explanation(),
        lineage=Lineage(deployment_id=evidence.deployment_id),
        details=dict(details or {}),
    )
