"""What stage 1 remembers of one model: rows that may still be asked for, labels that wait, time and totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from schemas.profiles import Totals
from streams.control.plan import Plan
from streams.ingest.columns import Interner
from streams.ingest.models import ModelNames
from streams.profiler.deadlines import OpenTimes
from streams.profiler.packing import Array
from streams.profiler.table import Table
from streams.profiler.watermarks import NEVER, Clock, Horizons

ROW_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "high": ("<u8", False),
    "low": ("<u8", False),
    "rid": ("<i8", False),
    "home": ("<u4", False),
    "mark": ("<u4", False),
    "timestamp": ("<i8", False),
    "anchor": ("<i8", False),
    "arrival": ("<i8", False),
    "plan": ("<u2", False),
    "version": ("<u2", False),
    "predicted": ("<f8", False),
    "score": ("<u1", False),
    "segments": ("<u2", True),
    "groups": ("<u2", True),
    "label": ("<f8", False),
    "label_timestamp": ("<i8", False),
    "label_arrival": ("<i8", False),
    "revision": ("<i4", False),
    "timely": ("<i2", False),
}
"""A prediction. `rid` numbers a model's rows; `home` is the run that holds it in the changelog, `mark` the run that
holds its label. `anchor` and `arrival` are those of the first prediction of this id: its family shares one label.
`timely` is the label that stood when the cell matured, for ordered outcomes."""

ROWS_APART: Final = ("home", "mark")
WAITING_APART: Final = ("home",)
LABEL_FIELDS: Final = ("label", "label_timestamp", "label_arrival", "revision", "timely")
MATRICES: Final = ("segments", "groups")

WAITING_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "high": ("<u8", False),
    "low": ("<u8", False),
    "rid": ("<i8", False),
    "home": ("<u4", False),
    "timestamp": ("<i8", False),
    "arrival": ("<i8", False),
    "actual": ("<f8", False),
    "revision": ("<i4", False),
    "retracted": ("<u1", False),
}
"""A label whose prediction has not come yet."""

SECOND: Final = 1_000
"""Milliseconds."""
NO_REVISION: Final = -1
TIMELY_OPEN, TIMELY_NEVER, TIMELY_NONE = -1, -2, -3
"""`timely` of a row before its label; of one that takes no part, as it came when its cell had matured, or in another
cell than the first prediction of its id; and of one whose label was retracted in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many events came, and what became of those whose fate is settled; the rest follows from the rows."""

    predictions: int = 0
    predictions_joined: int = 0
    predictions_dead: int = 0
    predictions_duplicate: int = 0
    predictions_late: int = 0
    labels: int = 0
    labels_joined: int = 0
    labels_dead: int = 0
    labels_duplicate: int = 0
    labels_late: int = 0
    labels_revised: int = 0
    labels_retracted: int = 0

    def plus(self, other: Tally) -> Tally:
        """The sum, field by field."""
        return Tally(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def totals(self, *, predictions_pending: int, labels_pending: int) -> dict[str, int]:
        """Complete them: what is neither settled nor pending is over."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        said["predictions_pending"] = predictions_pending
        said["labels_pending"] = labels_pending
        said["predictions_expired"] = _rest(said, Totals.PREDICTIONS, Totals.PREDICTION_OUTCOMES)
        said["labels_orphan"] = _rest(said, Totals.LABELS, Totals.LABEL_OUTCOMES)
        return said


def _rest(said: Mapping[str, int], whole: str, parts: tuple[str, ...]) -> int:
    return said[whole] - sum(said.get(name, 0) for name in parts)


@dataclass(slots=True)
class ModelState:
    """One model, as of the last commit."""

    names: ModelNames
    clock: Clock = field(default_factory=Clock)
    tally: Tally = field(default_factory=Tally)
    rows: Table = field(default_factory=lambda: Table(ROW_COLUMNS, apart=ROWS_APART))
    waiting: Table = field(default_factory=lambda: Table(WAITING_COLUMNS, apart=WAITING_APART))
    open_rows: OpenTimes = field(default_factory=OpenTimes)
    open_labels: OpenTimes = field(default_factory=OpenTimes)
    plan_ids: Interner = field(default_factory=Interner)
    plans: dict[str, Plan] = field(default_factory=dict)
    next_rid: int = 0
    swept: int = NEVER
    """Where the clock stood when rows were last forgotten."""

    @property
    def key(self) -> str:
        """`environment/model`."""
        return self.names.key

    def plan_of(self, code: int) -> Plan:
        """The plan that rows were counted under."""
        return self.plans[self.plan_ids.names[code]]

    def totals(self, horizons: Horizons) -> dict[str, int]:
        """Cumulative totals, complete."""
        start = open_from(self.clock, horizons)
        return self.tally.totals(
            predictions_pending=self.open_rows.count_from(start),
            labels_pending=self.open_labels.count_from(start),
        )


def open_from(clock: Clock, horizons: Horizons) -> int:
    """The first second whose rows still wait for a label."""
    start = clock.latest - horizons.label
    return start - start % SECOND


def has_label(label: Array, revision: Array) -> Array:
    """Which rows have a label that stands: one came, and was not retracted."""
    return (revision > NO_REVISION) & ~np.isnan(label)


def maturity_of(model: ModelState, plans: Array, timestamps: Array, horizons: Horizons) -> Array:
    """When the cells of some rows mature, in milliseconds."""
    out = np.empty(len(timestamps), dtype=np.int64)
    for code in np.unique(plans).tolist():
        mine = plans == code
        cell_ms = model.plan_of(code).cell_ms
        out[mine] = timestamps[mine] - timestamps[mine] % cell_ms + cell_ms + horizons.maturity
    return out


def is_over(model: ModelState, rows: Mapping[str, Array], horizons: Horizons) -> Array:
    """Which rows nothing that can still come may ask for.

    A row is kept for duplicates and further versions of its id until the predictions' watermark is a revision
    horizon past it, for its first label until the labels' watermark is a label horizon past its second (open rows
    are counted by the second; one whose label was retracted is open again), for a revision as long after its label,
    and for ordered outcomes until they are given out. Dropping such a row is never urgent: whether it is there decides
    nothing.
    """
    clock = model.clock
    label_end = second_of(rows["anchor"]) + (SECOND - 1 + horizons.label)
    over = clock.labels > label_end
    closed = np.maximum(np.maximum(rows["label_timestamp"], rows["label_arrival"]), rows["anchor"]) + horizons.revision
    over |= has_label(rows["label"], rows["revision"]) & (clock.labels > closed)
    over &= clock.predictions > np.maximum(rows["anchor"], rows["arrival"]) + horizons.revision
    sequences = np.array([model.plan_of(c).sequence_outcomes for c in range(len(model.plan_ids.names))], dtype=np.bool_)
    if sequences.any():
        matures = maturity_of(model, rows["plan"], rows["timestamp"], horizons)
        over &= ~sequences[rows["plan"]] | (clock.both >= matures)
    return np.asarray(over | (clock.valve > label_end))


def is_label_over(model: ModelState, labels: Mapping[str, Array], horizons: Horizons) -> Array:
    """Which waiting labels can find no prediction any more."""
    end = second_of(labels["timestamp"]) + (SECOND - 1 + horizons.label)
    return np.asarray((model.clock.predictions > end) | (model.clock.valve > end))


def second_of(times: Array) -> Array:
    """The start of the second that a time is in: how finely open rows are counted."""
    return np.asarray(times - times % SECOND)
