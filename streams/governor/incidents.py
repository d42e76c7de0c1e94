"""Incidents: alerts and rollbacks that have one cause, with a timeline."""

from __future__ import annotations

from datetime import datetime

from schemas.alerts import Alert, AlertStatus
from schemas.identifiers import model_key, split_model_key, stable_id
from schemas.incidents import Incident, IncidentMember, TimelineEntry
from schemas.rollbacks import RollbackCommand, RollbackState
from streams.governor.commands import TERMINAL
from streams.governor.state import IncidentState, Ledger


def cause_of_alert(alert: Alert) -> str:
    """What groups alerts: the deployment they speak of; a break of the pipeline joins models by its name."""
    labels = alert.labels
    if alert.explanation.attribution == "pipeline":
        return f"pipeline|{labels['environment']}|{labels['alertname']}"
    version = alert.lineage.deployment_id or labels.get("model_version", "")
    return f"{model_key(labels['environment'], labels['model_name'])}|{version}"


def cause_in_words(cause: str) -> str:
    """A cause for a person to read; one that was not made here stays as it is."""
    match cause.split("|"):
        case ["pipeline", environment, alert_name]:
            return f"the pipeline of {environment}: {alert_name}"
        case [key, version] if "/" in key:
            environment, model_name = split_model_key(key)
            what = f"deployment {version}" if version else "no known deployment"
            return f"{model_name} in {environment}: {what}"
        case _:
            return cause


def take_alert(incidents: dict[str, IncidentState], ledger: Ledger, alert: Alert) -> Incident | None:
    """Take an alert into the incident of its cause; None where nothing is to be published."""
    if alert.status is AlertStatus.PENDING:
        return None
    member = IncidentMember(
        kind="alert",
        id=alert.fingerprint,
        environment=alert.labels["environment"],
        model_name=alert.labels["model_name"],
        status=alert.status.value,
    )
    what = f"{alert.labels['alertname']} {alert.status.value}: {alert.annotations.get('summary', '')}"
    is_over = alert.status is AlertStatus.RESOLVED
    return _take(incidents, ledger, cause_of_alert(alert), member, alert.updated_at, what, is_over=is_over)


def take_command(incidents: dict[str, IncidentState], ledger: Ledger, command: RollbackCommand) -> Incident | None:
    """Take a rollback's step into the incident of its deployment."""
    if command.state is RollbackState.REFUSED:
        return None
    member = IncidentMember(
        kind="rollback",
        id=command.rollback_id,
        environment=command.environment,
        model_name=command.model_name,
        status=command.state.value,
    )
    cause = f"{model_key(command.environment, command.model_name)}|{command.deployment_id}"
    what = f"rollback {command.from_version} -> {command.to_version} {command.state.value}"
    is_over = command.state in TERMINAL or command.mode == "dry_run"
    return _take(incidents, ledger, cause, member, command.decided_at, what, is_over=is_over)


def _take(
    incidents: dict[str, IncidentState],
    ledger: Ledger,
    cause: str,
    member: IncidentMember,
    at: datetime,
    what: str,
    *,
    is_over: bool,
) -> Incident | None:
    state = incidents.get(cause)
    if state is None:
        if is_over:
            return None
        ledger.n_incidents += 1
        state = IncidentState(incident_id=stable_id("incident", cause, ledger.n_incidents), cause_key=cause)
        incidents[cause] = state
    last = Incident.model_validate_json(state.body) if state.body else None
    name = f"{member.kind}:{member.id}"
    if last is not None and any(f"{m.kind}:{m.id}" == name and m.status == member.status for m in last.members):
        return None  # said again, nothing new
    still_open = [n for n in state.open_members if n != name] + ([] if is_over else [name])
    state.open_members = still_open
    members = [m for m in (last.members if last else []) if f"{m.kind}:{m.id}" != name]
    incident = Incident(
        incident_id=state.incident_id,
        sequence=last.sequence + 1 if last else 1,
        status="open" if still_open else "closed",
        opened_at=last.opened_at if last else at,
        updated_at=at,
        closed_at=None if still_open else at,
        cause=cause,
        members=[*members, member],
        timeline=[*(last.timeline if last else []), TimelineEntry(at=at, what=what)][-200:],
    )
    state.body = incident.to_bytes()
    if not still_open:
        del incidents[cause]
    return incident
