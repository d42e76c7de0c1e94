"""What a candidate must hold before a deployment, against the champion on recorded or shadow traffic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Config, Event

Outcome = Literal["passed", "failed", "too_little_data"]


class GateTerms(Config):
    """Limits of `plumbline gate`. A limit that is null is not looked at."""

    min_predictions: int = Field(default=1000, ge=1)
    """Of each version; with fewer nothing passes."""
    min_labels: int = Field(default=200, ge=1)
    """Of each version, where something that needs labels is looked at."""
    min_segment_events: int = Field(default=100, ge=1)
    """Smaller segments and groups decide nothing."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval; shared among the segments and features of one check."""
    required_suites: tuple[str, ...] = ()
    """Suites that must have passed for the candidate, as `ml.validations.v1` has them."""
    max_harm: float | None = Field(default=0.02, ge=0, lt=1)
    """How much worse `rollback.evidence` may be, as a difference of shares."""
    max_segment_harm: float | None = Field(default=0.05, ge=0, lt=1)
    """The same of each segment."""
    max_quality_increase: float | None = Field(default=0.01, ge=0, lt=1)
    """Rise of the share of missing, unseen, out-of-range or wrongly typed values of a feature."""
    max_input_shift: float | None = Field(default=0.25, gt=0)
    """Population stability index of a feature against the reference."""
    max_score_shift: float | None = Field(default=0.25, gt=0)
    """Population stability index of scores (of predictions, in a regression) against the champion's."""
    max_fairness_difference: float | None = Field(default=0.1, ge=0, le=1)
    """Largest difference of selection and true-positive rates between groups."""
    max_latency_ratio: float | None = Field(default=1.2, gt=0)
    """95th percentile of the candidate's latency over the champion's."""
    max_cost_ratio: float | None = Field(default=1.2, gt=0)
    """Mean cost of a prediction over the champion's."""
    max_serving_error_increase: float | None = Field(default=0.005, ge=0, lt=1)
    """Rise of the share of requests that ended in an error."""


class GateCheck(Event):
    """One thing that was looked at."""

    name: str
    subject: str = ""
    """The feature, segment or group."""
    outcome: Outcome
    observed: str
    required: str
    hint: str = ""
    """What it looks like, where that can be said."""


class GateResult(Event):
    """How a candidate came through."""

    environment: str
    model_name: str
    champion: str
    candidate: str
    outcome: Outcome
    n_champion: int
    n_candidate: int
    checks: list[GateCheck]
