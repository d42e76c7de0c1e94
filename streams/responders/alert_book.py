"""AlertBook: alert records folded in log order into the alerts in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.alerts import Alert, AlertStatus

LEASE: Final = timedelta(days=3)
"""How long an alert without `expires_at` stands that nobody says again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedAlert:
    """The newest record of a fingerprint, and what its earlier ones said.

    Attributes
    ----------
    alert
        The newest record.
    has_fired
        This alert (by `alert_id`) was firing at some time, so the outside may know of it.
    changed_at
        Wall clock at which the newest record was appended.
    """

    alert: Alert
    has_fired: bool
    changed_at: datetime

    @property
    def expires_at(self) -> datetime:
        """Wall clock at which it ends unless it is said again: the alert's own lease, counted from its append time."""
        lease = LEASE if self.alert.expires_at is None else self.alert.expires_at - self.alert.updated_at
        return self.changed_at + lease

    def is_in_force(self, now: datetime) -> bool:
        """Whether it has neither ended nor expired: pending, firing, or firing without data."""
        return self.alert.status is not AlertStatus.RESOLVED and now < self.expires_at

    def is_firing(self, now: datetime) -> bool:
        """Whether somebody has to be told: `no_data` does not end what was firing, since silence is no recovery."""
        return self.has_fired and self.is_in_force(now)

    def has_ended_lately(self, now: datetime, within: timedelta) -> bool:
        """Whether its end is worth telling: it had fired, and its end was appended within the last while."""
        is_resolved = self.alert.status is AlertStatus.RESOLVED
        return self.has_fired and is_resolved and self.changed_at >= now - within


class AlertBook:
    """Alerts by fingerprint.

    Folding is idempotent: a record that was seen, or is older than the one held, changes nothing.
    """

    def __init__(self) -> None:
        self._alerts: dict[str, BookedAlert] = {}

    def apply(self, alert: Alert, at: datetime) -> bool:
        """Fold one record that was appended at `at`; whether it changed anything."""
        held = self._alerts.get(alert.fingerprint)
        is_same = held is not None and held.alert.alert_id == alert.alert_id
        if is_same and held is not None and alert.sequence <= held.alert.sequence:
            return False
        fired_before = is_same and held is not None and held.has_fired
        has_fired = fired_before or AlertStatus.FIRING in {alert.status, alert.previous_status}
        self._alerts[alert.fingerprint] = BookedAlert(alert=alert, has_fired=has_fired, changed_at=at)
        return True

    def get(self, fingerprint: str) -> BookedAlert | None:
        """The newest record of a fingerprint."""
        return self._alerts.get(fingerprint)

    def in_force(self, now: datetime) -> list[BookedAlert]:
        """Alerts that have not ended at a wall-clock time, by the time they began."""
        return self._sorted(booked for booked in self._alerts.values() if booked.is_in_force(now))

    def all(self) -> list[BookedAlert]:
        """Everything that is held, by the time it began."""
        return self._sorted(self._alerts.values())

    def forget_ended(self, *, before: datetime) -> None:
        """Drop alerts that ended or expired before a wall-clock time, so that the book stays small."""
        self._alerts = {
            fingerprint: booked
            for fingerprint, booked in self._alerts.items()
            if booked.is_in_force(before) or booked.changed_at >= before
        }

    @staticmethod
    def _sorted(found: Iterable[BookedAlert]) -> list[BookedAlert]:
        return sorted(found, key=lambda each: (each.alert.starts_at, each.alert.fingerprint))
