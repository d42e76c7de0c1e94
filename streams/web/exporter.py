"""Exporter: what commits made true -> Prometheus metrics, and the board of the status page.

It is called after the commit, so an aborted batch never counts. What the engine counts itself (records, commits,
`Staged.counts`, dead letters) is not counted again here; this takes `Staged.observations`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.alerts import Alert, AlertStatus
from schemas.deployments import ResourceEvent
from schemas.identifiers import ALL_SEGMENT, model_key
from schemas.incidents import Incident
from schemas.metrics import SeriesVerdict, WindowMetrics
from schemas.rollbacks import RollbackCommand, RollbackState
from streams import telemetry
from streams.engine.processor import Staged
from streams.settings import Settings, StageName
from streams.web.board import Board
from streams.web.series import BoundedSeries, Labelled, Model

_STALE_INSTANCE: Final = timedelta(minutes=10)
_BUSIEST: Final = {
    telemetry.RESOURCE_CPU: "cpu_ratio",
    telemetry.RESOURCE_GPU: "gpu_ratio",
    telemetry.RESOURCE_REPLICAS: "n_replicas",
}
"""Of a version's instances the largest value is shown."""
_TOGETHER: Final = {
    telemetry.RESOURCE_MEMORY: "memory_bytes",
    telemetry.RESOURCE_QUEUE: "queue_length",
    telemetry.RESOURCE_COST: "cost_usd",
}
"""These are summed over the instances."""
_WORST_FIRST: Final = ("drift", "stable", "no_data", "warming_up")


class Exporter:
    """Takes what was committed by the tasks of this worker.

    Parameters
    ----------
    settings
        `web.max_series_per_model` bounds the series of one model.
    now
        Wall clock, aware.
    """

    def __init__(self, *, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.board = Board()
        self.now = now
        self._series = BoundedSeries(settings.web.max_series_per_model)
        self._models: dict[tuple[StageName, int], set[Model]] = {}
        self._alert_labels: dict[Model, set[tuple[str, str]]] = {}

    def committed(self, stage: StageName, partition: int, staged: Staged) -> None:
        """Take what a commit made true."""
        at = self.now()
        for observed in staged.observations:
            self.board.apply(observed, at)
            match observed:
                case WindowMetrics():
                    self._own(stage, partition, (observed.environment, observed.model_name))
                    self._export_window(stage, observed, at)
                case Alert():
                    self._export_alert(stage, partition, observed)
                case ResourceEvent():
                    self._own(stage, partition, (observed.environment, observed.model_name))
                    self._export_resources(observed)
                case Incident():
                    _export_incident(observed)
                case RollbackCommand() if not observed.is_drill:
                    telemetry.ROLLBACKS.labels(outcome=_outcome(observed)).inc()
                case _:
                    continue

    def closed(self, stage: StageName, partition: int) -> None:
        """Forget the series of a task that is not ours any more: its new owner exports them."""
        for model in self._models.pop((stage, partition), set()):
            self._series.drop(model)
            self._alert_labels.pop(model, None)
            self.board.forget_model(model_key(*model))

    def _own(self, stage: StageName, partition: int, model: Model) -> None:
        self._models.setdefault((stage, partition), set()).add(model)
        self._export_alerts_in_force(model)  # those that were read from the topic before, less those that expired

    def _export_window(self, stage: StageName, window: WindowMetrics, at: datetime) -> None:
        model, version = (window.environment, window.model_name), window.model_version
        if window.kind != "restatement":
            telemetry.WINDOWS.labels(*model, _worst(window.verdicts)).inc()
        for burn in window.burns:
            labels = (*model, version, burn.monitor_id)
            telemetry.BUDGET_EVENTS.labels(*labels).inc(burn.n)
            telemetry.BUDGET_BAD_EVENTS.labels(*labels).inc(burn.n_bad)
        kind = "outcomes" if window.kind == "restatement" else window.kind
        if self.board.last_window(model_key(*model), version, kind) is not window:
            return  # an older window than the one that is shown
        if window.kind in {"inputs", "outcomes"}:
            telemetry.WATERMARK.labels(*model, window.kind).set(window.window_end.timestamp())
            telemetry.EVENT_TIME_LAG.labels(stage=stage.value).set((at - window.window_end).total_seconds())
        self._series.replace(model, version, kind, _values(window))

    def _export_alert(self, stage: StageName, partition: int, alert: Alert) -> None:
        model = (alert.labels.get("environment", ""), alert.labels.get("model_name", ""))
        if alert.status is not alert.previous_status:
            severity = alert.labels.get("severity", "")
            telemetry.ALERT_EVENTS.labels(*model, severity, alert.status.value).inc()
        if stage is StageName.EVALUATOR:
            self._own(stage, partition, model)
        elif model in self._alert_labels:  # the governor's own alerts count where their model is ours
            self._export_alerts_in_force(model)

    def _export_alerts_in_force(self, model: Model) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for booked in self.board.alerts.in_force(self.now()):
            labels = booked.alert.labels
            if (labels.get("environment", ""), labels.get("model_name", "")) == model:
                counts[labels.get("severity", ""), booked.alert.status.value] += 1
        seen = self._alert_labels.setdefault(model, set())
        for severity in {severity for severity, _ in counts}:
            seen.update((severity, state.value) for state in AlertStatus if state is not AlertStatus.RESOLVED)
        for severity, state in seen:
            telemetry.ALERTS.labels(*model, severity, state).set(counts[severity, state])

    def _export_resources(self, event: ResourceEvent) -> None:
        model, version = (event.environment, event.model_name), event.model_version
        self.board.forget_stale_instances(event, within=_STALE_INSTANCE)
        instances = self.board.resources(model_key(*model), version)
        for gauge, field in _BUSIEST.items():
            self._series.set(gauge, model, version, value=max(_known(instances, field), default=None))
        for gauge, field in _TOGETHER.items():
            known = _known(instances, field)
            self._series.set(gauge, model, version, value=sum(known) if known else None)


def _values(window: WindowMetrics) -> dict[Labelled, float | None]:
    """The gauges of a window: the whole before its segments, should the bound be reached."""
    values: dict[Labelled, float | None] = {}
    if window.label_coverage_ratio is not None:
        values[telemetry.LABEL_COVERAGE, ()] = window.label_coverage_ratio
    if window.canary is not None:
        values[telemetry.CANARY_HARM_LOWER, ()] = window.canary.harm_lower
        values[telemetry.CANARY_HARM_UPPER, ()] = window.canary.harm_upper
        values[telemetry.CANARY_BLOCKED, ()] = float(window.canary.verdict == "blocked")
        values[telemetry.CANARY_PAIRS, ()] = float(window.canary.n_pairs)
    for burn in window.burns:
        values[telemetry.ERROR_BUDGET_LEFT, (burn.monitor_id,)] = burn.budget_left_ratio
        values[telemetry.ERROR_BUDGET_OBJECTIVE, (burn.monitor_id,)] = burn.objective
    leading = sorted(_leading(window.verdicts).items(), key=lambda item: item[0][0] != ALL_SEGMENT)
    for labels, verdict in leading:
        values[telemetry.DETECTOR_STATISTIC, labels] = verdict.statistic
        values[telemetry.DETECTOR_THRESHOLD, labels] = verdict.threshold
    if window.kind == "inputs":
        for name, estimate in window.estimates.items():
            values[telemetry.METRIC_VALUE, (f"estimated_{name}", ALL_SEGMENT)] = estimate.value
    for segment, of_segment in {ALL_SEGMENT: window.values, **window.segments}.items():
        for signal, value in of_segment.items():
            values[telemetry.METRIC_VALUE, (signal, segment)] = value
    return values


def _known(instances: Iterable[ResourceEvent], field: str) -> list[float]:
    values = (getattr(instance, field) for instance in instances)
    return [float(value) for value in values if value is not None]


def _worst(verdicts: Iterable[SeriesVerdict]) -> str:
    """The verdict that stands for a window: the most telling one of its series."""
    found = {verdict.status for verdict in verdicts}
    return next((status for status in _WORST_FIRST if status in found), "no_data")


def _leading(verdicts: Iterable[SeriesVerdict]) -> dict[tuple[str, str], SeriesVerdict]:
    """Of a monitor's series (its features) in a segment the one nearest to, or furthest over, its threshold."""
    chosen: dict[tuple[str, str], SeriesVerdict] = {}
    for verdict in verdicts:
        place = (verdict.segment, verdict.monitor_id)
        if place not in chosen or _nearness(verdict) > _nearness(chosen[place]):
            chosen[place] = verdict
    return chosen


def _nearness(verdict: SeriesVerdict) -> float:
    if verdict.statistic is None:
        return float("-inf")
    return verdict.statistic / verdict.threshold if verdict.threshold else verdict.statistic


def _outcome(command: RollbackCommand) -> str:
    if command.state is RollbackState.REFUSED:
        return command.reason.refusal or command.state.value
    return command.state.value


def _export_incident(incident: Incident) -> None:
    """Each incident counts once: when it has closed, and all of it is known."""
    if incident.status != "closed":
        return
    if incident.seconds_to_detect is not None:
        telemetry.INCIDENT_DETECTION.observe(incident.seconds_to_detect)
    if incident.seconds_to_resolve is not None:
        telemetry.INCIDENT_RESOLUTION.observe(incident.seconds_to_resolve)
