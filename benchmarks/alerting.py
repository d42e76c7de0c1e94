"""From the record that completes a window to the alert on its topic, under load; both times are the broker's."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np

from benchmarks import events, worker
from benchmarks.children import Child
from benchmarks.session import N_PARTITIONS, Session, environment, read_topic
from schemas import topics
from schemas.alerts import Alert
from schemas.base import milliseconds
from schemas.models import ModelSpec
from schemas.monitors import Monitor, Severity, Thresholds
from schemas.signals import Signal
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName

CELL: Final = timedelta(seconds=1)
STAGES: Final = (StageName.PROFILER, StageName.EVALUATOR, StageName.GOVERNOR)
_SETTLE_SECONDS: Final = 5.0
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLatency:
    """Seconds from the completing record to the alert record."""

    n_alerts: int
    n_windows: int
    """Windows that were completed while it ran; every one changes an alert."""
    events_per_second: float
    """What the load reached."""
    p50_seconds: float
    p99_seconds: float
    max_seconds: float


async def measure(session: Session, *, rate: float, seconds: float = 65.0) -> AlertLatency:
    """Run the worker under a steady load whose latency is slow in every second cell.

    A monitor with a threshold then fires in one window and resolves in the next: every window ends in an alert record.
    """
    spec = ModelSpec(
        model_name="bench", positive_class="1", cell=CELL, lateness=timedelta(0), maturity=timedelta(seconds=5)
    )
    slow = Monitor(
        signal=Signal.LATENCY_P95, model_name="bench", detector="threshold", severity=Severity.PAGE,
        thresholds=Thresholds(set=0.3), monitor_id="slow",
    )  # fmt: skip
    settings = session.fresh()
    await session.apply(
        settings, specs=[spec], monitors=[*events.monitors(), slow], references=[events.reference(spec)]
    )
    command = [sys.executable, "-m", "benchmarks.load", "--rate", str(rate), "--seconds", str(seconds)]
    command += ["--cell-seconds", str(CELL.total_seconds())]
    async with worker.child(settings, STAGES) as running:
        await running.heard(running.listen("worker_started"), _READY_SECONDS)
        async with Child(command, environment=environment(settings)) as load:
            await load.heard(load.listen("published"), seconds + 60)
            n_published = load.tail.splitlines()[-1]
        await asyncio.sleep(1.0)  # the last window's alert may be on its way
        running.check()
    n_events = int(n_published.split()[1])
    return await _summary(session, settings, n_events / float(n_published.split()[4]))


class _Stamp(msgspec.Struct):
    prediction_timestamp: float


async def _summary(session: Session, settings: Settings, rate: float) -> AlertLatency:
    names = TopicNames(settings)
    completed = await _completions(session, names.in_use(topics.PREDICTIONS.name))
    waited: dict[int, float] = {}
    first = min(completed) + round(_SETTLE_SECONDS * 1000)
    for record in await read_topic(session.bootstrap_servers, names.in_use(topics.ALERTS.name)):
        alert = Alert.model_validate_json(record.value)
        end = milliseconds(alert.updated_at)  # of the window that fired or resolved it
        if alert.labels.get("monitor_id") == "slow" and end >= first and end in completed:
            waited.setdefault(end, (record.timestamp - completed[end]) / 1000)
    values = np.array(list(waited.values()))
    return AlertLatency(
        n_alerts=len(values),
        n_windows=sum(end >= first for end in completed),
        events_per_second=rate,
        p50_seconds=float(np.quantile(values, 0.5)),
        p99_seconds=float(np.quantile(values, 0.99)),
        max_seconds=float(values.max()),
    )


async def _completions(session: Session, topic: str) -> dict[int, int]:
    """When each cell was complete, by its end: the append time at which the last partition had passed it."""
    decode = msgspec.json.Decoder(_Stamp).decode
    cell_ms = milliseconds(CELL)
    passed: dict[int, dict[int, int]] = defaultdict(dict)
    newest: dict[int, int] = {}
    for record in await read_topic(session.bootstrap_servers, topic, N_PARTITIONS):
        cell = int(decode(record.value).prediction_timestamp * 1000) // cell_ms
        before = newest.get(record.partition, cell)
        for each in range(before + 1, cell + 1):
            passed[each * cell_ms][record.partition] = record.timestamp
        newest[record.partition] = max(before, cell)
    return {end: max(by.values()) for end, by in passed.items() if len(by) == N_PARTITIONS}
