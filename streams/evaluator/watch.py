"""Watch: all series of one version on one closed window, each budget's weighted sum, and what it raises."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from detectors.sequential import budget_threshold, e_benjamini_hochberg, weighted_statistic
from schemas.models import ModelSpec
from schemas.monitors import Monitor, Severity
from schemas.signals import Signal
from streams.evaluator.feeding import feed, statistic_of
from streams.evaluator.lifecycle import Condition
from streams.evaluator.series import Reading, Series
from streams.evaluator.state import SeriesState

CARRIER_SHARE: Final = 0.05
"""Series with at least this share of the weighted sum carry an alarm."""
DISCOVERY_RATE: Final = 0.1
"""Share of an alert's list that may be wrong, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A series that carries an alarm."""

    series: Series
    reading: Reading
    statistic: float
    share_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A series on an alert's list, its e-value, and what it sees in this window."""

    series: Series
    reading: Reading
    e_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A budget's weighted sum passed its threshold; `carriers` in order of their share, largest first.

    `discoveries` are the series that have moved, in the order of their evidence, with their e-values: of those listed
    at most `DISCOVERY_RATE` have not, on average. They need not be the carriers.
    """

    severity: Severity
    statistic: float
    threshold: float
    carriers: tuple[Carrier, ...]
    discoveries: tuple[Discovery, ...] = ()

    @property
    def leading(self) -> Carrier:
        """The series with the largest share."""
        return self.carriers[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a window meant to the series of a version."""

    readings: dict[str, Reading]
    statistics: dict[str, float]
    """Per series, after the window and before any reset."""
    thresholds: dict[str, float]
    """Per series, the statistic that alone would raise an alarm."""
    alarms: tuple[Alarm, ...] = ()
    recovered: frozenset[str] = field(default_factory=frozenset)
    """Series whose mirrored test became sure."""


def state_key(model_version: str, series: Series) -> str:
    """Key of a series' state within the model."""
    return f"{model_version}|{series.key}"


def weights(series: Sequence[Series]) -> dict[str, float]:
    """Share each severity's budget among its series; the weights of a severity sum to 1.

    Outcomes share the pages; of the tickets half goes to outcomes and half to inputs. Where one kind is missing
    the other takes all. Within a kind each monitor has the same share, and within a monitor each series.
    """
    result: dict[str, float] = {}
    for severity in Severity:
        betting = [s for s in series if s.monitor.severity is severity and s.monitor.detector == "e_detector"]
        kinds = [kind for kind in (True, False) if any(s.needs_labels is kind for s in betting)]
        for kind in kinds:
            of_kind = [s for s in betting if s.needs_labels is kind]
            siblings = Counter(s.monitor.monitor_id for s in of_kind)
            for one in of_kind:
                result[one.key] = 1.0 / (len(kinds) * len(siblings) * siblings[one.monitor.monitor_id])
    return result


def threshold_of(spec: ModelSpec, severity: Severity, n_versions: int) -> float:
    """Threshold of a severity's weighted sum: windows in the period over alarms allowed in it.

    The budget is the model's: versions that serve at the same time share it.
    """
    budget = spec.false_alarm_budget
    allowed = budget.pages if severity is Severity.PAGE else budget.tickets
    return budget_threshold(budget.per / spec.cell * n_versions, allowed)


def watch(
    *,
    series: Sequence[Series],
    share: Mapping[str, float],
    closing: Iterable[Series],
    read: Callable[[Sequence[Series]], Iterable[tuple[str, Reading]]],
    states: dict[str, SeriesState],
    model_version: str,
    spec: ModelSpec,
    n_versions: int = 1,
) -> Watched:
    """Feed a closed window to the series that it closes, and sum up their part of each budget.

    Inputs and outcomes of a cell close at different times, and how far apart depends on when labels are read; so
    each kind's sum is held against the whole threshold by itself. Their weights sum to 1 together, which keeps the
    budget, and what inputs say now never hangs on how late labels are.

    Parameters
    ----------
    series
        All series of the version; a budget's sum takes in those of the kind that this window closes.
    share
        Their `weights`.
    closing
        Those fed by this window.
    read
        Reads series in the window.
    states
        State of the model's series; entries of this version are updated in place.
    model_version, spec
        Whose series they are, and its budget.
    n_versions
        Versions that serve at the same time.
    """
    closing = [one for one in closing if one.monitor.detector == "e_detector"]
    kinds = {one.needs_labels for one in closing}
    n_period = math.ceil(spec.false_alarm_budget.per / spec.cell)
    readings = dict(read(closing))
    fed: dict[str, SeriesState] = {}
    for name in readings:
        fed[name] = states.setdefault(f"{model_version}|{name}", SeriesState())
    recovered = feed(fed, readings, n_period)
    known = {one.key: states.get(f"{model_version}|{one.key}") for one in series if one.key in share}
    statistics = {key: kept.statistic for key, kept in known.items() if kept is not None}
    gathered = {key: kept.n_since_reset for key, kept in known.items() if kept is not None}
    betting = [one for one in series if one.needs_labels in kinds]
    limits = {severity: threshold_of(spec, severity, n_versions) for severity in Severity}
    thresholds = {one.key: limits[one.monitor.severity] / share[one.key] for one in series if one.key in share}
    alarms = [
        alarm
        for severity, limit in limits.items()
        if (alarm := _alarm(severity, limit, betting, share, statistics, gathered, readings)) is not None
    ]
    for alarm in alarms:
        for carrier in alarm.carriers:
            _raise(states[state_key(model_version, carrier.series)])
    alarms = [
        replace(
            alarm, discoveries=_discoveries(alarm.severity, betting, share, states, model_version, readings, n_period)
        )
        for alarm in alarms
    ]
    return Watched(
        readings=readings,
        statistics=statistics,
        thresholds=thresholds,
        alarms=tuple(alarms),
        recovered=recovered,
    )


def _discoveries(
    severity: Severity,
    series: Sequence[Series],
    share: Mapping[str, float],
    states: Mapping[str, SeriesState],
    model_version: str,
    readings: Mapping[str, Reading],
    n_period: int,
) -> tuple[Discovery, ...]:
    """Choose by e-BH the series of a severity that have moved, among those that this window closes."""
    family = [s for s in series if s.monitor.severity is severity and s.key in share and s.key in readings]
    e_values = [statistic_of(states[state_key(model_version, s)].listing) / n_period for s in family]
    chosen = e_benjamini_hochberg(e_values, DISCOVERY_RATE)
    return tuple(Discovery(series=family[i], reading=readings[family[i].key], e_value=e_values[i]) for i in chosen)


def _raise(state: SeriesState) -> None:
    """After an alarm: the evidence begins anew, and so does the test that clears it."""
    state.evidence = b""
    state.statistic = 0.0
    state.n_since_reset = 0
    state.clearing = []


def _alarm(
    severity: Severity,
    limit: float,
    series: Sequence[Series],
    share: Mapping[str, float],
    statistics: dict[str, float],
    gathered: dict[str, int],
    readings: dict[str, Reading],
) -> Alarm | None:
    """A budget's alarm; `gathered` are the events that each series' evidence is made of.

    The evidence is sequential: what counts is how much of it there is, not how much came in one window. A stream that
    is thin in every window is not blind for that.
    """
    of_severity = [s for s in series if s.monitor.severity is severity and s.key in statistics]
    total = weighted_statistic([statistics[s.key] for s in of_severity], [share[s.key] for s in of_severity])
    if total < limit:
        return None
    parts = sorted(of_severity, key=lambda s: (-share[s.key] * statistics[s.key], s.key))
    carriers = [
        Carrier(
            series=one,
            reading=readings[one.key],
            statistic=statistics[one.key],
            share_ratio=share[one.key] * statistics[one.key] / total,
        )
        for one in parts
        if one.key in readings and share[one.key] * statistics[one.key] >= CARRIER_SHARE * total
    ]
    if not carriers or gathered[carriers[0].series.key] < carriers[0].series.monitor.min_samples:
        return None  # a later window decides; the evidence is kept
    return Alarm(severity=severity, statistic=total, threshold=limit, carriers=tuple(carriers))


def threshold_condition(monitor: Monitor, value: float | None, n: int) -> Condition:
    """What a value says to a threshold monitor. Rates whose fall is the harm are held from below."""
    if value is None or n < monitor.min_samples or monitor.thresholds is None:
        return Condition.NO_DATA
    sign = -1.0 if monitor.signal in _FALL_IS_WORSE else 1.0
    if sign * value >= sign * monitor.thresholds.set:
        return Condition.BREACH
    return Condition.CLEAR if sign * value < sign * monitor.thresholds.clear_level else Condition.BETWEEN


_FALL_IS_WORSE: Final = frozenset(
    {
        Signal.ACCURACY, Signal.RECALL, Signal.PRECISION, Signal.F1, Signal.AUC, Signal.LABEL_COVERAGE, Signal.VOLUME,
        Signal.SELECTION_RATE_RATIO, Signal.ESTIMATED_ACCURACY, Signal.ESTIMATED_PRECISION, Signal.ESTIMATED_RECALL,
        Signal.ESTIMATED_F1, Signal.ESTIMATED_SPECIFICITY, Signal.ESTIMATED_AUC, Signal.ESTIMATED_BUSINESS_VALUE,
    }
)  # fmt: skip
