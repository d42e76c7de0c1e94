"""A small model with a reference, whose profile deltas a test writes by hand: six-hour cells, one feature."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from detectors.binning import NumericBins
from schemas import topics
from schemas.alerts import Alert
from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import RollbackEvidence
from schemas.metrics import WindowMetrics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.profiles import DeltaPart, Heartbeat, Outcomes, ProfileDelta, Watermarks
from schemas.references import BuiltFrom, Reference, Section
from streams.control import layout as sections
from streams.control.blocks import Block, compress_blocks, pack_blocks
from streams.control.plan import Plan
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.evaluator.processor import EvaluatorProcessor
from streams.settings import Settings, TopicSettings

KEY = "production/m"
START = datetime(2026, 1, 5, tzinfo=UTC)
CELL_MS = milliseconds(timedelta(hours=6))
BINS = NumericBins(name="x", edges=(0.0, 1.0, 2.0, 3.0), atoms=())
SPEC: dict[str, Any] = {
    "name": "m", "task": "binary", "positive_class": "late", "cell": "6h", "maturity": "12h", "label_horizon": "3d",
    "false_alarm_budget": {"pages": 1, "tickets": 4, "per": "30d"},
    "rollback": {"mode": "auto", "evidence": "miss_rate", "min_samples": 50},
}  # fmt: skip


def cell_ms(number: int) -> int:
    """Start of a cell, counted from the start of the world."""
    return milliseconds(START) + number * CELL_MS


def deployment(version: str, cell: int, **changes: Any) -> DeploymentEvent:
    fields = {
        "deployment_id": f"d-{version}", "model_name": "m", "model_version": version, "generation": cell + 1,
        "deployed_at": from_milliseconds(cell_ms(cell)), **changes,
    }  # fmt: skip
    return DeploymentEvent.model_validate(fields)


@dataclass
class World:
    """The model's control events, and a stream of deltas."""

    monitors: Iterable[Mapping[str, Any]]
    spec: Mapping[str, Any] = field(default_factory=lambda: SPEC)
    n_sources: int = 1
    seed: int = 1
    reference_from: int | None = None
    """First cell that is held against the reference."""
    control: ControlView = field(default_factory=ControlView)
    records: list[ListRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._seq = 0
        model = ModelSpec.model_validate(self.spec)
        self.control.apply(topics.MODELS.name, model.to_bytes())
        for monitor in self.monitors:
            whole = Monitor.model_validate({**monitor, "model_name": "m"})
            self.control.apply(topics.MONITORS.name, whole.to_bytes())
        self.control.apply(topics.REFERENCES.name, self._reference(model).to_bytes())

    @property
    def plan(self) -> Plan:
        return self.control.plan(KEY, cell_ms(0))

    def _reference(self, model: ModelSpec) -> Reference:
        bins_only = Reference(
            reference_id="r1", model_name="m", built_from=BuiltFrom(kind="recording", n_predictions=80 * 400),
            cell=model.cell, bins=[BINS.to_dict()],
            effective_from=None if self.reference_from is None else from_milliseconds(cell_ms(self.reference_from)),
        )  # fmt: skip
        plan = Plan(model, bins_only, tuple(self._rules()))
        blocks = [self.block(plan, "v1", cell) for cell in range(-80, 0)]
        return bins_only.model_copy(
            update={
                "sections": [Section(name=name, width=width) for name, width in plan.layout],
                "blocks": base64.b64encode(compress_blocks(blocks)).decode(),
                "n_cells": 80,
            }
        )

    def _rules(self) -> Iterable[tuple[str, Any]]:
        return [(m.monitor_id, m.rule) for m in self.control.monitors(KEY) if m.rule is not None]

    def block(
        self, plan: Plan, version: str, cell: int, *, n: int = 400, miss: float = 0.2, shift: int = 0,
        errors: float = 0.0, labelled: bool = True,
    ) -> Block:  # fmt: skip
        """Counts of a cell: a third positive, misses at a rate, the feature in bin 1 to 3 moved by `shift`."""
        counts = np.zeros(plan.layout.width, dtype=np.int64)

        def put(name: str, values: Any) -> None:
            counts[plan.layout.slice(name)] = values

        put(sections.N_PREDICTIONS, n)
        put(sections.N_SERVING_ERRORS, self.rng.binomial(n, errors))
        feature = np.zeros(BINS.n_slots, dtype=np.int64)
        feature[1 + shift : 4 + shift] = self.rng.multinomial(n, [0.3, 0.4, 0.3])
        put(sections.feature_section("x"), feature)
        if labelled:
            positives = n // 3
            missed = int(self.rng.binomial(positives, miss))
            false_alarms = int(self.rng.binomial(n - positives, 0.05))
            put(sections.N_LABELLED, n)
            put(
                sections.CONFUSION,
                [n - positives - false_alarms, false_alarms, missed, positives - missed],
            )
        return Block.from_dense(version, "__all__", cell_ms(cell), counts)

    def cell(self, version: str, number: int, *, until: int | None = None, source: int = 0, **terms: Any) -> None:
        """One delta with a cell's counts; event time then stands at the end of `until` (that cell by default)."""
        block = self.block(self.plan, version, number, **terms)
        self.delta([block], until=number if until is None else until, source=source)

    def delta(
        self, blocks: Iterable[Block], *, until: int, source: int = 0, outcomes: Iterable[Outcomes] = (),
        seq: int | None = None,
    ) -> None:  # fmt: skip
        self._seq += 1
        end = cell_ms(until + 1)
        packed = pack_blocks(list(blocks))
        delta = ProfileDelta(
            environment="production", model_name="m", source_partition=source,
            seq=self._seq if seq is None else seq, watermarks=Watermarks(end, end),
            parts=[DeltaPart(self.plan.plan_id, packed)], outcomes=list(outcomes),
        )  # fmt: skip
        self._put(delta)

    def heartbeat(self, *, until: int | None, now_ms: int, caught_up: bool = True, source: int = 0) -> None:
        end = None if until is None else cell_ms(until + 1)
        self._put(
            Heartbeat(
                source_partition=source,
                n_partitions=self.n_sources,
                seq=self._seq,
                now_ms=now_ms,
                caught_up=caught_up,
                watermarks={} if end is None else {KEY: Watermarks(end, end)},
            )
        )

    def _put(self, record: ProfileDelta | Heartbeat) -> None:
        value = msgspec.msgpack.encode(record)
        self.records.append(ListRecord(topic=topics.PROFILES.name, offset=len(self.records), value=value))

    def deploy(self, version: str, cell: int, **changes: Any) -> DeploymentEvent:
        event = deployment(version, cell, **changes)
        self.control.apply(topics.DEPLOYMENTS.name, event.to_bytes())
        return event

    def harness(self) -> Harness:
        settings = Settings(topics=TopicSettings(events_partitions=self.n_sources))
        return Harness(lambda: EvaluatorProcessor(partition=0, settings=settings, control=self.control))

    def run(self, **feeding: Any) -> Harness:
        """Feed everything that was written to a new evaluator."""
        harness = self.harness()
        harness.feed(self.records, **feeding)
        return harness


def alerts(harness: Harness) -> list[Alert]:
    return [Alert.model_validate_json(o.value) for o in harness.outputs if o.topic == topics.ALERTS.name and o.value]


def windows(harness: Harness, kind: str) -> list[WindowMetrics]:
    found = [
        WindowMetrics.model_validate_json(o.value)
        for o in harness.outputs
        if o.topic == topics.METRICS.name and o.value
    ]
    return [window for window in found if window.kind == kind]


def evidence(harness: Harness) -> list[RollbackEvidence]:
    found = [o.value for o in harness.outputs if o.topic == topics.EVIDENCE.name and o.value]
    return [RollbackEvidence.model_validate_json(value) for value in found]
