"""Incidents (`ml.incidents.v1`), interventions (`ml.interventions.v1`) and the audit (`ml.audit.v1`)."""

from __future__ import annotations

from datetime import datetime
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


StepKind = Literal[
    "deployment", "deviation", "alert", "decision", "command", "execution", "verification", "word", "change"
]


class TimelineEntry(Event):
    """What happened when, in event time as far as that is known."""

    at: Timestamp
    what: str
    kind: StepKind = "change"
    details: dict[str, Any] = Field(default_factory=dict)
    """Of a decision and a command: what each rule saw."""


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
    began_at: Timestamp | None = None
    """When it began, as far as is known: the first deviating cell of the evidence, else the first window that raised
    an alert."""
    detected_at: Timestamp | None = None
    """When the first alert fired, or a rollback was asked for."""

    @property
    def seconds_to_detect(self) -> float | None:
        """From its beginning to the first alert that fired (of many incidents the mean is the MTTD)."""
        return _between(self.began_at, self.detected_at)

    @property
    def seconds_to_resolve(self) -> float | None:
        """From its beginning to its close (of many incidents the mean is the MTTR)."""
        return _between(self.began_at, self.closed_at)


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


class Intervention(Event):
    """What a person or an upstream system says."""

    intervention_id: str
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    kind: Literal["approve", "reject", "ack", "freeze", "clear_quarantine", "upstream_change", "drill"]
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
