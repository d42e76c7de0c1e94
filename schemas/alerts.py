"""Alerts and their lifecycle (`ml.alerts.v1`): Alertmanager's core, and evidence."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from schemas.base import Event, Timestamp


class AlertStatus(StrEnum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no_data"


class Resolution(StrEnum):
    """Why an alert ended."""

    RECOVERED = "recovered"
    SUPERSEDED = "superseded"
    CONFIG_CHANGED = "config_changed"
    EXPIRED = "expired"


class Window(Event):
    """The window that an alert speaks of."""

    start: Timestamp
    end: Timestamp
    n: int


class ReferenceUsed(Event):
    """The reference that an alert's window was held against."""

    id: str
    n: int


class AlertSeries(Event):
    """One line of an alert: a series that carries it."""

    monitor_id: str = ""
    segment: str
    feature: str | None = None
    statistic: float
    share_ratio: float
    """Its part of the weighted statistic."""
    value: float | None = None
    reference_value: float | None = None
    e_value: float | None = None
    """Evidence of this series alone that it has moved, where it is on the list."""


class AlertEvidence(Event):
    """What the alert rests on."""

    detector: str
    statistic: float
    threshold: float
    p_value: float | None = None
    e_value: float | None = None
    window: Window
    reference: ReferenceUsed | None = None
    label_coverage_ratio: float | None = None
    incumbent_also_affected: bool | None = None
    series: list[AlertSeries] = Field(default_factory=list)
    """What carries the alarm, the largest share first."""
    discoveries: list[AlertSeries] = Field(default_factory=list)
    """What has moved, by e-BH: on average at most one in ten of these lines is wrong. May be empty."""


class TopFeature(Event):
    """A feature that moved."""

    name: str
    contribution_ratio: float
    reference: float | str | None = None
    current: float | str | None = None
    summary: str = ""


class Explanation(Event):
    """What lies behind, as far as counts tell."""

    top_features: list[TopFeature] = Field(default_factory=list)
    attribution: Literal["model", "data", "pipeline", "label", "unknown"] = "unknown"
    rule: str = ""
    """Name of the rule that gave the attribution."""
    why: str = ""
    """That rule's reason, for a person."""


class Lineage(Event):
    """What was in force."""

    deployment_id: str = ""
    git_sha: str = ""
    dataset_version: str = ""
    reference_id: str = ""
    config_revision: str = ""


class Alert(Event):
    """An alert, at one point of its life. `fingerprint` hashes the sorted labels; values never enter labels."""

    alert_id: str
    fingerprint: str
    sequence: int
    status: AlertStatus
    previous_status: AlertStatus | None = None
    starts_at: Timestamp
    updated_at: Timestamp
    ends_at: Timestamp | None = None
    expires_at: Timestamp | None = None
    resolution: Resolution | None = None
    labels: dict[str, str]
    annotations: dict[str, str]
    evidence: AlertEvidence
    explanation: Explanation = Explanation()
    lineage: Lineage = Lineage()
    input_offsets: dict[str, dict[str, tuple[int, int]]] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)
