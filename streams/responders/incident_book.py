"""IncidentBook: incidents folded in log order; which one an alert belongs to."""

from __future__ import annotations

from schemas.incidents import Incident


class IncidentBook:
    """Incidents by id, and by the fingerprints of their alerts."""

    def __init__(self) -> None:
        self._incidents: dict[str, Incident] = {}
        self._of_alert: dict[str, str] = {}

    def apply(self, incident: Incident) -> bool:
        """Fold one record; whether it changed anything."""
        held = self._incidents.get(incident.incident_id)
        if held is not None and incident.sequence <= held.sequence:
            return False
        self._incidents[incident.incident_id] = incident
        for member in incident.members:
            if member.kind == "alert":
                self._of_alert[member.id] = incident.incident_id
        return True

    def get(self, incident_id: str) -> Incident | None:
        """The newest record of an incident."""
        return self._incidents.get(incident_id)

    def of_alert(self, fingerprint: str) -> Incident | None:
        """The incident that an alert belongs to: the last one that named it."""
        return self._incidents.get(self._of_alert.get(fingerprint, ""))

    def all(self) -> list[Incident]:
        """Every incident, by the time it opened."""
        return sorted(self._incidents.values(), key=lambda each: (each.opened_at, each.incident_id))
