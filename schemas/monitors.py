"""Monitors: what is watched, held against what, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config, Duration, FieldError, Timestamp, format_duration
from schemas.burn import PAGE_WINDOWS, TICKET_WINDOWS, BurnRate, BurnWindows
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.identifiers import digest
from schemas.models import ANY_MODEL, ModelSpec, TaskKind
from schemas.signals import (
    BINARY_ESTIMATES,
    BURN_SIGNALS,
    CLASS_SIGNALS,
    FAIRNESS_SIGNALS,
    FEATURE_SIGNALS,
    INPUT_DRIFT_SIGNALS,
    NO_GROUND_TO_ACT,
    REGRESSION_SIGNALS,
    THRESHOLD_ONLY_SIGNALS,
    Signal,
)


class Severity(StrEnum):
    """What an alert asks of a person: now, or in working hours."""

    PAGE = "page"
    TICKET = "ticket"


RIVER_DETECTORS = ("adwin", "ddm", "eddm", "hddm_a", "hddm_w", "kswin", "page_hinkley", "dummy")
DetectorName = Literal[
    "e_detector", "threshold", "burn_rate", "adwin", "ddm", "eddm", "hddm_a", "hddm_w", "kswin", "page_hinkley", "dummy"
]


_WITHOUT_SIDES = INPUT_DRIFT_SIGNALS | {Signal.RULE_VIOLATION_RATIO, Signal.ESTIMATOR_UNRELIABLE}


class Thresholds(Config):
    """Set and clear levels of a threshold monitor, in the unit of its signal."""

    set: float = Field(allow_inf_nan=False)
    clear: float | None = Field(default=None, allow_inf_nan=False)
    """Where it clears; the set level if not given. Between the two nothing changes."""

    @property
    def clear_level(self) -> float:
        """The level at which a raised alert clears."""
        return self.set if self.clear is None else self.clear


class Rule(Config):
    """A guardrail: a predicate that every event must satisfy; a field is a feature's or a tag's name.

    Exactly one form: a range (`minimum`, `maximum`), `allowed` values, `excluded` values, or a comparison with
    another numeric field (`less_or_equal`).
    """

    field: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    less_or_equal: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [
            self.minimum is not None or self.maximum is not None,
            bool(self.allowed),
            bool(self.excluded),
            self.less_or_equal is not None,
        ]
        if sum(forms) != 1:
            msg = (
                f"rule on {self.field!r} has {sum(forms)} forms: expected exactly one of "
                "minimum/maximum, allowed, excluded, less_or_equal"
            )
            raise ValueError(msg)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise FieldError("maximum", expected=f"below the minimum: expected at least minimum = {self.minimum:g}")
        return self


class Monitor(Config):
    """One monitor (`ml.monitors.v1`)."""

    signal: Signal
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str = ""
    """The model that it belongs to; filled in from the file's entry."""
    monitor_id: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")
    """Unique within the model; made of signal and detector if not given."""
    detector: DetectorName = "e_detector"
    """The sequential e-detector on the budget, a plain threshold, an error budget that burns, or one of river's."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of a river detector."""
    features: tuple[str, ...] = ()
    """The features that it watches; all if empty. For signals that have features."""
    by: tuple[str, ...] = ()
    """Segment dimensions: beside the whole also each of their values is watched."""
    tolerance: float = Field(default=0.0, ge=0)
    """A shift smaller than this is not worth telling, in the unit of the signal; docs/statistics.md lists the units."""
    direction: Literal["rise", "fall", "both"] | None = None
    """Which way a rate or loss must go to be told; by default the way that does harm. Distributions go both ways."""
    thresholds: Thresholds | None = None
    """For `detector: threshold`, and there required."""
    burn_rate: BurnRate | None = None
    """For `detector: burn_rate`, and there required."""
    rule: Rule | None = None
    """For `signal: rule_violation_ratio`, and there required."""
    group: str | None = None
    """For fairness signals: which of the model's groups."""
    reference_context: Literal["global", "cell_of_week"] | None = None
    """What a window is held against; the cell of the week for input signals of models with cells below 24 h."""
    min_samples: int = Field(default=30, ge=1)
    """Fewer relevant events in a window decide nothing."""
    for_: Duration = Field(default=timedelta(0), alias="for")
    """A threshold monitor fires after the condition held this long."""
    keep_firing_for: Duration | None = None
    """An alert clears this long after its last alarm; by default a day for detectors, as long as `for` for thresholds,
    at once for burn rates."""
    severity: Severity = Severity.TICKET
    owner: str = ""
    namespace: str = ""
    runbook_url: str = ""
    effective_from: Timestamp | None = None
    """First cell it applies to; at once if not given."""
    retired: bool = False
    """True withdraws the monitor."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.detector == "e_detector" and self.signal in THRESHOLD_ONLY_SIGNALS:
            raise FieldError("signal", expected="is no mean of bounded events: expected detector: threshold")
        if self.detector in RIVER_DETECTORS and self.signal is not Signal.ERROR_RATE:
            raise FieldError("detector", expected="reads the outcome sequence: expected signal: error_rate")
        if self.detector == "e_detector" and self.signal not in INPUT_DRIFT_SIGNALS and self.tolerance >= 1:
            raise FieldError("tolerance", expected="leaves no room for an alarm: expected a share below 1")
        if self.detector == "threshold" and self.thresholds is None:
            raise FieldError("thresholds", expected="missing: expected {set: …} with detector: threshold")
        if self.signal is Signal.RULE_VIOLATION_RATIO and self.rule is None:
            raise FieldError("rule", expected=f"missing: expected one with signal: {self.signal}")
        for name, goes, where in self._belongings():
            if getattr(self, "for_" if name == "for" else name) and not goes:
                raise FieldError(name, expected=f"expected only with {where}")
        if not self.monitor_id:
            parts = [self.signal.value, *self.features, *([] if self.rule is None else [self.rule.field])]
            if self.detector != "e_detector":
                parts.append(self.detector)
            object.__setattr__(self, "monitor_id", "-".join(parts)[:128])
        return self

    @model_validator(mode="after")
    def _estimate(self) -> Self:
        if self.signal in NO_GROUND_TO_ACT and self.severity is Severity.PAGE:
            raise FieldError("severity", expected="an estimate without labels pages nobody: expected ticket")
        if self.signal is Signal.ESTIMATOR_UNRELIABLE and self.detector != "e_detector":
            raise FieldError("detector", expected="holds an estimate against labels: expected e_detector")
        return self

    @model_validator(mode="after")
    def _budget(self) -> Self:
        if self.detector != "burn_rate":
            return self
        if self.signal not in BURN_SIGNALS:
            raise FieldError("signal", expected=f"is no ratio: expected one of {', '.join(sorted(BURN_SIGNALS))}")
        if self.burn_rate is None:
            raise FieldError("burn_rate", expected="missing: expected {objective: …} with detector: burn_rate")
        if self.signal in FEATURE_SIGNALS and len(self.features) != 1:
            expected = f"{len(self.features)} given: expected the one feature whose budget it is"
            raise FieldError("features", expected=expected)
        if self.by:
            raise FieldError("by", expected="expected none with detector: burn_rate, which watches all events together")
        return self

    def _belongings(self) -> tuple[tuple[str, bool, str], ...]:
        """Fields that mean something only beside others: name, whether it is so, and where."""
        names = ", ".join(sorted(FEATURE_SIGNALS))
        return (
            ("thresholds", self.detector == "threshold", "detector: threshold"),
            ("burn_rate", self.detector == "burn_rate", "detector: burn_rate"),
            ("for", self.detector == "threshold", "detector: threshold"),
            ("parameters", self.detector in RIVER_DETECTORS, f"a detector of river: {', '.join(RIVER_DETECTORS)}"),
            ("rule", self.signal is Signal.RULE_VIOLATION_RATIO, f"signal: {Signal.RULE_VIOLATION_RATIO}"),
            ("group", self.signal in FAIRNESS_SIGNALS, f"signal: {', '.join(sorted(FAIRNESS_SIGNALS))}"),
            (
                "direction",
                self.detector == "e_detector" and self.signal not in _WITHOUT_SIDES,
                "detector: e_detector on a rate or loss; drift is watched both ways, a rule one way",
            ),
            ("features", self.signal in FEATURE_SIGNALS, f"signal: {names}"),
        )

    @property
    def keep_firing(self) -> timedelta:
        """How long after its last alarm an alert of this monitor clears."""
        if self.keep_firing_for is not None:
            return self.keep_firing_for
        if self.detector == "threshold":
            return self.for_  # what is patient to fire is as patient to clear, or it flaps
        return timedelta(0) if self.detector == "burn_rate" else timedelta(days=1)

    @property
    def burn_terms(self) -> BurnRate:
        """The error budget of `detector: burn_rate`; raises ValueError for any other."""
        if self.burn_rate is None:
            msg = f"monitor {self.monitor_id!r} has detector: {self.detector}: expected burn_rate"
            raise ValueError(msg)
        return self.burn_rate

    @property
    def burn_windows(self) -> tuple[BurnWindows, ...]:
        """The windows of `detector: burn_rate`: those given, or those of the severity."""
        return self.burn_terms.windows or (PAGE_WINDOWS if self.severity is Severity.PAGE else TICKET_WINDOWS)

    @property
    def revision(self) -> str:
        """Content hash: what was in force when a verdict was made."""
        return digest(self.model_dump(mode="json"))[:12]


class ModelEntry(ModelSpec):
    """A model in monitors.yaml: its ModelSpec and its monitors."""

    monitors: tuple[Monitor, ...] | None = None
    """The defaults if not given."""

    def spec(self) -> ModelSpec:
        """The ModelSpec alone."""
        return ModelSpec.model_validate(self.model_dump(exclude={"monitors"}))

    def owned_monitors(self) -> tuple[Monitor, ...]:
        """The monitors, each with the model's name."""
        monitors = default_monitors(self) if self.monitors is None else self.monitors
        update = {"environment": self.environment, "model_name": self.model_name}
        return tuple(monitor.model_copy(update=update) for monitor in monitors)

    @model_validator(mode="after")
    def _unique_and_known(self) -> Self:
        # What the world sends is no evidence against a version: only errors, latencies and outcomes are.
        of_the_world = INPUT_DRIFT_SIGNALS | {Signal.MISSING_RATIO, Signal.UNSEEN_RATIO, Signal.OUT_OF_RANGE_RATIO}
        unfit = of_the_world | THRESHOLD_ONLY_SIGNALS | NO_GROUND_TO_ACT
        betting = {signal.value for signal in Signal} - {s.value for s in unfit}
        evidence = self.rollback.evidence
        if evidence not in betting or not self._has(Signal(evidence)):
            fitting = sorted(name for name in betting if self._has(Signal(name)))
            estimate = evidence in {signal.value for signal in NO_GROUND_TO_ACT}
            why = "an estimate without labels never authorises a rollback; " if estimate else ""
            raise FieldError("rollback", "evidence", expected=f"{why}expected one of {', '.join(fitting)}")
        known: set[str] = set()
        for index, monitor in enumerate(self.monitors or ()):
            for name, problem in self._problems(monitor, known):
                raise FieldError("monitors", index, name, expected=problem)
            known.add(monitor.monitor_id)
        return self

    def _has(self, signal: Signal) -> bool:
        return has_signal(self.task, signal)

    def _problems(self, monitor: Monitor, known: set[str]) -> Iterator[tuple[str, str]]:
        """What is wrong with a monitor of this model: the field, and what was expected."""
        if not self._has(monitor.signal) and self.model_name != ANY_MODEL:
            yield "signal", f"a {self.task.value} model has none: expected a signal of its task"
        if monitor.signal is Signal.ESTIMATED_BUSINESS_VALUE and self.business_value is None:
            yield "signal", "has no values to weigh with: expected business_value of the model"
        if monitor.monitor_id in known:
            told = f"{monitor.monitor_id!r} is used twice: expected one monitor for each id"
            yield ("monitor_id", told) if "monitor_id" in monitor.model_fields_set else (
                "signal", f"monitor_id {told}; give one of the two an own monitor_id",
            )  # fmt: skip
        if set(monitor.by) - set(self.segments):
            yield "by", f"expected some of segments = {list(self.segments)}"
        if monitor.group is not None and monitor.group not in self.groups:
            yield "group", f"expected one of groups = {list(self.groups)}"
        if monitor.burn_rate is not None:
            uneven = [w for w in monitor.burn_windows if w.long % self.cell or w.short % self.cell]
            if uneven:
                told = f"{format_duration(uneven[0].long)} and {format_duration(uneven[0].short)} are no whole cells"
                yield "burn_rate.windows", f"{told}: expected multiples of cell = {format_duration(self.cell)}"
        if monitor.signal in FAIRNESS_SIGNALS and not self.groups:
            yield "signal", "compares groups: expected groups of the model to be named"


class MonitorsFile(Config):
    """The whole of monitors.yaml."""

    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _unique_models(self) -> Self:
        keys: set[tuple[str, str]] = set()
        for index, entry in enumerate(self.models):
            key = (entry.environment, entry.model_name)
            if key in keys:
                expected = f"is named twice in {entry.environment}: expected one entry for each environment and name"
                raise FieldError("models", index, "name", expected=expected)
            keys.add(key)
        return self


def has_signal(task: TaskKind, signal: Signal) -> bool:
    """Whether models of a task have a signal."""
    if task is TaskKind.MULTICLASS and signal in BINARY_ESTIMATES:
        return False
    return signal not in (CLASS_SIGNALS if task is TaskKind.REGRESSION else REGRESSION_SIGNALS)


def default_monitors(spec: ModelSpec) -> tuple[Monitor, ...]:
    """The monitors of a model that names none: tickets on data, outcomes and service."""
    signals = [
        Signal.FEATURE_DRIFT, Signal.PREDICTION_DRIFT, Signal.MISSING_RATIO, Signal.UNSEEN_RATIO,
        Signal.OUT_OF_RANGE_RATIO, Signal.TYPE_VIOLATION_RATIO, Signal.SCHEMA_VIOLATION_RATIO,
        Signal.SERVING_ERROR_RATIO, Signal.LATENCY_P95,
    ]  # fmt: skip
    if spec.task == "regression":
        signals.append(Signal.MAE)
    else:
        signals.append(Signal.ERROR_RATE)
    owned = {"environment": spec.environment, "model_name": spec.model_name}
    levels = {Signal.CANARY_HARM: spec.rollback.harm_tolerance, Signal.PROMOTE_RECOMMENDED: 1.0}
    return (
        *(Monitor(signal=signal, **owned) for signal in signals),
        *(
            Monitor(
                signal=signal, detector="threshold", thresholds=Thresholds(set=level),
                keep_firing_for=timedelta(days=1), **owned,
            )
            for signal, level in levels.items()
        ),
    )  # fmt: skip
