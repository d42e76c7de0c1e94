"""Which counts come in time for their windows: decided by what each event found, so batches do not matter."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.control.plan import Plan
from streams.profiler.model import TIMELY_NEVER, ModelState, maturity_of
from streams.profiler.table import Array
from streams.profiler.watermarks import Horizons

IN_TIME: Final = 0
AFTER_END: Final = 1
AFTER_MATURITY: Final = 2

Lateness = NDArray[np.int8]


def of_inputs(plan: Plan, timestamps: Array, found: Array, horizons: Horizons) -> Lateness:
    """How late predictions were.

    Parameters
    ----------
    plan
        For the length of its cells.
    timestamps, found
        Shape (n,): event times, and the watermark that each event found.
    horizons
        The model's.
    """
    end = timestamps - timestamps % plan.cell_ms + plan.cell_ms
    return np.asarray((found >= end).astype(np.int8) + (found >= end + horizons.maturity))


def of_outcomes(model: ModelState, rows: dict[str, Array], found: Array, horizons: Horizons) -> Lateness:
    """How late labelled predictions were: that is, whether the later of both came after maturity.

    Parameters
    ----------
    model
        For its plans.
    rows
        plan, timestamp and label_arrival of the rows.
    found
        Shape (n,): the watermark that each prediction found.
    horizons
        The model's.
    """
    matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
    late = (found >= matures) | (rows["label_arrival"] >= matures)
    return np.where(late, AFTER_MATURITY, IN_TIME).astype(np.int8)


def found_of(model: ModelState, rows: dict[str, Array], horizons: Horizons) -> Array:
    """The watermark that rows of the table found, as far as lateness needs it.

    A row keeps that of the first prediction of its id; `timely` says where its own was beyond maturity.
    """
    matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
    same_cell = matures == maturity_of(model, rows["plan"], rows["anchor"], horizons)
    return np.where(same_cell & (rows["timely"] == TIMELY_NEVER), matures, rows["arrival"])
