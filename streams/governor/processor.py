"""GovernorProcessor: stage 3 as the engine calls it. One partition, one governor."""

from __future__ import annotations

import copy
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import Alert
from schemas.base import Event
from schemas.cloudevents import event_headers
from schemas.deployments import DeploymentEvent
from schemas.evidence import RollbackEvidence
from schemas.identifiers import model_key, stable_id
from schemas.incidents import AuditEntry, Incident, Intervention
from schemas.rollbacks import SIGNATURE_HEADER, RollbackCommand, RollbackStatus, sign
from schemas.topics import Topic
from streams.control.view import ControlView
from streams.engine.processor import Change, CommitContext, DeadLetter, Output, Record, Staged
from streams.governor.court import Court
from streams.governor.state import Case, IncidentState, Ledger
from streams.settings import Settings

SOURCE: Final = "plumbline/governor"
_CASE: Final = "case/"
_INCIDENT: Final = "incident/"
_LEDGER: Final = "ledger"
_TOPICS: Final[dict[type[Event], Topic]] = {
    RollbackCommand: topics.ROLLBACKS,
    Incident: topics.INCIDENTS,
    AuditEntry: topics.AUDIT,
    Alert: topics.ALERTS,
    DeploymentEvent: topics.DEPLOYMENTS,
}
_LABELS: Final = ("alertname", "environment", "model_name")
"""Labels by which an alert is put into an incident."""
S = TypeVar("S", Case, IncidentState)


@dataclass
class Books:
    """The governor's state."""

    ledger: Ledger = field(default_factory=Ledger)
    cases: dict[str, Case] = field(default_factory=dict)
    incidents: dict[str, IncidentState] = field(default_factory=dict)


class GovernorProcessor:
    """Decides on evidence, answers people and executors, and writes all of it down."""

    def __init__(self, *, partition: int, settings: Settings, control: ControlView) -> None:
        del partition  # there is one
        self._settings = settings
        self._control = control
        self._books = Books()
        self._pending: list[tuple[str, Record]] = []

    def restore(self, key: str, value: bytes | None) -> None:
        """Take one entry of the changelog."""
        if key == _LEDGER:
            self._books.ledger = msgspec.msgpack.decode(value, type=Ledger) if value else Ledger()
        elif key.startswith(_CASE):
            _restore(self._books.cases, key.removeprefix(_CASE), value, Case)
        elif key.startswith(_INCIDENT):
            _restore(self._books.incidents, key.removeprefix(_INCIDENT), value, IncidentState)

    def restored(self) -> None:
        """Nothing is derived from the changelog."""

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Take a chunk into the pending batch."""
        self._pending.extend((topic, record) for record in records)

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        """Decide on every record of the batch in turn; committed state stays as it is."""
        if not self._pending and not heartbeat:
            return Staged()
        books = copy.deepcopy(self._books)
        court = Court(books.ledger, books.cases, books.incidents, self._control, self._settings)
        signing_key = self._settings.governor.signing_key
        key = None if signing_key is None else signing_key.get_secret_value()
        dead = [letter for topic, record in self._pending if (letter := _take(court, topic, record, key)) is not None]
        self._pending = []
        if heartbeat:
            court.expire(context.now_ms)
        if not court.published and not dead and not court.changed:
            return Staged(overlay=books)
        return Staged(
            outputs=[_output(event) for event in court.published],
            changes=_changes(self._books, books),
            dead_letters=dead,
            overlay=books,
            observations=list(court.published),
            counts={"decisions": court.n_decisions},
        )

    def apply(self, staged: Staged) -> None:
        """The commit holds."""
        if staged.overlay is not None:
            self._books = staged.overlay


def _restore(into: dict[str, S], key: str, value: bytes | None, kind: type[S]) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = msgspec.msgpack.decode(value, type=kind)


def _take(court: Court, topic: str, record: Record, key: str | None) -> DeadLetter | None:
    value = record.value or b""
    try:
        if topic == topics.EVIDENCE.name:
            court.take_evidence(RollbackEvidence.model_validate_json(value), record.timestamp)
        elif topic == topics.ALERTS.name:
            alert = Alert.model_validate_json(value)
            missing = [name for name in _LABELS if not alert.labels.get(name)]
            if missing:
                message = f"{topic}: labels have no {missing[0]}: expected {', '.join(_LABELS)}"
                return DeadLetter(record=record, reason="schema", message=message)
            court.take_alert(alert)
        elif topic == topics.INTERVENTIONS.name:
            if not _is_signed(record, key):
                message = f"{topic}: header {SIGNATURE_HEADER} is missing or wrong: expected one by the governor's key"
                return DeadLetter(record=record, reason="signature", message=message)
            court.take_intervention(Intervention.model_validate_json(value), record.timestamp)
        else:
            court.take_status(RollbackStatus.model_validate_json(value), record.timestamp)
    except ValidationError as error:
        return DeadLetter(record=record, reason="schema", message=f"{topic}: {error}")
    return None


def _is_signed(record: Record, key: str | None) -> bool:
    """Whether an intervention was signed by who holds the key; without a key everybody's word counts."""
    if key is None:
        return True
    given = {name.lower(): value for name, value in record.headers}.get(SIGNATURE_HEADER, b"")
    return hmac.compare_digest(given, sign(key, record.value or b"").encode())


def _changes(before: Books, after: Books) -> list[Change]:
    """What differs between two states, key by key."""
    changes = []
    if after.ledger != before.ledger:
        changes.append(Change(key=_LEDGER, value=msgspec.msgpack.encode(after.ledger)))
    changes += _differences(_CASE, before.cases, after.cases)
    changes += _differences(_INCIDENT, before.incidents, after.incidents)
    return changes


def _differences(prefix: str, before: dict[str, S], after: dict[str, S]) -> list[Change]:
    gone: list[Change] = [Change(key=prefix + key, value=None) for key in sorted(before.keys() - after.keys())]
    moved: list[Change] = [
        Change(key=prefix + key, value=msgspec.msgpack.encode(value))
        for key, value in after.items()
        if before.get(key) != value
    ]
    return [*gone, *moved]


def _output(event: Event) -> Output:
    topic = _TOPICS[type(event)]
    subject, event_id = _identity(event)
    headers = event_headers(event_id=event_id, topic=topic.name, source=SOURCE, subject=subject)
    if isinstance(event, RollbackCommand) and event.signature:
        headers.append((SIGNATURE_HEADER, event.signature.encode()))
    return Output(topic=topic.name, key=subject.encode(), value=event.to_bytes(), headers=headers)


def _identity(event: Event) -> tuple[str, str]:
    """Key and CloudEvents id of what the governor says."""
    if isinstance(event, RollbackCommand):
        key = model_key(event.environment, event.model_name)
        return key, stable_id("command", event.idempotency_key, event.state.value, event.reason.refusal)
    if isinstance(event, Incident):
        return event.incident_id, f"{event.incident_id}-{event.sequence}"
    if isinstance(event, AuditEntry):
        return model_key(event.environment, event.model_name), f"audit-{event.sequence}"
    if isinstance(event, Alert):
        key = model_key(event.labels["environment"], event.labels["model_name"])
        return key, f"{event.alert_id}-{event.sequence}"
    if isinstance(event, DeploymentEvent):
        key = f"{model_key(event.environment, event.model_name)}/{event.deployment_id}"
        return key, stable_id("quarantine", event.deployment_id, event.quarantined)
    msg = f"{type(event).__name__} is none of the governor's events"
    raise TypeError(msg)
