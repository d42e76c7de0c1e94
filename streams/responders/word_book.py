"""WordBook: what people have said of alerts and models, folded in log order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.alerts import Alert
from schemas.identifiers import model_key
from schemas.incidents import Intervention


@dataclass(frozen=True, slots=True)
class Said:
    """Who said something, and why."""

    actor: str
    comment: str
    at: datetime
    until: datetime | None

    def __str__(self) -> str:
        """For a table or an annotation: `ada: known outage`."""
        return f"{self.actor}: {self.comment}" if self.comment else self.actor


class WordBook:
    """Acknowledgements by fingerprint, freezes by model."""

    def __init__(self) -> None:
        self._acks: dict[str, Said] = {}
        self._freezes: dict[str, Said] = {}

    def apply(self, event: Intervention) -> None:
        """Fold one intervention; the newest of its kind counts."""
        said = Said(event.actor, event.comment, event.at, event.until)
        if event.kind == "ack":
            self._acks[event.subject] = said
        elif event.kind == "freeze":
            self._freezes[model_key(event.environment, event.model_name)] = said

    def ack_of(self, alert: Alert) -> Said | None:
        """Who has seen an alert; what was said before it began is of an earlier one."""
        said = self._acks.get(alert.fingerprint)
        return said if said is not None and said.at >= alert.starts_at else None

    def freeze_of(self, alert: Alert, now: datetime) -> Said | None:
        """Who has frozen the alert's model, while that lasts."""
        said = self._freezes.get(model_key(alert.labels.get("environment", ""), alert.labels.get("model_name", "")))
        return said if said is not None and (said.until is None or said.until >= now) else None
