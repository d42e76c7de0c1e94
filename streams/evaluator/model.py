"""ModelEvaluator: one model's profiles merged, its cells closed in order of event time, and what follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.alerts import Alert, Resolution
from schemas.base import Event, from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.identifiers import digest
from schemas.maintenance import Maintenance
from schemas.metrics import WindowMetrics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.profiles import DeltaPart, Heartbeat, ProfileDelta
from streams.control.blocks import Block, unpack_blocks
from streams.control.calendar import maintenance_of
from streams.control.plan import Plan
from streams.control.view import ControlView
from streams.evaluator import clock
from streams.evaluator.alerting import EXPIRY_MS, end_alert
from streams.evaluator.cells import AFTER_MATURITY, CellKey, CellStore
from streams.evaluator.clock import EventTime
from streams.evaluator.reference_view import ReferenceView
from streams.evaluator.series import Series, expand
from streams.evaluator.serving import in_force, known_deployments
from streams.evaluator.state import ModelState
from streams.evaluator.watch import weights

_MAX_DERIVED = 10_000


class Derived:
    """What follows from the control view alone; shared by a task's models and rebuilt when control changes."""

    def __init__(self, control: ControlView) -> None:
        self.control = control
        self._revision = -1
        self._series: dict[tuple[str, str, str], list[Series]] = {}
        self._weights: dict[tuple[str, str, str], dict[str, float]] = {}
        self._revisions: dict[tuple[str, int], str] = {}
        self._views: dict[tuple[str, int, str], ReferenceView] = {}

    def series(self, key: str, plan: Plan, cell_ms: int) -> list[Series]:
        """The series of a model in a cell."""
        self._refresh()
        name = (key, plan.plan_id, self.config_revision(key, cell_ms))
        if name not in self._series:
            self._series[name] = expand(self.control.monitors(key, cell_ms), plan)
        return self._series[name]

    def weights(self, key: str, plan: Plan, cell_ms: int) -> dict[str, float]:
        """Each series' share of its severity's budget."""
        self._refresh()
        name = (key, plan.plan_id, self.config_revision(key, cell_ms))
        if name not in self._weights:
            self._weights[name] = weights(self.series(key, plan, cell_ms))
        return self._weights[name]

    def config_revision(self, key: str, cell_ms: int) -> str:
        """Hash of the monitors in force for a cell."""
        self._refresh()
        if (key, cell_ms) not in self._revisions:
            monitors = self.control.monitors(key, cell_ms)
            self._revisions[key, cell_ms] = digest(sorted(m.revision for m in monitors))[:12]
        return self._revisions[key, cell_ms]

    def _refresh(self) -> None:
        """Forget what was derived from an older revision; a bound keeps long runs small."""
        if self._revision != self.control.revision or len(self._revisions) > _MAX_DERIVED:
            self._series.clear()
            self._weights.clear()
            self._revisions.clear()
            self._revision = self.control.revision

    def view(self, key: str, plan: Plan, cell_ms: int) -> ReferenceView | None:
        """The reference that a cell is held against; None before the first one takes effect."""
        reference = self.control.reference(key, cell_ms)
        if reference is None:
            return None
        name = (reference.reference_id, reference.revision, plan.plan_id)
        if name not in self._views:
            self._views[name] = ReferenceView(reference, plan)
        return self._views[name]


@dataclass
class ModelEvaluator:
    """One model during one batch: works on copies, and collects what is to be published."""

    key: str
    derived: Derived
    state: ModelState
    cells: CellStore
    n_sources: int
    idle_after_ms: int
    published: list[Event] = field(default_factory=list)
    offsets: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    @property
    def control(self) -> ControlView:
        """What is in force."""
        return self.derived.control

    def spec(self, cell_ms: int | None = None) -> ModelSpec:
        """The ModelSpec in force for a cell."""
        return self.control.spec(self.key, cell_ms)

    def monitors(self, cell_ms: int) -> tuple[Monitor, ...]:
        """The monitors in force for a cell."""
        return self.control.monitors(self.key, cell_ms)

    def maintenance(self, cell_ms: int, end_ms: int) -> Maintenance | None:
        """The maintenance that covers a part of a cell: nothing of it is judged."""
        return maintenance_of(self.spec(), cell_ms, end_ms)

    def deployments(self) -> list[DeploymentEvent]:
        """Deployments of the model, announced or inferred, in order of time."""
        return known_deployments(self.key, self.control.deployments(self.key), self.state.first_seen_ms)

    def serving(self, at_ms: int) -> list[DeploymentEvent]:
        """The deployments that serve at a time, newest first."""
        return in_force(self.deployments(), at_ms)

    def publish(self, event: Event) -> None:
        """Put an event among those of this batch."""
        self.published.append(event)

    def time(self) -> EventTime | None:
        """Event time of the model."""
        n_sources = self.state.n_sources or self.n_sources
        return clock.event_time(self.state.sources, n_sources, self.idle_after_ms)

    def merge(self, delta: ProfileDelta) -> bool:
        """Merge a delta; False where it was merged already."""
        if not clock.hear_delta(self.state, delta):
            return False
        self.offsets = {
            topic: {str(delta.source_partition): (start, end)} for topic, (start, end) in delta.offsets.items()
        }
        for part in delta.parts:
            plan = self.control.plan_by_id(part.plan_id)
            if plan is None:
                self._note(
                    f"plan {part.plan_id} of source {delta.source_partition} is unknown: its counts are left out"
                )
                continue
            self._merge_blocks(part, plan, delta.source_partition)
        for item in delta.outcomes:
            name = f"{item.model_version}@{item.cell_ms}"
            waiting = self.state.outcomes.setdefault(name, [])
            # A state of before these were kept has outcomes without: they stay as they came.
            self.state.outcome_sources.setdefault(name, [0] * len(waiting)).append(delta.source_partition)
            waiting.append(item.errors)
        if delta.samples:
            self._sample(delta)
        return True

    def _merge_blocks(self, part: DeltaPart, plan: Plan, source: int) -> None:
        left_out: dict[CellKey, None] = {}
        for block in unpack_blocks(part.columns):
            key = CellKey(block.cell_ms, block.model_version, part.plan_id, part.late)
            if self.cells.would_fall_below_zero(key, block, plan):
                left_out[key] = None  # settled and forgotten while this source was idle, or a delta was lost
            else:
                self._add(key, block, plan)
        for key in left_out:
            self._note(
                f"cell {key.text} does not hold what source {source} takes back: what that says of it is left out"
            )

    def _add(self, key: CellKey, block: Block, plan: Plan) -> None:
        self.cells.add(key, block, plan)
        version = key.model_version
        first, last = self.state.first_seen_ms, self.state.last_seen_ms
        first[version] = min(first.get(version, key.cell_ms), key.cell_ms)
        last[version] = max(last.get(version, key.cell_ms), key.cell_ms)
        text = key._replace(late=0).text
        is_closed = (closed := self.state.outcomes_closed_ms) is not None and key.cell_ms + plan.cell_ms <= closed
        if (is_closed or key.late == AFTER_MATURITY) and text not in self.state.dirty:
            self.state.dirty.append(text)

    def _sample(self, delta: ProfileDelta) -> None:
        """Keep the smallest hashes of all sources: samples merge, whatever the batches."""
        merged = {(s.model_version, s.hash): s for s in [*self.state.samples, *delta.samples]}
        self.state.samples = sorted(merged.values(), key=lambda s: (s.hash, s.model_version))[:N_SAMPLES]
        self.state.feature_kinds.update(delta.feature_kinds)

    def hear(self, heartbeat: Heartbeat) -> None:
        """Take a source's sign of life."""
        clock.hear_heartbeat(self.state, heartbeat, self.key)

    def _note(self, finding: str) -> None:
        self.published.append(
            WindowMetrics(
                environment=self.spec().environment,
                model_name=self.spec().model_name,
                model_version="",
                kind="inputs",
                window_start=from_milliseconds(0),
                window_end=from_milliseconds(0),
                details={"finding": finding},
            )
        )

    def due_inputs(self, time: EventTime) -> dict[int, int]:
        """Starts of cells whose inputs can be closed, each with the time at which it could."""
        return self._due(time.predictions_ms, self.state.inputs_closed_ms, outcomes=False)

    def due_outcomes(self, time: EventTime) -> dict[int, int]:
        """Starts of cells whose outcomes have matured, each with the time at which they had."""
        return self._due(time.outcomes_ms, self.state.outcomes_closed_ms, outcomes=True)

    def _due(self, until_ms: int, closed_ms: int | None, *, outcomes: bool) -> dict[int, int]:
        due: dict[int, int] = {}
        maturity_ms = milliseconds(self.spec().maturity) if outcomes else 0
        for key in self.cells.in_order():
            length = self.cell_length(key)
            is_new = closed_ms is None or key.cell_ms + length > closed_ms
            at_ms = key.cell_ms + length + maturity_ms
            if is_new and at_ms <= until_ms and not self._is_only_late(key, outcomes=outcomes):
                due[key.cell_ms] = max(at_ms, due.get(key.cell_ms, at_ms))
        return due

    def _is_only_late(self, key: CellKey, *, outcomes: bool) -> bool:
        plan = self.control.plan_by_id(key.plan_id)
        return plan is not None and self.cells.is_only_late(key, plan, outcomes=outcomes)

    def cell_length(self, key: CellKey) -> int:
        """Length of a cell under its plan, in milliseconds."""
        plan = self.control.plan_by_id(key.plan_id)
        return plan.cell_ms if plan is not None else milliseconds(self.spec().cell)

    def in_cell(self, cell_ms: int, *, outcomes: bool) -> list[tuple[CellKey, Plan]]:
        """What has counts in time for a cell's window: versions and plans."""
        found = []
        for key in self.cells.in_order():
            plan = self.control.plan_by_id(key.plan_id)
            if key.cell_ms == cell_ms and plan is not None and not self._is_only_late(key, outcomes=outcomes):
                found.append((key, plan))
        return found

    def end_alerts(self, keys: Iterable[str], now_ms: int, reason: Resolution) -> None:
        """End alerts for a reason outside the data."""
        for name in sorted(keys):
            alert = end_alert(self.state.alerts.pop(name), now_ms=now_ms, reason=reason)
            self.publish(alert)

    def retire_alerts(self, now_ms: int, *, outcomes: bool) -> None:
        """End alerts of versions that no longer serve, of monitors that were withdrawn, and of long silence.

        Parameters
        ----------
        now_ms
            Event time of the cell that has just closed.
        outcomes
            Whether it closed for its outcomes: then the alerts on outcomes are looked at, else the others.
        """
        now = now_ms - now_ms % milliseconds(self.spec().cell)
        serving = {d.model_version for d in self.serving(now_ms)}
        monitors = {m.monitor_id for m in self.monitors(now)}
        alerts = {name: a for name, a in self.state.alerts.items() if a.needs_labels is outcomes}
        gone = [name for name, a in alerts.items() if serving and a.model_version not in serving]
        self.end_alerts(gone, now, Resolution.SUPERSEDED)
        withdrawn = [name for name, a in alerts.items() if a.monitor_id not in monitors and name not in gone]
        self.end_alerts(withdrawn, now, Resolution.CONFIG_CHANGED)
        silent = milliseconds(self.spec().maturity) + EXPIRY_MS
        ended = {*gone, *withdrawn}
        expired = [name for name, a in alerts.items() if now - a.last_data_ms > silent and name not in ended]
        self.end_alerts(expired, now, Resolution.EXPIRED)

    def alert_events(self) -> list[Alert]:
        """Alerts published in this batch."""
        return [event for event in self.published if isinstance(event, Alert)]


N_SAMPLES = 2000
"""Rows of a first reference's sample: the smallest hashes."""
