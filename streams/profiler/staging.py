"""One model's share of a commit: join, count, and say what changes; the state stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.profiles import DeltaPart, Outcomes, Sample
from streams.ingest.columns import EventColumns
from streams.profiler import lateness
from streams.profiler.batch import ModelBatch
from streams.profiler.counting import PlanCounter
from streams.profiler.join import Join, Joined, no_labels
from streams.profiler.maturity import matured_outcomes
from streams.profiler.model import MATRICES, ModelState, Tally, has_label, open_from
from streams.profiler.outcomes import actual_under
from streams.profiler.slots import input_slots, outcome_slots
from streams.profiler.table import Array, concatenate_rows
from streams.profiler.watermarks import NEVER, Clock, Horizons, arrivals

_SWEEPS_PER_HORIZON = 16
"""Rows are forgotten every so many parts of the revision horizon."""


@dataclass(slots=True)
class ModelChange:
    """What a commit changes of one model, and says about it."""

    state: ModelState
    horizons: Horizons
    clock: Clock
    tally: Tally
    joined: Joined | None = None
    parts: list[DeltaPart] = field(default_factory=list)
    outcomes: list[Outcomes] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    swept: int = NEVER

    @property
    def sweeps(self) -> bool:
        """Whether rows are forgotten after this commit."""
        return self.swept != self.state.swept

    @property
    def next_rid(self) -> int:
        """Id of the row after this commit's."""
        joined = self.joined
        n = 0 if joined is None else len(joined.rows["high"]) + len(joined.waiting["high"])
        return self.state.next_rid + n

    def totals(self) -> dict[str, int]:
        """Totals after this commit."""
        state, start = self.state, open_from(self.clock, self.horizons)
        open_rows = state.open_rows.count_from(start)
        open_labels = state.open_labels.count_from(start)
        if self.joined is not None:
            added, removed = open_changes(state, self.joined)
            open_rows += int((added >= start).sum()) - int((removed >= start).sum())
            open_labels += int((self.joined.waiting["timestamp"] >= start).sum())
            open_labels -= int((state.waiting["timestamp"][self.joined.resumed] >= start).sum())
        return self.tally.totals(predictions_pending=open_rows, labels_pending=open_labels)


def open_changes(state: ModelState, joined: Joined) -> tuple[Array, Array]:
    """Times of predictions that begin, and that cease, to wait for a label."""
    rows, touched = joined.rows, joined.touched
    anchor = state.rows["anchor"][touched]
    before = has_label(state.rows["label"][touched], state.rows["revision"][touched])
    after = has_label(joined.labels["label"], joined.labels["revision"])
    new = rows["anchor"][~has_label(rows["label"], rows["revision"])]
    return np.concatenate([new, anchor[before & ~after]]), anchor[~before & after]


def stage_model(state: ModelState, batch: ModelBatch, horizons: Horizons, *, caught_up: bool) -> ModelChange:
    """Join and count one model's batch.

    Parameters
    ----------
    state
        As of the last commit.
    batch
        What came.
    horizons
        The model's.
    caught_up
        Whether both topics were read to their ends: then what is over by one watermark alone may be forgotten.
    """
    events = {plan_id: EventColumns.concatenate(parts) for plan_id, parts in batch.predictions.items()}
    clock = state.clock
    predictions, order = _prediction_rows(state, list(events.values()))
    raised = np.where(predictions["backfill"], NEVER, predictions["timestamp"] - horizons.lateness)
    predictions["arrival"], latest = arrivals(clock.predictions, order, raised, batch.prediction_marks)
    labels, label_order = _label_rows(batch)
    raised = labels["timestamp"] - horizons.lateness
    labels["arrival"], latest_label = arrivals(clock.labels, label_order, raised, batch.label_marks)
    clock = replace(clock, predictions=latest, labels=latest_label)
    swept = _sweep_at(state, clock, horizons)
    if caught_up and swept != state.swept:
        clock = replace(clock, valve=clock.latest)
    change = ModelChange(state, horizons, clock, state.tally.plus(batch.dead()), swept=swept)
    if len(order) or len(label_order):
        joined = change.joined = Join(state, predictions, labels, horizons).run()
        change.tally = change.tally.plus(joined.tally)
        change.parts = _count(state, list(events.values()), order, predictions["arrival"], joined, horizons)
    change.outcomes = matured_outcomes(state, change.joined, clock, horizons)
    return change


def _sweep_at(state: ModelState, clock: Clock, horizons: Horizons) -> int:
    step = max(1, horizons.revision // _SWEEPS_PER_HORIZON)
    return clock.latest if clock.latest - max(state.swept, NEVER) >= step else state.swept


def _prediction_rows(state: ModelState, events: Sequence[EventColumns]) -> tuple[dict[str, Array], Array]:
    """Columns of rows in offset order, and that order."""
    parts = [_rows_of(state, columns) for columns in events] or [_no_rows()]
    orders = np.concatenate([columns.order for columns in events]) if events else np.empty(0, dtype=np.int64)
    rows = concatenate_rows(parts, MATRICES)
    if len(parts) > 1:
        sequence = np.argsort(orders)
        rows = {name: column[sequence] for name, column in rows.items()}
        orders = orders[sequence]
    return rows, orders


def _rows_of(state: ModelState, events: EventColumns) -> dict[str, Array]:
    state.plans.setdefault(events.plan.plan_id, events.plan)
    code = state.plan_ids.code(events.plan.plan_id)
    return {
        "high": events.hash_high,
        "low": events.hash_low,
        "timestamp": events.timestamp_ms,
        "plan": np.full(len(events), code, dtype=np.uint16),
        "version": events.version,
        "predicted": events.predicted,
        "score": events.score,
        "segments": events.segments,
        "groups": events.groups,
        "backfill": events.backfill,
    }


def _no_rows() -> dict[str, Array]:
    kinds = {
        "high": "u8", "low": "u8", "timestamp": "i8", "plan": "u2", "version": "u2", "predicted": "f8", "score": "u1",
        "backfill": "?",
    }  # fmt: skip
    rows = {name: np.empty(0, dtype=kind) for name, kind in kinds.items()}
    return {**rows, **{name: np.empty((0, 0), dtype="u2") for name in MATRICES}}


def _label_rows(batch: ModelBatch) -> tuple[dict[str, Array], Array]:
    if not batch.labels:
        return no_labels(), np.empty(0, dtype=np.int64)
    parts = [
        {
            "high": part.hash_high,
            "low": part.hash_low,
            "timestamp": part.timestamp_ms,
            "actual": part.actual,
            "revision": part.revision,
            "retracted": part.retracted,
            "order": part.order,
        }
        for part in batch.labels
    ]
    rows = concatenate_rows(parts)
    return rows, rows.pop("order")


Counters = dict[tuple[str, int], PlanCounter]


def _count(
    state: ModelState,
    events: Sequence[EventColumns],
    order: Array,
    found: Array,
    joined: Joined,
    horizons: Horizons,
) -> list[DeltaPart]:
    """Count what is new, and what labels change; `found` are the watermarks that the predictions found."""
    counters: Counters = {}
    kept = joined.acceptance.accepted
    for columns in events:
        here = slice(None) if len(events) == 1 else np.searchsorted(order, columns.order)
        late = lateness.of_inputs(columns.plan, columns.timestamp_ms, found[here], horizons)
        counted = kept[here] | columns.backfill
        for degree in np.unique(late[counted]).tolist():
            chosen = columns.where(counted & (late == degree))
            counter = _counter(counters, state, columns.plan.plan_id, degree)
            counter.add(chosen.version, chosen.timestamp_ms, chosen.segments, *input_slots(columns.plan, chosen))
    new = joined.rows
    _count_outcomes(counters, state, new, lateness.of_outcomes(state, new, found[kept], horizons))
    if len(joined.touched):
        before = state.rows.take(joined.touched)
        after = {**before, **joined.labels}
        late = lateness.of_outcomes(state, after, lateness.found_of(state, before, horizons), horizons)
        _count_outcomes(counters, state, before, late, sign=-1)
        _count_outcomes(counters, state, after, late)
    parts = (counter.part() for _, counter in sorted(counters.items()))
    return [part for part in parts if part is not None]


def _counter(counters: Counters, state: ModelState, plan_id: str, late: int) -> PlanCounter:
    if (plan_id, late) not in counters:
        counters[plan_id, late] = PlanCounter(state.plans[plan_id], state.names.versions.names, late=late)
    return counters[plan_id, late]


def _count_outcomes(
    counters: Counters, state: ModelState, rows: dict[str, Array], late: lateness.Lateness, *, sign: int = 1
) -> None:
    """Count the outcomes of those rows that have a label."""
    labelled = np.flatnonzero(has_label(rows["label"], rows["revision"]))
    plans, late = rows["plan"][labelled], late[labelled]
    for code, degree in _pairs(plans, late):
        mine = labelled[(plans == code) & (late == degree)]
        chosen = {name: column[mine] for name, column in rows.items()}
        plan = state.plan_of(code)
        slots, sums = outcome_slots(plan, chosen, actual_under(state, plan, chosen["label"]))
        counter = _counter(counters, state, plan.plan_id, degree)
        counter.add(chosen["version"], chosen["timestamp"], chosen["segments"], slots, sums, sign=sign)


def _pairs(plans: Array, late: lateness.Lateness) -> list[tuple[int, int]]:
    """Plan codes with the degrees of lateness that occur with them."""
    return [(code, degree) for code in np.unique(plans).tolist() for degree in np.unique(late[plans == code]).tolist()]
