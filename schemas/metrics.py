"""Closed windows (`ml.metrics.v1`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas.base import Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.identifiers import ALL_SEGMENT


class Companion(Event):
    """A well-known distance, shown beside a verdict with its own sample-size-aware threshold."""

    name: str
    value: float
    threshold: float | None = None
    """What it exceeds with probability .001 when nothing has changed; None where no null is known."""


class SeriesVerdict(Event):
    """What one series of one monitor says of one window."""

    monitor_id: str
    signal: str
    segment: str = ALL_SEGMENT
    feature: str | None = None
    status: Literal["warming_up", "no_data", "stable", "drift"]
    statistic: float | None = None
    threshold: float | None = None
    value: float | None = None
    """The signal's value in this window."""
    reference_value: float | None = None
    n: int = 0
    companions: list[Companion] = Field(default_factory=list)


class WindowMetrics(Event):
    """One closed window of one version.

    `kind` is `inputs` (closed on the predictions' watermark), `outcomes` (matured), `restatement` (labels that came
    after maturity; never fed to a detector) or `resources`.
    """

    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    model_version: str
    kind: Literal["inputs", "outcomes", "restatement", "resources"]
    revision: int = 0
    window_start: Timestamp
    window_end: Timestamp
    n_predictions: int = 0
    n_labels: int = 0
    label_coverage_ratio: float | None = None
    values: dict[str, float | None] = Field(default_factory=dict)
    """Signal to its value over all events."""
    segments: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The same, per segment."""
    findings: dict[str, int] = Field(default_factory=dict)
    """Data-quality counters: `kind:field` to a count."""
    verdicts: list[SeriesVerdict] = Field(default_factory=list)
    plan_id: str = ""
    reference_id: str = ""
    config_revision: str = ""
    inexact: bool = False
    """True where a source without fencing overlapped."""
    details: dict[str, Any] = Field(default_factory=dict)
