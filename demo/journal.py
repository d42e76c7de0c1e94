"""What the demo saw, folded: alerts, the rollback's steps, dead letters, windows, evidence. It decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.engine.dead_letters import why
from streams.engine.processor import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point of the run: event time, and how many events had been sent."""

    at: datetime
    n_events: int


@dataclass(slots=True, kw_only=True)
class AlertStory:
    """One alert from its first record to its last."""

    first: Alert
    latest: Alert
    seen: Moment
    has_fired: bool = False
    ended: Moment | None = None
    """When its resolution was read."""

    @property
    def name(self) -> str:
        """What it is called: `MissRate`."""
        return self.latest.labels.get("alertname", "alert")

    @property
    def cause(self) -> str:
        """What it was raised for; what is said later speaks of later windows."""
        return self.first.annotations.get("summary", "")

    @property
    def severity(self) -> str:
        """`page` or `ticket`."""
        return self.latest.labels.get("severity", "")

    @property
    def version(self) -> str:
        """The version that it speaks of."""
        return self.latest.labels.get("model_version", "")


class CompanionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A well-known distance beside a verdict."""

    name: str
    value: float
    threshold: float | None = None
    """What it exceeds with probability .001 when nothing has changed."""


class SeriesSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a verdict that the report draws."""

    monitor_id: str
    signal: str
    segment: str = "__all__"
    feature: str | None = None
    status: str = ""
    n: int = 0
    companions: list[CompanionSeen] = []

    def distance(self, name: str) -> float | None:
        """A distance by name, in multiples of its threshold; None where the verdict has not both."""
        return next(
            (each.value / each.threshold for each in self.companions if each.name == name and each.threshold), None
        )


class CanarySeen(msgspec.Struct, frozen=True, kw_only=True):
    """How a comparison of two versions stands."""

    candidate: str
    verdict: str
    n_pairs: int
    harm_lower: float
    harm_upper: float
    tolerance: float
    blocked_by: list[str] = []


class WindowSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a closed window that the report draws."""

    model_version: str
    kind: str
    window_start: datetime
    window_end: datetime
    model_name: str = ""
    n_predictions: int = 0
    n_labels: int = 0
    values: dict[str, float | None] = {}
    findings: dict[str, int] = {}
    verdicts: list[SeriesSeen] = []
    canary: CanarySeen | None = None


class EvidenceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a rollback's evidence that the report draws."""

    model_version: str
    generation: int
    signal: str
    deployed_at: datetime
    as_of: datetime
    e_value: float
    threshold: float
    m0: float
    n: int
    n_bad: int
    min_samples: int
    recovery: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSeen:
    """A record on the dead-letter topic."""

    key: bytes | None
    topic: str
    reason: str
    message: str


@dataclass(slots=True)
class Journal:
    """Everything that came back over the topics, in the order in which it was read."""

    alerts: dict[str, AlertStory] = field(default_factory=dict)
    commands: list[tuple[RollbackCommand, Moment]] = field(default_factory=list)
    statuses: list[tuple[RollbackStatus, Moment]] = field(default_factory=list)
    dead_letters: list[DeadLetterSeen] = field(default_factory=list)
    windows: list[WindowSeen] = field(default_factory=list)
    evidence: list[EvidenceSeen] = field(default_factory=list)
    _window = msgspec.json.Decoder(WindowSeen)
    _evidence = msgspec.json.Decoder(EvidenceSeen)

    def take(self, topic: str, record: Record, moment: Moment) -> RollbackCommand | RollbackStatus | None:
        """Fold one record; a command or a status is handed back as well, for who has to act on it."""
        value = record.value or b""
        if topic == topics.ROLLBACKS.name:
            command = RollbackCommand.model_validate_json(value)
            self.commands.append((command, moment))
            return command
        if topic == topics.ROLLBACK_STATUS.name:
            status = RollbackStatus.model_validate_json(value)
            self.statuses.append((status, moment))
            return status
        if topic == topics.ALERTS.name:
            self._take_alert(Alert.model_validate_json(value), moment)
        elif topic == topics.DEAD_LETTERS.name:
            self._take_dead_letter(record)
        elif topic == topics.METRICS.name:
            self.windows.append(self._window.decode(value))
        elif topic == topics.EVIDENCE.name:
            self.evidence.append(self._evidence.decode(value))
        return None

    def _take_alert(self, alert: Alert, moment: Moment) -> None:
        story = self.alerts.setdefault(alert.alert_id, AlertStory(first=alert, latest=alert, seen=moment))
        story.latest = alert
        if alert.status is AlertStatus.FIRING and not story.has_fired:
            story.first, story.seen, story.has_fired = alert, moment, True
        if alert.status is AlertStatus.RESOLVED and story.ended is None:
            story.ended = moment

    def _take_dead_letter(self, record: Record) -> None:
        reasons = why(record)
        self.dead_letters.append(
            DeadLetterSeen(
                key=record.key,
                topic=reasons.get("topic", ""),
                reason=reasons.get("reason", ""),
                message=reasons.get("message", ""),
            )
        )

    def fired(self) -> list[AlertStory]:
        """Alerts that ever fired, by when they did."""
        stories = [story for story in self.alerts.values() if story.has_fired]
        return sorted(stories, key=lambda story: (story.first.starts_at, story.first.alert_id))

    def pages(self, version: str) -> list[AlertStory]:
        """Alerts of a version that woke somebody."""
        return [story for story in self.fired() if story.severity == "page" and story.version == version]

    def first(self, *states: RollbackState) -> tuple[RollbackCommand, Moment] | None:
        """The first command that was in one of the states."""
        return next((each for each in self.commands if each[0].state in states), None)

    def has_open_command(self) -> bool:
        """Whether the newest word about some command is that it is to be executed."""
        latest = {command.idempotency_key: command.state for command, _ in self.commands if not command.reason.refusal}
        return RollbackState.APPROVED in latest.values()

    def refusals(self) -> list[tuple[RollbackCommand, Moment]]:
        """Rollbacks that were refused, in order."""
        return [each for each in self.commands if each[0].state is RollbackState.REFUSED]

    def first_status(self, *states: RollbackState) -> tuple[RollbackStatus, Moment] | None:
        """The first status in one of the states."""
        return next((each for each in self.statuses if each[0].state in states), None)

    def ordered(self) -> list[tuple[RollbackCommand, Moment]]:
        """Commands that were to be executed: approved, each once."""
        found: dict[str, tuple[RollbackCommand, Moment]] = {}
        for command, moment in self.commands:
            if command.state is RollbackState.APPROVED:
                found.setdefault(command.idempotency_key, (command, moment))
        return list(found.values())
