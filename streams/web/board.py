"""Board: the newest of everything that was decided, as the status page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import Alert
from schemas.base import from_milliseconds
from schemas.deployments import ResourceEvent
from schemas.evidence import RollbackEvidence
from schemas.identifiers import model_key
from schemas.incidents import Incident
from schemas.metrics import WindowMetrics, join_parcels
from schemas.rollbacks import RollbackCommand, RollbackStatus
from streams.engine.processor import Record
from streams.responders.alert_book import AlertBook
from streams.responders.rollback_book import RollbackBook

log = structlog.get_logger(__name__)

MAX_VERSIONS: Final = 20
"""Versions of a model whose last windows are kept."""
MAX_INCIDENTS: Final = 200
_KEEP_ENDED: Final = timedelta(days=7)
_KINDS: Final[Mapping[str, Any]] = {
    topics.ALERTS.name: Alert,
    topics.ROLLBACKS.name: RollbackCommand,
    topics.ROLLBACK_STATUS.name: RollbackStatus,
    topics.INCIDENTS.name: Incident,
    topics.METRICS.name: WindowMetrics,
    topics.EVIDENCE.name: RollbackEvidence,
}


class Board:
    """Folds what was decided; idempotent, so that commits and topics may both feed it."""

    def __init__(self) -> None:
        self.alerts = AlertBook()
        self.rollbacks = RollbackBook()
        self.incidents: dict[str, Incident] = {}
        self._windows: dict[str, dict[tuple[str, str], WindowMetrics]] = {}
        self._parcels: dict[tuple[str, str, str], dict[int, WindowMetrics]] = {}
        """Of the newest window that is not complete yet, by model, version and kind."""
        self._evidence: dict[str, RollbackEvidence] = {}
        self._resources: dict[str, dict[tuple[str, str], ResourceEvent]] = {}

    def apply_record(self, topic: str, record: Record) -> None:
        """Fold one record of a decision topic (table name); one that cannot be read is said and left out."""
        if record.value is None or topic not in _KINDS:
            return
        try:
            self.apply(_KINDS[topic].model_validate_json(record.value), from_milliseconds(record.timestamp))
        except ValidationError as error:
            log.warning("record_unreadable", topic=topic, offset=record.offset, error=str(error))

    def apply(self, event: object, at: datetime) -> None:
        """Fold one event that was decided at a wall-clock time; anything unknown is left out."""
        match event:
            case Alert():
                self.alerts.apply(event, at)
                self.alerts.forget_ended(before=at - _KEEP_ENDED)
            case RollbackCommand():
                self.rollbacks.apply_command(event)
            case RollbackStatus():
                self.rollbacks.apply_status(event)
            case Incident():
                self._apply_incident(event)
            case WindowMetrics():
                if event.n_parts == 1:
                    self._apply_window(event)
                else:
                    self._apply_parcel(event)
            case RollbackEvidence():
                self._evidence[model_key(event.environment, event.model_name)] = event
            case ResourceEvent():
                of_model = self._resources.setdefault(model_key(event.environment, event.model_name), {})
                of_model[event.model_version, event.instance] = event
            case _:
                return

    def _apply_incident(self, incident: Incident) -> None:
        held = self.incidents.get(incident.incident_id)
        if held is None or incident.sequence > held.sequence:
            self.incidents[incident.incident_id] = incident
        while len(self.incidents) > MAX_INCIDENTS:
            del self.incidents[min(self.incidents.values(), key=lambda each: each.updated_at).incident_id]

    def _apply_parcel(self, parcel: WindowMetrics) -> None:
        """A window counts once it is there as a whole; the parts of one come one after the other."""
        place = (model_key(parcel.environment, parcel.model_name), parcel.model_version, parcel.kind)
        held = self._parcels.get(place, {})
        if any(_window_id(each) != _window_id(parcel) for each in held.values()):
            held = {}
        held[parcel.part] = parcel
        self._parcels[place] = held
        if len(held) == parcel.n_parts:
            del self._parcels[place]
            self._apply_window(join_parcels([held[part] for part in sorted(held)]))

    def _apply_window(self, window: WindowMetrics) -> None:
        of_model = self._windows.setdefault(model_key(window.environment, window.model_name), {})
        place = (window.model_version, "outcomes" if window.kind == "restatement" else window.kind)
        held = of_model.get(place)
        if held is not None and (window.window_end, window.revision) < (held.window_end, held.revision):
            return
        of_model[place] = window
        versions = {version for version, _ in of_model}
        if len(versions) > MAX_VERSIONS:
            oldest = min(of_model.items(), key=lambda item: item[1].window_end)[0][0]
            self._windows[model_key(window.environment, window.model_name)] = {
                place: kept for place, kept in of_model.items() if place[0] != oldest
            }

    def model_keys(self, now: datetime) -> set[str]:
        """Return the models (`environment/model`) that anything was decided about, at a wall-clock time."""
        alerts = {
            model_key(labels.get("environment", ""), labels["model_name"])
            for labels in (booked.alert.labels for booked in self.alerts.in_force(now))
            if "model_name" in labels
        }
        rollbacks = {
            model_key(booked.command.environment, booked.command.model_name) for booked in self.rollbacks.all()
        }
        return {*self._windows, *self._evidence, *self._resources, *alerts, *rollbacks}

    def windows(self, key: str) -> list[WindowMetrics]:
        """Return the last windows of a model, newest first: one for each version and kind."""
        found = self._windows.get(key, {}).values()
        return sorted(found, key=lambda window: (window.window_end, window.model_version, window.kind), reverse=True)

    def last_window(self, key: str, version: str, kind: str) -> WindowMetrics | None:
        """Return the last window of a version and kind."""
        return self._windows.get(key, {}).get((version, kind))

    def evidence(self, key: str) -> RollbackEvidence | None:
        """Return the newest evidence on a model's deployment."""
        return self._evidence.get(key)

    def resources(self, key: str, version: str) -> list[ResourceEvent]:
        """Return the newest measurement of each instance that serves a version."""
        return [event for (of_version, _), event in self._resources.get(key, {}).items() if of_version == version]

    def forget_model(self, key: str) -> None:
        """Drop what only the owner of a model's partition keeps up to date."""
        self._windows.pop(key, None)
        self._evidence.pop(key, None)
        self._resources.pop(key, None)

    def forget_stale_instances(self, event: ResourceEvent, *, within: timedelta) -> None:
        """Drop instances of a version whose last measurement is much older than a new one."""
        of_model = self._resources.get(model_key(event.environment, event.model_name), {})
        for place, held in list(of_model.items()):
            if place[0] == event.model_version and held.measured_at < event.measured_at - within:
                del of_model[place]


def _window_id(window: WindowMetrics) -> tuple[object, ...]:
    return window.window_start, window.window_end, window.plan_id, window.revision
