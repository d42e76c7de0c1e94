"""Every metric of the product, with its unit in its name: one registry, made here.

Engine metrics are set by the engine. The metrics of stages are set from what was committed (`Staged.counts`,
`Staged.observations`) by `streams.web.exporter`, so that an aborted batch never counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COMMIT_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_MODEL: Final = ("environment", "model_name")
_VERSION: Final = (*_MODEL, "model_version")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"plumbline_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"plumbline_{name}", text, labels, registry=REGISTRY)


# Worker
BUILD_INFO: Final = _gauge(
    "build_info", "Version and guarantee of this worker; always 1.", "version", "processing_guarantee"
)
LOOP_BEAT_AGE: Final = _gauge("loop_beat_age_seconds", "Time since the stage's slowest loop last turned.", "stage")
WORKER_READY: Final = _gauge("worker_ready", "1 where the stage's partitions are assigned and restored.", "stage")

# Engine: fetching
RECORDS: Final = _counter("records_total", "Records committed as read.", "stage", "topic")
EVENTS: Final = _counter("events_total", "What committed batches said they did, by name.", "stage", "event")
CONSUMER_LAG: Final = _gauge(
    "consumer_lag_records", "Records between the position and the end of an input.", "stage", "topic", "partition"
)
PROCESSING_LAG: Final = _gauge(
    "processing_lag_seconds", "Age, by append time, of the latest record of the last commit.", "stage", "partition"
)
CLOCK_BEHIND: Final = _gauge(
    "clock_behind_seconds", "How far this worker's clock is known to be behind the broker's.", "stage", "partition"
)
EVENT_TIME_LAG: Final = _gauge("event_time_lag_seconds", "Wall clock minus the latest event time of a stage.", "stage")
QUEUE: Final = _gauge("task_queue_records", "Records fetched and not yet processed.", "stage", "partition")
REBALANCES: Final = _counter("rebalances_total", "Assignments that a stage's group has given this worker.", "stage")

# Engine: commits and tasks
COMMIT_SECONDS: Final = Histogram(
    "plumbline_commit_seconds",
    "Time from the first send of a commit to its end.",
    ("stage",),
    buckets=_COMMIT_BUCKETS,
    registry=REGISTRY,
)
COMMITS: Final = _counter("commits_total", "Commits that hold.", "stage")
COMMITS_ABORTED: Final = _counter("commits_aborted_total", "Commits that failed and were dropped.", "stage")
TASKS: Final = _gauge("tasks", "Tasks of this worker by state.", "stage", "state")
TASK_LOSSES: Final = _counter("task_losses_total", "Tasks that had to fence and restore again.", "stage", "reason")
PROCESSOR_CRASHES: Final = _counter("processor_crashes_total", "Exceptions raised by a Processor.", "stage")
OWNERSHIP_OVERLAPS: Final = _counter(
    "ownership_overlaps_total", "Commits found between our own, without a fence to forbid them.", "stage"
)
RESTORE_PROGRESS: Final = _gauge(
    "restore_progress_ratio", "Share of the changelog that is read, 1 when restored.", "stage", "partition"
)
RESTORE_SECONDS: Final = Histogram(
    "plumbline_restore_seconds",
    "Time to fence and restore a task.",
    ("stage",),
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
    registry=REGISTRY,
)
DEAD_LETTERS: Final = _counter("dead_letters_total", "Records set aside.", "stage", "reason")

CONTROL_REFUSED: Final = _counter(
    "control_events_refused_total", "Control events that contradict themselves or cannot be read.", "topic"
)

# Profiler
PROFILER_EVENTS: Final = _counter(
    "profiler_events_total",
    "Predictions and labels by what became of them: joined, expired, duplicate, late, orphan, …; not those that wait.",
    "outcome",
)

# Evaluator
WINDOWS: Final = _counter("windows_total", "Windows closed, by verdict.", *_MODEL, "status")
METRIC_VALUE: Final = _gauge(
    "metric_value",
    "Value of a signal in the last closed window, in the signal's own unit.",
    *_VERSION,
    "signal",
    "segment",
)
DETECTOR_STATISTIC: Final = _gauge(
    "detector_statistic", "Statistic of a monitor after the last closed window.", *_VERSION, "segment", "monitor_id"
)
DETECTOR_THRESHOLD: Final = _gauge(
    "detector_threshold", "Threshold that the statistic is held against.", *_VERSION, "segment", "monitor_id"
)
CANARY_HARM_LOWER: Final = _gauge(
    "canary_harm_lower_bound", "How much worse a candidate is at least, in the share of bad events.", *_VERSION
)
CANARY_HARM_UPPER: Final = _gauge(
    "canary_harm_upper_bound", "How much worse a candidate is at most, in the share of bad events.", *_VERSION
)
CANARY_BLOCKED: Final = _gauge(
    "canary_blocked", "1 where a candidate cannot be compared: unequal traffic or labels.", *_VERSION
)
CANARY_PAIRS: Final = _gauge("canary_pairs", "Pairs of events that the bounds rest on.", *_VERSION)
ERROR_BUDGET_LEFT: Final = _gauge(
    "error_budget_left_ratio", "Share of an error budget that is left in its period.", *_VERSION, "monitor_id"
)
ERROR_BUDGET_OBJECTIVE: Final = _gauge(
    "error_budget_objective_ratio", "Share of events that must be good.", *_VERSION, "monitor_id"
)
BUDGET_EVENTS: Final = _counter(
    "error_budget_events_total", "Events that an error budget counts.", *_VERSION, "monitor_id"
)
BUDGET_BAD_EVENTS: Final = _counter(
    "error_budget_bad_events_total", "Events that use up an error budget.", *_VERSION, "monitor_id"
)
LABEL_COVERAGE: Final = _gauge(
    "label_coverage_ratio", "Share of the last window's predictions that have a label.", *_VERSION
)
WATERMARK: Final = _gauge(
    "event_time_watermark_seconds",
    "Event time up to which a model is complete, seconds since the epoch.",
    *_MODEL,
    "kind",
)
ALERTS: Final = _gauge("alerts", "Alerts in force by state.", *_MODEL, "severity", "state")
ALERT_EVENTS: Final = _counter(
    "alert_transitions_total", "Alert records sent, by state entered.", *_MODEL, "severity", "state"
)
SERIES_LIMIT_REACHED: Final = _counter(
    "series_limit_reached_total", "Series of a model that were not exported: max_series_per_model.", *_MODEL
)
RESOURCE_CPU: Final = _gauge("resource_cpu_ratio", "CPU in use of what a model may use.", *_VERSION)
RESOURCE_GPU: Final = _gauge("resource_gpu_ratio", "GPU in use of what a model may use.", *_VERSION)
RESOURCE_MEMORY: Final = _gauge("resource_memory_bytes", "Memory in use by a model's serving.", *_VERSION)
RESOURCE_QUEUE: Final = _gauge("resource_queue_length", "Requests waiting for a model.", *_VERSION)
RESOURCE_REPLICAS: Final = _gauge("resource_replicas", "Replicas that serve a model.", *_VERSION)
RESOURCE_COST: Final = _gauge("resource_cost_usd", "Cost of serving a model in the last measured interval.", *_VERSION)

# Governor and responders
ROLLBACKS: Final = _counter("rollbacks_total", "Rollback decisions, by outcome or reason of refusal.", "outcome")
_INCIDENT_BUCKETS: Final = (60, 300, 900, 3600, 6 * 3600, 24 * 3600, 3 * 86_400, 7 * 86_400, 30 * 86_400)
INCIDENT_DETECTION: Final = Histogram(
    "plumbline_incident_detection_seconds",
    "Event time from the beginning of an incident to the first alert that fired (MTTD: sum over count).",
    buckets=_INCIDENT_BUCKETS,
    registry=REGISTRY,
)
INCIDENT_RESOLUTION: Final = Histogram(
    "plumbline_incident_resolution_seconds",
    "Event time from the beginning of an incident to its close (MTTR: sum over count).",
    buckets=_INCIDENT_BUCKETS,
    registry=REGISTRY,
)
RESPONSES: Final = _counter("responses_total", "What responders did with a decision.", "responder", "outcome")
RESPONSE_SECONDS: Final = Histogram(
    "plumbline_response_seconds", "Time of one call to the outside world.", ("responder",), registry=REGISTRY
)


def render() -> bytes:
    """Return the scrape, in Prometheus' text format."""
    return generate_latest(REGISTRY)


def set_build_info(version: str, processing_guarantee: str) -> None:
    """Say which version runs, and under which guarantee."""
    BUILD_INFO.clear()
    BUILD_INFO.labels(version=version, processing_guarantee=processing_guarantee).set(1)


def count_events(stage: str, counts: Mapping[str, int]) -> None:
    """Add a commit's counts; those of the profiler are its outcomes as well."""
    for event, count in counts.items():
        if count:
            EVENTS.labels(stage=stage, event=event).inc(count)
            if stage == "profiler":
                PROFILER_EVENTS.labels(outcome=event).inc(count)


def drop_series(metrics: Iterable[MetricWrapperBase], **labels: str) -> None:
    """Remove the series of the given metrics that carry all of the given label values.

    A metric that lacks one of the labels is left alone.
    """
    for metric in metrics:
        if set(labels) <= set(metric._labelnames):
            metric.remove_by_labels(labels)


def drop_task(stage: str, partition: int, topics: Iterable[str] = ()) -> None:
    """Remove the gauges of a task that this worker has no more; counters stay, they are history."""
    del topics
    drop_series(
        (CONSUMER_LAG, PROCESSING_LAG, CLOCK_BEHIND, QUEUE, RESTORE_PROGRESS), stage=stage, partition=str(partition)
    )


MODEL_GAUGES: Final[tuple[Gauge, ...]] = (
    METRIC_VALUE, DETECTOR_STATISTIC, DETECTOR_THRESHOLD, CANARY_HARM_LOWER, CANARY_HARM_UPPER, CANARY_BLOCKED,
    CANARY_PAIRS, ERROR_BUDGET_LEFT, ERROR_BUDGET_OBJECTIVE,
    LABEL_COVERAGE, WATERMARK, ALERTS,
    RESOURCE_CPU, RESOURCE_GPU, RESOURCE_MEMORY, RESOURCE_QUEUE, RESOURCE_REPLICAS, RESOURCE_COST,
)  # fmt: skip
"""Everything that is exported by model, and has to go when its task goes elsewhere."""


def drop_model(environment: str, model_name: str) -> None:
    """Remove the gauges of a model whose task this worker has no more."""
    drop_series(MODEL_GAUGES, environment=environment, model_name=model_name)
