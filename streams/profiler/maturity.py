"""Matured outcomes in order, for detectors that read sequences: every cell once, when both watermarks passed it."""

from __future__ import annotations

import numpy as np

from schemas.profiles import Outcomes
from streams.profiler.join import Joined
from streams.profiler.model import ModelState, maturity_of
from streams.profiler.table import Array
from streams.profiler.watermarks import Clock, Horizons

_COLUMNS = ("timestamp", "high", "low", "plan", "version", "error")


def matured_outcomes(model: ModelState, joined: Joined | None, clock: Clock, horizons: Horizons) -> list[Outcomes]:
    """Return the errors of cells that mature between the last commit and this one.

    Parameters
    ----------
    model
        As of the last commit.
    joined
        What this batch changes.
    clock
        Time after this batch.
    horizons
        The model's.
    """
    before, now = model.clock.both, clock.both
    cells = [plan.cell_ms for plan in model.plans.values() if plan.sequence_outcomes]
    if not any((now - horizons.maturity) // ms > (before - horizons.maturity) // ms for ms in cells):
        return []
    rows = _rows(model, joined)
    sequences = np.array([model.plan_of(c).sequence_outcomes for c in range(len(model.plan_ids.names))], dtype=np.bool_)
    matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
    found = np.flatnonzero((matures > before) & (matures <= now) & (rows["error"] >= 0) & sequences[rows["plan"]])
    return _in_order(model, {name: rows[name][found] for name in _COLUMNS}, matures[found], horizons)


def _rows(model: ModelState, joined: Joined | None) -> dict[str, Array]:
    """Live rows as they are after the batch."""
    rows = {name: model.rows[name].copy() for name in _COLUMNS}
    if joined is not None:
        rows["error"][joined.touched] = joined.labels["error"]
    live = {name: column[model.rows.alive] for name, column in rows.items()}
    if joined is None:
        return live
    return {name: np.concatenate([live[name], joined.rows[name]]) for name in _COLUMNS}


def _in_order(model: ModelState, rows: dict[str, Array], matures: Array, horizons: Horizons) -> list[Outcomes]:
    lengths = np.array([plan.cell_ms for plan in (model.plan_of(c) for c in range(len(model.plan_ids.names)))])
    cells = matures - horizons.maturity - lengths[rows["plan"]]
    order = np.lexsort((rows["low"], rows["high"], rows["timestamp"], cells, rows["version"]))
    versions, cells, errors = rows["version"][order], cells[order], rows["error"][order].astype(np.uint8)
    starts = np.flatnonzero(np.append(True, (np.diff(versions) != 0) | (np.diff(cells) != 0))) if len(order) else order
    return [
        Outcomes(model.names.versions.names[int(versions[start])], int(cells[start]), errors[start:end].tobytes())
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=False)
    ]
