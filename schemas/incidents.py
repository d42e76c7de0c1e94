"""Incidents (`ml.incidents.v1`), interventions (`ml.interventions.v1`) and the audit (`ml.audit.v1`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.base import Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT


class IncidentMember(Event):
    """An alert or a rollback that belongs to an incident."""

    kind: Literal["alert", "rollback"]
    id: str
    environment: str
    model_name: str
    status: str


class TimelineEntry(Event):
    """What happened when."""

    at: Timestamp
    what: str


class Incident(Event):
    """What has one cause, from its first alert to the last resolution."""

    incident_id: str
    sequence: int
    status: Literal["open", "closed"]
    opened_at: Timestamp
    updated_at: Timestamp
    closed_at: Timestamp | None = None
    cause: str
    members: list[IncidentMember]
    timeline: list[TimelineEntry]


class Intervention(Event):
    """What a person or an upstream system says."""

    intervention_id: str
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    kind: Literal["approve", "reject", "ack", "freeze", "clear_quarantine", "upstream_change"]
    subject: str
    """The rollback_id, alert fingerprint, version or source that it is about; empty for the model itself."""
    actor: str = Field(min_length=1)
    comment: str = ""
    at: Timestamp
    until: Timestamp | None = None


class AuditEntry(Event):
    """One link of the hash chain: every decision, what it saw and what led to it."""

    sequence: int
    environment: str
    model_name: str
    actor: str
    action: str
    subject: str
    at: Timestamp
    before: dict[str, Any] = Field(default_factory=dict)
    after: dict[str, Any] = Field(default_factory=dict)
    cause: str = ""
    previous_hash: str
    hash: str = ""
