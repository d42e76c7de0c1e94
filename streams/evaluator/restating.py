"""Restatements: labels that come after maturity change what was published, never what was decided."""

from __future__ import annotations

from schemas.base import from_milliseconds, milliseconds
from schemas.identifiers import ALL_SEGMENT
from schemas.metrics import WindowMetrics
from streams.control import layout as sections
from streams.control.plan import Plan
from streams.evaluator.cells import CellKey
from streams.evaluator.clock import EventTime
from streams.evaluator.model import ModelEvaluator
from streams.evaluator.signals import Counted, outcome_values


def restate(model: ModelEvaluator) -> None:
    """Publish anew the matured cells that have changed since they were published, with the next revision."""
    closed, open_ = model.state.outcomes_closed_ms, list[str]()
    for text in model.state.dirty:
        key = CellKey.parse(text)
        plan = model.control.plan_by_id(key.plan_id)
        if plan is None or key not in model.cells:
            continue
        if closed is None or key.cell_ms + plan.cell_ms > closed:
            open_.append(text)  # late already, while others of its cell may still come in time
            continue
        revision = model.state.restated.get(text, 0) + 1
        model.state.restated[text] = revision
        model.publish(_restatement(model, key, plan, revision))
    model.state.dirty = open_


def _restatement(model: ModelEvaluator, key: CellKey, plan: Plan, revision: int) -> WindowMetrics:
    cell = model.cells.read(key, plan)
    counted = {name: Counted(plan, plan.layout, counts) for name, counts in cell.items()}
    whole = counted[ALL_SEGMENT]
    n = int(whole.total(sections.N_PREDICTIONS))
    values = outcome_values(whole)
    return WindowMetrics(
        environment=plan.spec.environment,
        model_name=plan.spec.model_name,
        model_version=key.model_version,
        kind="restatement",
        revision=revision,
        window_start=from_milliseconds(key.cell_ms),
        window_end=from_milliseconds(key.cell_ms + plan.cell_ms),
        n_predictions=n,
        n_labels=int(whole.total(sections.N_LABELLED)),
        label_coverage_ratio=values.get("label_coverage"),
        values=values,
        segments={
            name: outcome_values(c, with_scores=False) for name, c in sorted(counted.items()) if name != ALL_SEGMENT
        },
        plan_id=key.plan_id,
    )


def drop_settled(model: ModelEvaluator, time: EventTime) -> None:
    """Forget cells that no label can change any more, and what waits for them."""
    spec = model.spec()
    horizon = max(milliseconds(spec.label_horizon), milliseconds(spec.maturity))
    keep_from = None
    if model.state.first_reference == 1:
        keep_from = 0  # counts of the first reference are still being gathered
    for key in model.cells.in_order():
        end = key.cell_ms + model.cell_length(key)
        if keep_from is None and end + horizon <= time.outcomes_ms:
            model.cells.drop(key)
            model.state.restated.pop(key.text, None)
    closed = model.state.outcomes_closed_ms
    waiting = model.state.outcomes
    for name in list(waiting):
        if closed is not None and int(name.rsplit("@", 1)[1]) < closed - milliseconds(spec.cell):
            del waiting[name]
            model.state.outcome_sources.pop(name, None)
