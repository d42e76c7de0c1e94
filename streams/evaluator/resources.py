"""Infrastructure and cost: resource events averaged per cell, held against thresholds."""

from __future__ import annotations

from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import ResourceEvent
from schemas.identifiers import digest
from schemas.metrics import WindowMetrics
from schemas.monitors import Monitor
from schemas.signals import RESOURCE_SIGNALS, Signal
from streams.control.calendar import cell_start
from streams.evaluator.alert_evidence import evidence_of_value
from streams.evaluator.closing import step_alert
from streams.evaluator.model import ModelEvaluator
from streams.evaluator.scene import Scene
from streams.evaluator.state import Moves, ResourceCell
from streams.evaluator.watch import threshold_condition

_FIELDS = ("cpu_ratio", "gpu_ratio", "memory_bytes", "queue_length", "n_replicas", "cost_usd")


def take_resources(model: ModelEvaluator, event: ResourceEvent) -> None:
    """Take a resource event; when it opens a new cell, the one before is closed and judged."""
    length = milliseconds(model.spec().cell)
    cell_ms = cell_start(milliseconds(event.measured_at), length)
    kept = model.state.resources.get(event.model_version)
    if kept is not None and cell_ms < kept.cell_ms:
        return  # older than the cell that is open: it was closed without it
    if kept is not None and cell_ms > kept.cell_ms:
        _close(model, event.model_version, kept, length)
        kept = None
    cell = kept or ResourceCell(cell_ms=cell_ms)
    cell.n += 1
    for name in _FIELDS:
        value = getattr(event, name)
        if value is not None:
            cell.sums[name] = cell.sums.get(name, 0.0) + value
            cell.sums[f"n:{name}"] = cell.sums.get(f"n:{name}", 0.0) + 1
    model.state.resources[event.model_version] = cell


def _close(model: ModelEvaluator, version: str, cell: ResourceCell, length_ms: int) -> None:
    values = _values(cell)
    spec = model.spec(cell.cell_ms)
    monitors = [m for m in model.monitors(cell.cell_ms) if m.signal in RESOURCE_SIGNALS]
    scene = Scene(
        spec=spec,
        model_version=version,
        window_start_ms=cell.cell_ms,
        window_end_ms=cell.cell_ms + length_ms,
        n=cell.n,
        reference=None,
        deployment=None,
        config_revision=digest(sorted(m.revision for m in monitors))[:12],
        coverage=None,
        moves=Moves(),
    )
    maintenance = model.maintenance(cell.cell_ms, cell.cell_ms + length_ms)
    for monitor in monitors if maintenance is None else ():
        _judge(model, monitor, values.get(_name(monitor.signal)), cell.n, scene)
    model.publish(
        WindowMetrics(
            environment=spec.environment,
            model_name=spec.model_name,
            model_version=version,
            kind="resources",
            window_start=from_milliseconds(cell.cell_ms),
            window_end=from_milliseconds(cell.cell_ms + length_ms),
            values=values,
            details={"n_events": cell.n} | ({} if maintenance is None else {"maintenance": maintenance.comment}),
        )
    )


def _judge(model: ModelEvaluator, monitor: Monitor, value: float | None, n: int, scene: Scene) -> None:
    # A resource event is a measurement over many requests: a single one decides.
    condition = threshold_condition(monitor.model_copy(update={"min_samples": 1}), value, n)
    step_alert(model, monitor, condition, scene, evidence_of_value(monitor, value, n, scene), [])


def _name(signal: Signal) -> str:
    return "cost_usd" if signal is Signal.RESOURCE_COST_USD else signal.value


def _values(cell: ResourceCell) -> dict[str, float | None]:
    """Means over the cell; cost is its sum."""
    values: dict[str, float | None] = {}
    for name in _FIELDS:
        if name in cell.sums:
            of = 1.0 if name == "cost_usd" else cell.sums[f"n:{name}"]
            values[name] = cell.sums[name] / of
    return values
