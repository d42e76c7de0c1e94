"""What a label means for a prediction, under the plan that it was counted with."""

from __future__ import annotations

import numpy as np

from schemas.models import TaskKind
from streams.control.plan import Plan
from streams.ingest.extract import class_codes
from streams.profiler.model import TIMELY_NEVER, TIMELY_NONE, TIMELY_OPEN, ModelState, maturity_of
from streams.profiler.table import Array
from streams.profiler.watermarks import Horizons


def actual_under(model: ModelState, plan: Plan, label: Array) -> Array:
    """Class codes (or values, in a regression) of raw labels, shape (n,); NaN for none."""
    if plan.spec.task is TaskKind.REGRESSION or not len(label):
        return label
    table = np.array([*class_codes(plan, model.names.labels.names), np.nan])
    codes = np.where(np.isnan(label), len(table) - 1, label).astype(np.int64)
    return np.asarray(table[codes])


def reads_sequence(plan: Plan) -> bool:
    """Whether ordered outcomes are given out under a plan; a regression has no errors to put in order."""
    return plan.sequence_outcomes and plan.spec.task is not TaskKind.REGRESSION


def timely_at_first(model: ModelState, rows: dict[str, Array], found: Array, horizons: Horizons) -> Array:
    """`timely` of new rows: open, or never.

    Parameters
    ----------
    model
        For its plans.
    rows
        plan, timestamp and anchor of the rows.
    found
        The watermark that each row found itself.
    horizons
        The model's.
    """
    matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
    same_cell = matures == maturity_of(model, rows["plan"], rows["anchor"], horizons)
    return np.where((found < matures) & same_cell, TIMELY_OPEN, TIMELY_NEVER).astype(np.int16)


def timely_after(
    model: ModelState, rows: dict[str, Array], label: Array, label_arrival: Array, horizons: Horizons
) -> Array:
    """`timely` of rows after a label: one that came when the cell had matured changes nothing.

    Parameters
    ----------
    model
        For its plans.
    rows
        plan, timestamp and timely of the rows.
    label, label_arrival
        Of every row, the raw label (NaN for a retraction) and the watermark that it found.
    horizons
        The model's.
    """
    reads = np.array([reads_sequence(model.plan_of(code)) for code in range(len(model.plan_ids.names))], dtype=np.bool_)
    if not reads.any():
        return rows["timely"]
    in_time = label_arrival < maturity_of(model, rows["plan"], rows["timestamp"], horizons)
    in_time &= reads[rows["plan"]] & (rows["timely"] != TIMELY_NEVER)
    codes = np.where(np.isnan(label), TIMELY_NONE, label)
    return np.where(in_time, codes, rows["timely"]).astype(np.int16)
