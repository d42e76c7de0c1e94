"""What the governor remembers: a case per deployment, incidents, freezes, quarantine, and the audit's tail."""

from __future__ import annotations

import msgspec


class Case(msgspec.Struct):
    """One deployment's rollback, from the first refusal or request to its end."""

    model_key: str
    deployment_id: str
    rollback_id: str = ""
    state: str = ""
    attempt: int = 0
    command: bytes = b""
    """The last published command, as JSON."""
    refused: list[str] = []
    """Refusals published already: each is said once."""
    retry_after_ms: int = 0
    """Wall clock before which no further attempt is made."""
    finished_ms: int | None = None
    """Event time at which it ended."""


class IncidentState(msgspec.Struct):
    """An incident under way."""

    incident_id: str
    cause_key: str
    body: bytes = b""
    open_members: list[str] = []


class Freeze(msgspec.Struct):
    """No automatic rollback of a model until then."""

    until_ms: int | None
    actor: str
    comment: str


class UpstreamChange(msgspec.Struct):
    """A change upstream that somebody announced."""

    source: str
    at_ms: int
    until_ms: int


class Ledger(msgspec.Struct):
    """What holds across models."""

    format: int = 1
    audit_sequence: int = 0
    audit_hash: str = "0" * 64
    ordered_ms: list[int] = []
    """Wall clock of the rollbacks ordered within the last hour."""
    freezes: dict[str, Freeze] = {}
    quarantine: dict[str, str] = {}
    """`environment/model@version` to the rollback that put it there."""
    cleared: list[str] = []
    """Versions that a person took out of quarantine."""
    upstream: dict[str, list[UpstreamChange]] = {}
    n_incidents: int = 0
    seen_interventions: list[str] = []
    shifted: dict[str, int] = {}
    """Per model, event time of the last raised alert on outcomes or inputs."""
