"""First reference of a model that has none: bins from samples, then counts from its own first cells."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Final

from detectors.inflation import MINIMUM_CELLS
from schemas.base import from_milliseconds, milliseconds
from schemas.identifiers import stable_id
from schemas.references import BuiltFrom, Reference, Section
from streams.control import layout as sections
from streams.control.bins import reference_from_samples
from streams.control.blocks import Block, compress_blocks
from streams.evaluator.cells import CellKey
from streams.evaluator.clock import EventTime
from streams.evaluator.model import ModelEvaluator

_DAY_MS: Final = milliseconds(timedelta(days=1))


def propose_reference(model: ModelEvaluator, time: EventTime) -> None:
    """Publish the next revision of a model's first reference, once there is enough for it.

    Revision 1 holds bins alone, from the sample; revision 2 adds the counts of at least 40 closed cells and of the
    policy's span. Until then nothing is judged.
    """
    spec = model.spec()
    if spec.reference.kind != "first":
        return
    published = model.control.references(model.key)
    if not published and model.state.first_reference == 0:
        _propose_bins(model, time)
    elif published and published[-1].built_from.kind == "first" and model.state.first_reference == 1:
        _propose_counts(model, time, published[-1])


def _propose_bins(model: ModelEvaluator, time: EventTime) -> None:
    spec, samples = model.spec(), model.state.samples
    if len(samples) < spec.reference.min_samples:
        return
    stamps = [s.timestamp_ms for s in samples]
    if max(stamps) - min(stamps) < min(_DAY_MS, milliseconds(spec.reference.min_span)):
        return
    length = milliseconds(spec.cell)
    newest = max(*model.state.last_seen_ms.values(), time.predictions_ms)
    reference = reference_from_samples(
        spec,
        samples,
        reference_id=stable_id("reference", model.key, "first"),
        effective_from=from_milliseconds((newest // length + 1) * length),
    )
    model.state.first_reference = 1
    model.state.samples = []
    model.publish(reference)


def _propose_counts(model: ModelEvaluator, time: EventTime, bins: Reference) -> None:
    spec = model.spec()
    closed = model.state.outcomes_closed_ms
    keys = [k for k in model.cells.in_order() if closed is not None and k.cell_ms + model.cell_length(k) <= closed]
    own = [k for k in keys if _has_bins(model, k)]
    cells = {k.cell_ms for k in own}
    if len(cells) < MINIMUM_CELLS or max(cells) - min(cells) < milliseconds(spec.reference.min_span):
        return
    plan = model.control.plan_by_id(own[-1].plan_id)
    if plan is None:
        return
    same = [key for key in own if key.plan_id == plan.plan_id]
    blocks = [
        Block.from_dense(key.model_version, segment, key.cell_ms, counts)
        for key in same
        for segment, counts in sorted(model.cells.in_time(key, plan, outcomes=True).items())
    ]
    n = sum(int(b.counts[b.slots == 0].sum()) for b in blocks if b.segment == "__all__")
    length = milliseconds(spec.cell)
    built = BuiltFrom(
        kind="first",
        description=f"first {len(cells)} closed cells",
        n_predictions=n,
        n_labels=_n_labels(model, same),
        start=from_milliseconds(min(cells)),
        end=from_milliseconds(max(cells) + length),
    )
    model.state.first_reference = 2
    model.publish(
        bins.model_copy(
            update={
                "revision": 2,
                "effective_from": from_milliseconds((time.predictions_ms // length + 1) * length),
                "built_from": built,
                "sections": [Section(name=name, width=width) for name, width in plan.layout],
                "blocks": base64.b64encode(compress_blocks(blocks)).decode(),
                "n_cells": len(cells),
            }
        )
    )


def _has_bins(model: ModelEvaluator, key: CellKey) -> bool:
    plan = model.control.plan_by_id(key.plan_id)
    return plan is not None and bool(plan.bins or plan.prediction_bins)


def _n_labels(model: ModelEvaluator, keys: list[CellKey]) -> int:
    total = 0
    for key in keys:
        plan = model.control.plan_by_id(key.plan_id)
        if plan is not None:
            counts = model.cells.in_time(key, plan, outcomes=True).get("__all__")
            total += 0 if counts is None else int(counts[plan.layout.slice(sections.N_LABELLED)].sum())
    return total
