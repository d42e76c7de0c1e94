"""Matured outcomes in order, for detectors that read sequences: every cell once, when both watermarks passed it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from schemas.profiles import Outcomes
from streams.profiler.join import Joined
from streams.profiler.model import ModelState, maturity_of
from streams.profiler.outcomes import actual_under, reads_sequence
from streams.profiler.table import Array, concatenate_rows
from streams.profiler.watermarks import Clock, Horizons

_COLUMNS = ("timestamp", "high", "low", "plan", "version", "predicted", "timely")


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
    cells = [plan.cell_ms for plan in model.plans.values() if reads_sequence(plan)]
    if not any((now - horizons.maturity) // ms > (before - horizons.maturity) // ms for ms in cells):
        return []
    parts = []
    for rows in _rows(model, joined):
        matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
        found = (matures > before) & (matures <= now) & (rows["timely"] >= 0) & ~np.isnan(rows["predicted"])
        parts.append({**{name: rows[name][found] for name in _COLUMNS}, "matures": matures[found]})
    chosen = concatenate_rows(parts)
    chosen["error"] = _errors(model, chosen)
    return _in_order(model, chosen, chosen["matures"], horizons)


def _rows(model: ModelState, joined: Joined | None) -> Iterator[dict[str, Array]]:
    """Live rows as they are after the batch, in pieces."""
    table = model.rows
    in_memory = {name: table[name] for name in _COLUMNS}
    if joined is not None:
        in_memory["timely"] = in_memory["timely"].copy()
        in_memory["timely"][joined.touched] = joined.labels["timely"]
        yield {name: joined.rows[name] for name in _COLUMNS}
    yield {name: column[table.alive] for name, column in in_memory.items()}
    if table.levels is not None:
        yield from table.levels.scan(_COLUMNS)


def _errors(model: ModelState, rows: dict[str, Array]) -> Array:
    """1 where the label that stood in time says that the prediction was wrong; one without a class is wrong too."""
    out = np.zeros(len(rows["plan"]), dtype=np.uint8)
    for code in np.unique(rows["plan"]).tolist():
        mine = rows["plan"] == code
        actual = actual_under(model, model.plan_of(code), rows["timely"][mine].astype(np.float64))
        out[mine] = actual != rows["predicted"][mine]
    return out


def _in_order(model: ModelState, rows: dict[str, Array], matures: Array, horizons: Horizons) -> list[Outcomes]:
    lengths = np.array([plan.cell_ms for plan in (model.plan_of(c) for c in range(len(model.plan_ids.names)))])
    cells = matures - horizons.maturity - lengths[rows["plan"]]
    order = np.lexsort((rows["low"], rows["high"], rows["timestamp"], cells, rows["version"]))
    versions, cells, errors = rows["version"][order], cells[order], rows["error"][order]
    starts = np.flatnonzero(np.append(True, (np.diff(versions) != 0) | (np.diff(cells) != 0))) if len(order) else order
    return [
        Outcomes(model.names.versions.names[int(versions[start])], int(cells[start]), errors[start:end].tobytes())
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=False)
    ]
