"""A model whose second version is bad, its log of events, and what all stages together decide on it."""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from schemas import topics
from schemas.base import Config, Event
from schemas.deployments import DeploymentEvent
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.profiles import ProfileDelta, ProfileRecord
from streams.control.blocks import unpack_blocks
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord, Output
from streams.evaluator.processor import EvaluatorProcessor
from streams.governor.processor import GovernorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.replay.references import build_reference
from streams.settings import Settings, TopicSettings

P, L = topics.PREDICTIONS.name, topics.LABELS.name
N_PARTITIONS = 3
START = datetime(2025, 1, 6, tzinfo=UTC)
CELL = timedelta(hours=1)
DEPLOYED_CELL, N_CELLS = 12, 30
N_REFERENCE_CELLS, PER_REFERENCE_CELL = 60, 40
SPEC = ModelSpec.model_validate(
    {
        "name": "m", "task": "binary", "positive_class": "late", "cell": "1h", "lateness": "10m", "maturity": "2h",
        "revision_horizon": "3h", "label_horizon": "6h", "segments": ["carrier"],
        "false_alarm_budget": {"pages": 1, "tickets": 4, "per": "2d"},
        "rollback": {
            "mode": "auto", "evidence": "error_rate", "min_samples": 20, "min_target_served": "2h",
            "min_target_predictions": 50,
        },
    }
)  # fmt: skip
MONITORS = (
    {"signal": "error_rate", "severity": "page", "tolerance": 0.05, "by": ["carrier"], "min_samples": 5},
    {"signal": "feature_drift", "tolerance": 0.3, "reference_context": "global", "min_samples": 5},
    {"signal": "error_rate", "detector": "adwin", "monitor_id": "adwin"},
    {"signal": "label_coverage", "detector": "threshold", "thresholds": {"set": 0.5}, "min_samples": 5},
)
Log = dict[str, list[dict[str, Any]]]
"""Events by topic, in the order in which they were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is sent."""

    seed: int
    per_cell: int = 12
    jitter_seconds: float = 500.0
    """How far events are out of order; the model allows for 600."""
    label_delay_seconds: float = 3600.0


def make_log(traffic: Traffic, *, cells: range = range(N_CELLS), versions: bool = True) -> Log:
    """Predictions and their labels; from one cell on another version serves, and is often wrong."""
    rng = random.Random(traffic.seed)
    sent: dict[str, list[tuple[float, dict[str, Any]]]] = {P: [], L: []}
    for cell in cells:
        for number in range(traffic.per_cell):
            at = START.timestamp() + (cell + rng.random()) * CELL.total_seconds()
            bad = versions and cell >= DEPLOYED_CELL
            prediction, label = _pair(rng, f"{cell}-{number}", at, bad=bad)
            label["label_timestamp"] = at + traffic.label_delay_seconds * rng.uniform(0.1, 1.0)
            sent[P].append((at + rng.uniform(0, traffic.jitter_seconds), prediction))
            if rng.random() < 0.95:
                sent[L].append((label["label_timestamp"] + rng.uniform(0, traffic.jitter_seconds), label))
    return {topic: [event for _, event in sorted(events, key=lambda pair: pair[0])] for topic, events in sent.items()}


def _pair(rng: random.Random, id_: str, at: float, *, bad: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    predicted = rng.choice(["on", "late"])
    wrong = rng.random() < (0.7 if bad else 0.1)
    actual = {"on": "late", "late": "on"}[predicted] if wrong else predicted
    prediction = {
        "prediction_id": id_, "model_name": "m", "model_version": "v2" if bad else "v1", "prediction_timestamp": at,
        "prediction_label": predicted, "prediction_score": round(rng.random(), 3),
        "features": {"x": round(rng.gauss(1.5 if bad else 0.0, 1.0), 3), "carrier": rng.choice(["AA", "BB", "CC"])},
    }  # fmt: skip
    return prediction, {"prediction_id": id_, "model_name": "m", "actual_label": actual}


def deployment(version: str, cell: int) -> DeploymentEvent:
    """A version begins to serve at a cell."""
    return DeploymentEvent(
        deployment_id=f"d-{version}",
        model_name="m",
        model_version=version,
        generation=1 if version == "v1" else 2,
        deployed_at=START + cell * CELL,
    )


@cache
def control_events() -> tuple[tuple[str, Event | Config], ...]:
    """What is in force, by topic."""
    recorded = make_log(
        Traffic(seed=1, per_cell=PER_REFERENCE_CELL), cells=range(-N_REFERENCE_CELLS - 6, -6), versions=False
    )
    reference = build_reference(
        SPEC,
        [json.dumps(event).encode() for event in recorded[P]],
        [json.dumps(event).encode() for event in recorded[L]],
        reference_id="r1",
    )
    monitors = [Monitor.model_validate({**monitor, "model_name": "m"}) for monitor in MONITORS]
    return (
        (topics.MODELS.name, SPEC),
        *((topics.MONITORS.name, monitor) for monitor in monitors),
        (topics.REFERENCES.name, reference),
        (topics.DEPLOYMENTS.name, deployment("v1", 0)),
        (topics.DEPLOYMENTS.name, deployment("v2", DEPLOYED_CELL)),
    )


def to_record(topic: str, event: dict[str, Any], partition: int, offset: int) -> ListRecord:
    """An event as it lies on its partition."""
    key, value = event["prediction_id"].encode(), json.dumps(event).encode()
    stamp = round((START + N_CELLS * CELL * 2).timestamp() * 1000)
    return ListRecord(topic=topic, partition=partition, offset=offset, key=key, value=value, timestamp=stamp)


def end_of_log() -> tuple[bytes, list[tuple[str, bytes]]]:
    """The watermark event that ends every partition: how far time gets is then not a matter of keys."""
    said = {"model_name": "m", "not_before": (START + 2 * N_CELLS * CELL).timestamp()}
    return json.dumps(said).encode(), [("ce_type", b"plumbline.watermark.v1")]


def partitions(log: Log) -> list[dict[str, list[ListRecord]]]:
    """The log cut by key, and every topic in its own order."""
    out: list[dict[str, list[ListRecord]]] = [{P: [], L: []} for _ in range(N_PARTITIONS)]
    for topic, events in log.items():
        for event in events:
            partition = zlib.crc32(event["prediction_id"].encode()) % N_PARTITIONS
            queue = out[partition][topic]
            queue.append(to_record(topic, event, partition, len(queue)))
    value, headers = end_of_log()
    for partition, queues in enumerate(out):
        for topic, queue in queues.items():
            end = ListRecord(topic=topic, partition=partition, offset=len(queue), value=value, headers=headers)
            queue.append(end)
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run goes; none of it may matter."""

    n_workers: int = 1
    """One reads its partitions one after the other here; several commit in any order."""
    batch_size: int = 1000
    restarts: bool = False
    seed: int = 0


@dataclass(slots=True)
class Decisions:
    """What was decided, without what may differ: numbers of restatements, how inputs were cut, the wall clock."""

    profiles: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    windows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    restated: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    alerts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By alert, in order; inputs may be ahead of outcomes, so that alerts on both come in any order."""
    commands: list[dict[str, Any]] = field(default_factory=list)

    def take(self, topic: str, value: bytes | None) -> None:
        """Take an output of any stage."""
        if value is None:
            return
        if topic == topics.PROFILES.name:
            self._take_profile(msgspec.msgpack.decode(value, type=ProfileRecord))
            return
        event = json.loads(value)
        if topic == topics.METRICS.name:
            window = (event["model_version"], event["kind"], event["window_start"], event["plan_id"])
            event.pop("revision")
            into = self.restated if event["kind"] == "restatement" else self.windows
            assert into is self.restated or window not in into, f"closed twice: {window}"
            into[window] = event
        elif topic == topics.ALERTS.name:
            event.pop("input_offsets")
            self.alerts.setdefault(event["alert_id"], []).append(event)
        elif topic == topics.ROLLBACKS.name:
            event.pop("expires_at")  # on the wall clock
            event["approval"].pop("deadline")
            self.commands.append(event)

    def _take_profile(self, said: ProfileRecord) -> None:
        for part in said.parts if isinstance(said, ProfileDelta) else ():
            for block in unpack_blocks(part.columns):
                where = (part.plan_id, block.model_version, block.segment, block.cell_ms)
                for slot, count in zip(block.slots.tolist(), block.counts.tolist(), strict=True):
                    self.profiles[(*where, slot)] += count


class Chain:
    """All stages on lists, one after the other.

    Parameters
    ----------
    log
        What was sent.
    course
        How it is run.
    """

    def __init__(self, log: Log, course: Course) -> None:
        self._course = course
        self._rng = random.Random(course.seed)
        self._control = ControlView()
        for topic, event in control_events():
            self._control.apply(topic, event.to_bytes())
        self._settings = Settings(topics=TopicSettings(events_partitions=N_PARTITIONS))
        self.decisions = Decisions()
        profiles = self._profile(partitions(log))
        decided = self._stage(EvaluatorProcessor, self._records(topics.PROFILES.name, profiles))
        alerts, evidence = (
            self._records(topic.name, [o for o in decided if o.topic == topic.name])
            for topic in (topics.ALERTS, topics.EVIDENCE)
        )
        commands = self._stage(GovernorProcessor, self._interleaved([alerts, evidence]))
        for output in (*profiles, *decided, *commands):
            self.decisions.take(output.topic, output.value)

    def _harness(self, make: Callable[..., Any], partition: int) -> Harness:
        return Harness(
            lambda: make(partition=partition, settings=self._settings, control=self._control), partition=partition
        )

    def _profile(self, logs: Sequence[dict[str, list[ListRecord]]]) -> list[Output]:
        """Every partition is a task; whose commit comes next is open where there are several workers."""
        tasks = [self._harness(ProfilerProcessor, partition) for partition in range(N_PARTITIONS)]
        batches = [list(self._batches(self._interleaved(list(log.values())))) for log in logs]
        turns = [partition for partition, of_task in enumerate(batches) for _ in of_task]
        if self._course.n_workers > 1:
            self._rng.shuffle(turns)
        said: list[Output] = []
        for partition in turns:
            task, batch = tasks[partition], batches[partition].pop(0)
            task.add(batch)
            said += task.commit(caught_up=not batches[partition]).outputs
            if self._course.restarts and self._rng.random() < 0.3:
                task.restart()
        for task in tasks:
            said += task.heartbeat().outputs
        return said

    def _stage(self, make: Callable[..., Any], records: Sequence[ListRecord]) -> list[Output]:
        task = self._harness(make, 0)
        for batch in self._batches(records):
            task.add(batch)
            if self._course.restarts and self._rng.random() < 0.3:
                task.stage()  # a commit that is aborted
                task.restart()
                task.add(batch)
            task.commit()
        return task.outputs

    def _batches(self, records: Sequence[ListRecord]) -> Iterable[list[ListRecord]]:
        size = self._course.batch_size
        return (list(records[start : start + size]) for start in range(0, len(records), size))

    def _interleaved(self, queues: Sequence[Sequence[ListRecord]]) -> list[ListRecord]:
        """Queues merged in any way that keeps the order of each."""
        turns = [number for number, queue in enumerate(queues) for _ in queue]
        if self._course.seed:
            self._rng.shuffle(turns)
        rest = [iter(queue) for queue in queues]
        return [next(rest[number]) for number in turns]

    @staticmethod
    def _records(topic: str, outputs: Sequence[Output]) -> list[ListRecord]:
        return [
            ListRecord(topic=topic, offset=offset, key=output.key, value=output.value, headers=output.headers)
            for offset, output in enumerate(outputs)
        ]


def decide(log: Log, course: Course) -> Decisions:
    """Run a log through all stages."""
    return Chain(log, course).decisions
