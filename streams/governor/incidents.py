"""Incidents: alerts and rollbacks that have one cause, with a timeline from the deployment to the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.alerts import Alert, AlertStatus
from schemas.deployments import DeploymentEvent
from schemas.evidence import RollbackEvidence
from schemas.identifiers import model_key, split_model_key, stable_id
from schemas.incidents import Incident, IncidentMember, Intervention, StepKind, TimelineEntry
from schemas.rollbacks import RollbackCommand, RollbackState
from streams.governor.commands import TERMINAL
from streams.governor.state import IncidentState, Ledger

SAME_BREAK: Final = timedelta(days=1)
"""A break of the pipeline that shows elsewhere this much later is another one."""
_FIRST_KEPT: Final = 20
_LAST_KEPT: Final = 180
_EXECUTION: Final = frozenset(
    {
        RollbackState.ACCEPTED, RollbackState.EXECUTING, RollbackState.SUCCEEDED, RollbackState.FAILED,
        RollbackState.NOOP,
    }
)  # fmt: skip
_VERIFICATION: Final = frozenset({RollbackState.VERIFIED, RollbackState.INEFFECTIVE})


def cause_of_alert(alert: Alert, sources: Mapping[str, str]) -> str:
    """What groups alerts: the deployment they speak of; a break of the pipeline joins models by its source.

    Parameters
    ----------
    alert
        One that says what it is about.
    sources
        The model's `feature_sources`. A break of features without one goes by the alert's name.
    """
    labels = alert.labels
    # An alert on outcomes may have its cause in the pipeline too: it stays with its deployment.
    if alert.explanation.attribution == "pipeline" and alert.evidence.label_coverage_ratio is None:
        features = [line.feature for line in alert.evidence.series if line.feature] or [labels.get("feature", "")]
        source = next((sources[name] for name in features if name in sources), "")
        what = f"source {source}" if source else labels["alertname"]
        return f"pipeline|{labels['environment']}|{what}"
    return _cause_of_version(alert)


def _cause_of_version(alert: Alert) -> str:
    version = alert.lineage.deployment_id or alert.labels.get("model_version", "")
    return f"{model_key(alert.labels['environment'], alert.labels['model_name'])}|{version}"


def cause_of_deployment(environment: str, model_name: str, deployment_id: str) -> str:
    """What groups everything about one deployment."""
    return f"{model_key(environment, model_name)}|{deployment_id}"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What is taken into an incident."""

    member: IncidentMember
    entry: TimelineEntry
    is_over: bool
    detected_at: datetime | None = None
    began_at: datetime | None = None


def take_alert(
    incidents: dict[str, IncidentState],
    ledger: Ledger,
    alert: Alert,
    *,
    sources: Mapping[str, str],
    deployment: DeploymentEvent | None,
) -> Incident | None:
    """Take an alert into the incident of its cause; None where nothing is to be published.

    Parameters
    ----------
    incidents, ledger
        The open ones, by cause, and how many there have been.
    alert
        Pending ones are nobody's incident.
    sources
        The model's `feature_sources`.
    deployment
        The one that it speaks of.
    """
    if alert.status is AlertStatus.PENDING:
        return None
    labels = alert.labels
    step = _Step(
        member=IncidentMember(
            kind="alert",
            id=alert.fingerprint,
            environment=labels["environment"],
            model_name=labels["model_name"],
            status=alert.status.value,
        ),
        entry=TimelineEntry(
            at=alert.updated_at,
            kind="alert",
            what=f"{labels['alertname']} {alert.status.value}: {alert.annotations.get('summary', '')}",
        ),
        is_over=alert.status is AlertStatus.RESOLVED,
        detected_at=alert.starts_at if alert.status is AlertStatus.FIRING else None,
        began_at=min(alert.evidence.window.start, alert.starts_at),
    )
    known = next((c for c, each in incidents.items() if f"alert:{alert.fingerprint}" in each.open_members), None)
    cause = known or _cause_now(incidents, alert, sources)
    return _take(incidents, ledger, cause, step, deployment)


def _cause_now(incidents: Mapping[str, IncidentState], alert: Alert, sources: Mapping[str, str]) -> str:
    cause = cause_of_alert(alert, sources)
    held = incidents.get(cause)
    if held is None or not cause.startswith("pipeline|"):
        return cause
    last = Incident.model_validate_json(held.body)
    return cause if alert.starts_at - last.updated_at <= SAME_BREAK else _cause_of_version(alert)


def take_command(
    incidents: dict[str, IncidentState],
    ledger: Ledger,
    command: RollbackCommand,
    deployment: DeploymentEvent | None = None,
) -> Incident | None:
    """Take a rollback's step into the incident of its deployment; a refusal only where one is open."""
    cause = cause_of_deployment(command.environment, command.model_name, command.deployment_id)
    entry = TimelineEntry(
        at=command.decided_at,
        kind=_kind(command),
        what=_in_words(command),
        details=_rules(command) if command.state in {RollbackState.REFUSED, RollbackState.REQUESTED} else {},
    )
    if command.state is RollbackState.REFUSED:
        return note(incidents, cause, entry)
    member = IncidentMember(
        kind="rollback",
        id=command.rollback_id,
        environment=command.environment,
        model_name=command.model_name,
        status=command.state.value,
    )
    step = _Step(
        member=member,
        entry=entry,
        is_over=command.state in TERMINAL or command.mode == "dry_run",
        detected_at=command.decided_at,
    )
    return _take(incidents, ledger, cause, step, deployment)


def _kind(command: RollbackCommand) -> StepKind:
    if command.state is RollbackState.REFUSED:
        return "decision"
    if command.state in _EXECUTION:
        return "execution"
    return "verification" if command.state in _VERIFICATION else "command"


def _in_words(command: RollbackCommand) -> str:
    if command.state is RollbackState.REFUSED:
        return f"rollback of {command.from_version} refused: {command.reason.refusal}"
    said = f"rollback {command.from_version} -> {command.to_version} {command.state.value}"
    by = "" if command.actor == "plumbline/governor" else f" by {command.actor}"
    return f"{said}{by}: {command.comment}" if command.comment else f"{said}{by}"


def _rules(command: RollbackCommand) -> dict[str, str]:
    return {
        guard.name: f"{'passed' if guard.passed else 'refused'}: {guard.observed} (required: {guard.required})"
        for guard in command.guards
    }


def take_onset(incidents: dict[str, IncidentState], evidence: RollbackEvidence) -> Incident | None:
    """Say when the deviation began, once the evidence of an open incident's deployment knows."""
    cause = cause_of_deployment(evidence.environment, evidence.model_name, evidence.deployment_id)
    state = incidents.get(cause)
    if state is None or evidence.onset_at is None or evidence.e_value < evidence.threshold:
        return None
    last = Incident.model_validate_json(state.body)
    if any(entry.kind == "deviation" for entry in last.timeline):
        return None
    what = f"the first cell in which {evidence.signal} of {evidence.model_version} deviates begins"
    return note(incidents, cause, TimelineEntry(at=evidence.onset_at, kind="deviation", what=what))


def take_word(incidents: dict[str, IncidentState], said: Intervention) -> list[Incident]:
    """Note what a person says of an alert or a model, in the open incidents that it concerns."""
    what = " ".join(
        part for part in (said.actor, _VERBS.get(said.kind, ""), said.comment and f"({said.comment})") if part
    )
    if said.kind not in _VERBS:
        return []
    found = []
    for cause, state in list(incidents.items()):
        members = Incident.model_validate_json(state.body).members
        concerns = (
            any(each.kind == "alert" and each.id == said.subject for each in members)
            if said.kind == "ack"
            else any((each.environment, each.model_name) == (said.environment, said.model_name) for each in members)
        )
        if concerns:
            noted = note(incidents, cause, TimelineEntry(at=said.at, kind="word", what=what))
            found += [] if noted is None else [noted]
    return found


_VERBS: Final[Mapping[str, str]] = {
    "ack": "has seen an alert",
    "freeze": "froze automatic rollbacks",
    "clear_quarantine": "cleared the quarantine",
    "upstream_change": "announced a change upstream",
}
"""Approvals and rejections are steps of the command itself."""


def note(incidents: dict[str, IncidentState], cause: str, entry: TimelineEntry) -> Incident | None:
    """Put an entry into the timeline of an open incident; None where none is open for the cause."""
    state = incidents.get(cause)
    if state is None:
        return None
    last = Incident.model_validate_json(state.body)
    incident = last.model_copy(
        update={
            "sequence": last.sequence + 1,
            "updated_at": max(last.updated_at, entry.at),
            "timeline": _sorted([*last.timeline, entry]),
            "began_at": entry.at if entry.kind == "deviation" else last.began_at,
        }
    )
    state.body = incident.to_bytes()
    return incident


def _sorted(timeline: list[TimelineEntry]) -> list[TimelineEntry]:
    """In order of time; of a very long one the beginning and the end."""
    found = sorted(timeline, key=lambda entry: entry.at)
    return found if len(found) <= _FIRST_KEPT + _LAST_KEPT else [*found[:_FIRST_KEPT], *found[-_LAST_KEPT:]]


def _take(
    incidents: dict[str, IncidentState], ledger: Ledger, cause: str, step: _Step, deployment: DeploymentEvent | None
) -> Incident | None:
    state = incidents.get(cause)
    if state is None:
        if step.is_over:
            return None
        ledger.n_incidents += 1
        state = IncidentState(incident_id=stable_id("incident", cause, ledger.n_incidents), cause_key=cause)
        incidents[cause] = state
    last = Incident.model_validate_json(state.body) if state.body else None
    member, at = step.member, step.entry.at
    name = f"{member.kind}:{member.id}"
    if last is not None and any(f"{m.kind}:{m.id}" == name and m.status == member.status for m in last.members):
        return None  # said again, nothing new
    still_open = [n for n in state.open_members if n != name] + ([] if step.is_over else [name])
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
        timeline=_sorted([*(last.timeline if last else _beginning(deployment)), step.entry]),
        began_at=(last.began_at if last else None) or step.began_at,
        detected_at=(last.detected_at if last else None) or step.detected_at,
    )
    state.body = incident.to_bytes()
    if not still_open:
        del incidents[cause]
    return incident


def _beginning(deployment: DeploymentEvent | None) -> list[TimelineEntry]:
    if deployment is None:
        return []
    lineage = {
        name: value
        for name in ("git_sha", "dataset_version", "run_id", "artifact_uri", "cause")
        if (value := getattr(deployment, name))
    }
    what = f"{deployment.model_version} deployed ({deployment.deployment_id})"
    return [TimelineEntry(at=deployment.deployed_at, kind="deployment", what=what, details=lineage)]
