"""What a label means for a prediction, under the plan that it was counted with."""

from __future__ import annotations

import numpy as np

from schemas.models import TaskKind
from streams.control.plan import Plan
from streams.ingest.extract import class_codes
from streams.profiler.model import OUTCOME_LATE, OUTCOME_OPEN, ModelState
from streams.profiler.table import Array


def actual_under(model: ModelState, plan: Plan, label: Array) -> Array:
    """Class codes (or values, in a regression) of raw labels, shape (n,); NaN for none."""
    if plan.spec.task is TaskKind.REGRESSION or not len(label):
        return label
    table = np.array([*class_codes(plan, model.names.labels.names), np.nan])
    codes = np.where(np.isnan(label), len(table) - 1, label).astype(np.int64)
    return np.asarray(table[codes])


def errors_under(model: ModelState, plans: Array, predicted: Array, label: Array) -> Array:
    """1 where a label says that a prediction was wrong, 0 where right, int8; `OUTCOME_OPEN` where it says nothing.

    Only for plans whose ordered outcomes are read.
    """
    out = np.full(len(plans), OUTCOME_OPEN, dtype=np.int8)
    for code in np.unique(plans).tolist():
        plan = model.plan_of(code)
        if plan.sequence_outcomes and plan.spec.task is not TaskKind.REGRESSION:
            mine = np.flatnonzero(plans == code)
            actual = actual_under(model, plan, label[mine])
            wrong = (actual != predicted[mine]).astype(np.int8)
            out[mine] = np.where(np.isnan(actual) | np.isnan(predicted[mine]), OUTCOME_OPEN, wrong)
    return out


def frozen_errors(before: Array, errors: Array, label_arrival: Array, matures: Array) -> Array:
    """Errors after a label: what came when the cell had matured changes nothing."""
    in_time = (label_arrival < matures) & (before != OUTCOME_LATE)
    return np.where(in_time, errors, before).astype(np.int8)
