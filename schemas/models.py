"""ModelSpec: what a model is, and how time, segments and budgets are cut for it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, field_validator, model_validator

from schemas.base import Config, Duration, FieldError, Timestamp, format_duration
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.maintenance import Maintenance

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
ANY_MODEL = "*"
"""In place of a model's name: what is said holds for every model of the environment that says nothing itself."""
_NAME_OR_ANY = rf"^\*$|{NAME_PATTERN}"


class TaskKind(StrEnum):
    """What a model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class FalseAlarmBudget(Config):
    """How often the whole model may be paged, and ticketed, without cause."""

    pages: float = Field(default=1.0, gt=0)
    tickets: float = Field(default=4.0, gt=0)
    per: Duration = timedelta(days=30)


class BusinessValue(Config):
    """What one event of a binary model is worth, in a unit of your own; a cost is negative."""

    true_positive: float = Field(default=0.0, allow_inf_nan=False)
    false_positive: float = Field(default=0.0, allow_inf_nan=False)
    false_negative: float = Field(default=0.0, allow_inf_nan=False)
    true_negative: float = Field(default=0.0, allow_inf_nan=False)


class Verification(Config):
    """When a rollback is held to have helped."""

    within: Duration = timedelta(days=7)
    """Event time after the execution by which both sides must have shown it."""
    min_predictions: int = Field(default=100, ge=1)
    max_old_version_ratio: float = Field(default=0.05, ge=0, lt=1)


class RollbackPolicy(Config):
    """When a model is rolled back, on which evidence, and to what. Safe by default: `dry_run`."""

    mode: Literal["off", "dry_run", "approval", "auto"] = "dry_run"
    evidence: str = "error_rate"
    """The signal that is tested since the deployment: a rate that needs labels, an error ratio or a latency.

    The default stands for `mae` where the model is a regression.
    """
    harm_tolerance: float = Field(default=0.05, ge=0, lt=1)
    """How much worse than the previous version is still acceptable, in the unit of the signal."""
    alpha: float = Field(default=0.001, gt=0, lt=1)
    """Probability of wrong evidence per deployment; its threshold is 1/alpha."""
    min_samples: int = Field(default=100, ge=1)
    """Events of the class that counts, before evidence is taken."""
    min_label_coverage_ratio: float = Field(default=0.5, ge=0, le=1)
    """Share of the previous version's label coverage that matured predictions must have, before evidence is taken."""
    baseline: Duration = timedelta(days=28)
    """How much of the previous version's matured past it is held against."""
    min_target_served: Duration = timedelta(days=7)
    """A target must have served at least this long ..."""
    min_target_predictions: int = Field(default=1000, ge=1)
    """... and this many predictions."""
    cooldown: Duration = timedelta(days=1)
    """Event time after a rollback in which no other is ordered for this model."""
    verification: Verification = Verification()


class ReferencePolicy(Config):
    """Which data a model is held against until somebody publishes a reference."""

    kind: Literal["first", "published"] = "first"
    """`first`: the first events of a deployment; `published`: wait for `plumbline references build`."""
    min_samples: int = Field(default=500, ge=50)
    min_span: Duration = timedelta(days=7)
    """N events of a busy model are one time of day: at least a week."""


class ModelSpec(Config):
    """A model under watch (`ml.models.v1`). A model without one is inferred from its events."""

    environment: str = Field(default=DEFAULT_ENVIRONMENT, pattern=NAME_PATTERN)
    model_name: str = Field(validation_alias=AliasChoices("name", "model_name"), pattern=_NAME_OR_ANY)
    """`*` stands for every model of the environment: its terms for models that have no entry of their own, its
    monitors for all; a model's own monitor of the same id wins."""
    task: TaskKind = TaskKind.BINARY
    classes: tuple[str, ...] = ()
    """All classes; for a binary model the positive one and `negative_class` do."""
    positive_class: str | None = None
    time_zone: str = "UTC"
    """Where the model's week runs: seasonal references are cut in it."""
    cell: Duration = timedelta(hours=1)
    """Length of a cell: the unit in which windows are cut, in UTC."""
    lateness: Duration = timedelta(minutes=10)
    """How far events of one partition may be out of order."""
    maturity: Duration = timedelta(days=1)
    """Outcomes of a cell are tested this long after its end."""
    label_horizon: Duration = timedelta(days=14)
    """A label joins if it is stamped no later than this after its prediction."""
    revision_horizon: Duration = timedelta(days=2)
    """How long a joined prediction can still be revised; at least the maturity."""
    segments: tuple[str, ...] = ()
    """Features or tags whose values are watched one by one."""
    groups: tuple[str, ...] = ()
    """Features or tags whose values must be treated alike (fairness)."""
    max_segment_values: int = Field(default=50, ge=1, le=1000)
    """Values per segment dimension; further ones count as `__other__`."""
    features: dict[str, Literal["numeric", "categorical"]] = Field(default_factory=dict)
    """Kinds of features; those not named are inferred."""
    feature_sources: dict[str, str] = Field(default_factory=dict)
    """Feature to the upstream source that it comes from."""
    false_alarm_budget: FalseAlarmBudget = FalseAlarmBudget()
    reference: ReferencePolicy = ReferencePolicy()
    rollback: RollbackPolicy = RollbackPolicy()
    maintenance: tuple[Maintenance, ...] = ()
    """When nothing of it is judged: known outages, releases, loads of old data."""
    business_value: BusinessValue | None = None
    """For `estimated_business_value`: the mean value per event."""
    effective_from: Timestamp | None = None
    inferred: bool = False
    """True where nobody published it."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder, or too long for a file
            msg = f"{value[:60]!r} is no time zone: expected an IANA name such as America/New_York"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cell <= timedelta(0) or timedelta(days=7) % self.cell:
            raise FieldError("cell", expected="does not divide a week: expected a length such as 15m, 1h, 6h or 1d")
        if self.false_alarm_budget.per < self.cell:
            expected = f"shorter than a cell: expected at least cell = {format_duration(self.cell)}"
            raise FieldError("false_alarm_budget", "per", expected=expected)
        if self.revision_horizon < self.maturity:
            if "revision_horizon" in self.model_fields_set:
                expected = f"shorter than the maturity: expected at least maturity = {format_duration(self.maturity)}"
                raise FieldError("revision_horizon", expected=expected)
            object.__setattr__(self, "revision_horizon", self.maturity)
        if self.business_value is not None and self.task is not TaskKind.BINARY:
            raise FieldError("business_value", expected=f"a {self.task.value} model has none: expected a binary one")
        if self.task is TaskKind.REGRESSION and self.rollback.evidence == "error_rate":
            object.__setattr__(self, "rollback", self.rollback.model_copy(update={"evidence": "mae"}))
        for name in ("maturity", "lateness"):
            if getattr(self, name) > self.label_horizon:
                told = f"{format_duration(getattr(self, name))} is longer than the horizon"
                horizon = format_duration(self.label_horizon)
                raise FieldError(name, expected=f"{told}: expected at most label_horizon = {horizon}")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if self.classes and self.positive_class is not None and self.positive_class not in self.classes:
            raise FieldError("positive_class", expected=f"expected one of classes = {list(self.classes)}")
        for name in ("classes", "segments", "groups"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise FieldError(name, expected="a value is named twice: expected each once")
        return self
