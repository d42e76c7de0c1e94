"""The join: labels meet predictions, in whatever order and batch they come.

What an event finds is decided by timestamps, and by the watermarks of its own topic when it arrived; never by what
happened to be in one batch. So one batch or a thousand, and a restart in between, give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.profiler.acceptance import Acceptance, Families, Key, accept, repeated
from streams.profiler.families import Family, Fate, Label, apply_label
from streams.profiler.model import (
    LABEL_FIELDS,
    NO_REVISION,
    TIMELY_OPEN,
    WAITING_COLUMNS,
    ModelState,
    Tally,
    has_label,
)
from streams.profiler.outcomes import timely_after, timely_at_first
from streams.profiler.table import Array, HashIndex, Slots, concatenate_rows
from streams.profiler.watermarks import NEVER, Horizons

_LABEL_INPUTS = ("high", "low", "timestamp", "arrival", "actual", "revision", "retracted")


@dataclass(slots=True)
class Joined:
    """What a batch changes in one model's rows; nothing of it is in the tables yet."""

    acceptance: Acceptance
    rows: dict[str, Array]
    """Accepted predictions, with their labels where those are known."""
    touched: Slots
    """Slots of older rows whose label changes."""
    labels: dict[str, Array]
    """Their `LABEL_FIELDS` from now on."""
    waiting: dict[str, Array]
    """Labels that wait from now on."""
    resumed: Slots
    """Slots of waiting labels whose wait is over."""
    tally: Tally


class Join:
    """One batch of one model.

    Parameters
    ----------
    model
        As of the last commit; it is only read.
    predictions
        Columns of rows, and `backfill`; in offset order.
    labels
        high, low, timestamp, arrival, actual, revision, retracted; in offset order.
    horizons
        The model's.
    """

    def __init__(
        self, model: ModelState, predictions: dict[str, Array], labels: dict[str, Array], horizons: Horizons
    ) -> None:
        self._model = model
        self._horizons = horizons
        self._acceptance = accept(model, predictions, horizons)
        self._rows = self._new_rows(predictions)
        self._place = np.cumsum(self._acceptance.accepted) - 1
        self._late = labels["timestamp"] < labels["arrival"] - horizons.label
        self._labels, self._pulled = self._all_labels(labels)
        self._fates: dict[Fate, int] = dict.fromkeys(Fate, 0)
        self._retracted = 0
        self._marked: list[tuple[Slots, dict[str, Array]]] = []
        self._waits = np.zeros(len(self._labels["high"]), dtype=np.bool_)

    def _new_rows(self, predictions: dict[str, Array]) -> dict[str, Array]:
        accepted, n = self._acceptance.accepted, int(self._acceptance.accepted.sum())
        rows = {name: column[accepted] for name, column in predictions.items() if name != "backfill"}
        found = rows["arrival"]
        rows["anchor"], rows["arrival"] = self._acceptance.anchor[accepted], self._acceptance.arrival[accepted]
        rows["label"] = np.full(n, np.nan)
        rows["label_timestamp"] = rows["label_arrival"] = np.full(n, NEVER)
        rows["label_arrival"] = rows["label_arrival"].copy()
        rows["revision"] = np.full(n, NO_REVISION, dtype=np.int32)
        rows["timely"] = timely_at_first(self._model, rows, found, self._horizons)
        return rows

    def _all_labels(self, labels: dict[str, Array]) -> tuple[dict[str, Array], Slots]:
        """Waiting labels of ids that are new in this batch, and then the batch's own, without late ones."""
        own = {name: labels[name][~self._late] for name in _LABEL_INPUTS}
        waiting = self._model.waiting
        if not waiting.n_live or not len(self._rows["high"]):
            return own, np.empty(0, dtype=np.int64)
        _, slots = waiting.find(self._rows["high"], self._rows["low"])
        pulled = np.unique(slots)
        pulled = pulled[np.argsort(waiting["rid"][pulled])]
        taken = waiting.take(pulled)
        return concatenate_rows([{name: taken[name] for name in _LABEL_INPUTS}, own]), pulled

    def run(self) -> Joined:
        """Join, and say what changes."""
        careful = self._join_simple()
        for family in self._join_careful(careful):
            self._write(family)
        n_pulled = len(self._pulled)
        kept = self._waits[n_pulled:]
        waiting = {name: self._labels[name][n_pulled:][kept] for name in _LABEL_INPUTS}
        touched, labels = self._merged_marks()
        return Joined(
            acceptance=self._acceptance,
            rows=self._rows,
            touched=touched,
            labels=labels,
            waiting=waiting,
            resumed=self._pulled[~self._waits[:n_pulled]],
            tally=self._tally(touched, labels),
        )

    def _merged_marks(self) -> tuple[Slots, dict[str, Array]]:
        if not self._marked:
            empty = self._model.rows.take(np.empty(0, dtype=np.int64))
            return np.empty(0, dtype=np.int64), {name: empty[name] for name in LABEL_FIELDS}
        slots = np.concatenate([slots for slots, _ in self._marked])
        return slots, concatenate_rows([columns for _, columns in self._marked])

    def _tally(self, touched: Slots, labels: dict[str, Array]) -> Tally:
        before = {name: self._model.rows[name][touched] for name in ("label", "revision")}
        labelled = int(has_label(self._rows["label"], self._rows["revision"]).sum())
        labelled += int(has_label(labels["label"], labels["revision"]).sum())
        labelled -= int(has_label(before["label"], before["revision"]).sum())
        return Tally(
            predictions=len(self._acceptance.accepted),
            predictions_joined=labelled,
            predictions_duplicate=int(self._acceptance.duplicate.sum()),
            predictions_late=int(self._acceptance.late.sum()),
            labels=len(self._late),
            labels_late=int(self._late.sum()),
            labels_joined=self._fates[Fate.JOINED] + self._fates[Fate.REVISED],
            labels_duplicate=self._fates[Fate.DUPLICATE],
            labels_revised=self._fates[Fate.REVISED],
            labels_retracted=self._retracted,
        )

    # The quick way: one prediction, one label

    def _join_simple(self) -> Slots:
        """Join what is simple; return the places of labels that need the careful way."""
        labels, model = self._labels, self._model
        n = len(labels["high"])
        if not n:
            return np.empty(0, dtype=np.int64)
        old_place, old_slot = model.rows.find(labels["high"], labels["low"])
        new_place, new_row = self._find_new(labels["high"], labels["low"])
        matches = np.bincount(old_place, minlength=n) + np.bincount(new_place, minlength=n)
        self._waits |= matches == 0
        single = (matches == 1) & ~repeated(labels["high"]) & (labels["retracted"] == 0)
        careful = (matches > 0) & ~single
        for is_new, place, row in ((False, old_place, old_slot), (True, new_place, new_row)):
            alone = single[place]
            careful[self._join_first(place[alone], row[alone], is_new=is_new)] = True
        return np.flatnonzero(careful)

    def _find_new(self, high: Array, low: Array) -> tuple[Slots, Slots]:
        index = HashIndex()
        index.add(self._rows["high"], np.arange(len(self._rows["high"])))
        place, row = index.find(high)
        right = self._rows["low"][row] == low[place]
        return place[right], row[right]

    def _join_first(self, place: Slots, row: Slots, *, is_new: bool) -> Slots:
        """Join labels to rows that have none, one to one; return the places of those that are not that simple."""
        if not len(place):
            return place
        labels, horizon = self._labels, self._horizons.label
        source = self._rows if is_new else self._model.rows
        anchor, arrival = source["anchor"][row], source["arrival"][row]
        timestamp, found = labels["timestamp"][place], labels["arrival"][place]
        first = source["revision"][row] == NO_REVISION
        joins = (timestamp <= anchor + horizon) & (found <= anchor + horizon) & (arrival <= timestamp + horizon)
        joins &= first
        self._fates[Fate.JOINED] += int(joins.sum())
        self._waits[place[first & ~joins]] = True
        self._set(row[joins], place[joins], is_new=is_new)
        return np.asarray(place[~first], dtype=np.int64)

    def _set(self, row: Slots, place: Slots, *, is_new: bool) -> None:
        label, arrival = self._labels["actual"][place], self._labels["arrival"][place]
        values = {
            "label": label,
            "label_timestamp": self._labels["timestamp"][place],
            "label_arrival": arrival,
            "revision": self._labels["revision"][place].astype(np.int32),
            "timely": timely_after(self._model, self._timed(row, is_new=is_new), label, arrival, self._horizons),
        }
        self._store(row, values, is_new=is_new)

    def _timed(self, row: Slots, *, is_new: bool) -> dict[str, Array]:
        source = self._rows if is_new else self._model.rows
        return {name: source[name][row] for name in ("plan", "timestamp", "timely")}

    def _store(self, row: Slots, values: dict[str, Array], *, is_new: bool) -> None:
        if is_new:
            for name, column in values.items():
                self._rows[name][row] = column
        elif len(row):
            self._marked.append((row, values))

    # The careful way

    def _join_careful(self, careful: Slots) -> list[Family]:
        """Apply labels one by one; return the families to be written."""
        families = self._acceptance.families
        keys = self._keys(careful)
        self._load(families, careful, keys)
        for i, key in zip(careful.tolist(), keys, strict=True):
            retracted = bool(self._labels["retracted"][i])
            label = Label(
                timestamp=int(self._labels["timestamp"][i]),
                arrival=int(self._labels["arrival"][i]),
                actual=float("nan") if retracted else float(self._labels["actual"][i]),
                revision=int(self._labels["revision"][i]),
            )
            fate = apply_label(families.by_key[key], label, self._horizons)
            self._fates[fate] += 1
            self._waits[i] = fate is Fate.WAITS
            self._retracted += retracted and fate in {Fate.JOINED, Fate.REVISED}
        wanted = dict.fromkeys([*keys, *self._acceptance.collided])
        found = [family for key in wanted for family in families.by_key[key]]
        return [family for family in found if family.applied or (family.new and family.standing)]

    def _keys(self, places: Slots) -> list[Key]:
        return list(zip(self._labels["high"][places].tolist(), self._labels["low"][places].tolist(), strict=True))

    def _load(self, families: Families, careful: Slots, keys: list[Key]) -> None:
        """Make families of ids that collided with nothing, but have several labels."""
        known = set(families.by_key)
        families.load(self._labels["high"][careful], self._labels["low"][careful])
        fresh = set(keys) - known
        if not fresh:
            return
        places, rows = self._find_new(self._labels["high"][careful], self._labels["low"][careful])
        origin = np.flatnonzero(self._acceptance.accepted)
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            if keys[place] in fresh:
                fresh.discard(keys[place])
                # It collided with nothing, so it is the only prediction of its id.
                family = Family(int(self._rows["anchor"][row]), int(self._rows["arrival"][row]))
                family.new.append(int(origin[row]))
                families.by_key[keys[place]].append(family)

    def _write(self, family: Family) -> None:
        standing = family.standing
        if standing is None:
            return
        new = self._place[np.array(family.new, dtype=np.int64)]
        old = np.array(family.old if family.applied else [], dtype=np.int64)
        for row, is_new in ((old, False), (new, True)):
            if not len(row):
                continue
            n = len(row)
            values = {
                "label": np.full(n, standing.actual),
                "label_timestamp": np.full(n, standing.timestamp),
                "label_arrival": np.full(n, standing.arrival),
                "revision": np.full(n, standing.revision, dtype=np.int32),
                "timely": self._timely(row, family, is_new=is_new),
            }
            self._store(row, values, is_new=is_new)

    def _timely(self, row: Slots, family: Family, *, is_new: bool) -> Array:
        rows, n = self._timed(row, is_new=is_new), len(row)
        if is_new:
            rows["timely"] = np.where(rows["timely"] == TIMELY_OPEN, family.timely, rows["timely"]).astype(np.int16)
        for label in family.applied:
            arrival = np.full(n, label.arrival)
            rows["timely"] = timely_after(self._model, rows, np.full(n, label.actual), arrival, self._horizons)
        return rows["timely"]


def no_labels() -> dict[str, Array]:
    """Columns of no label."""
    return {name: np.empty(0, dtype=WAITING_COLUMNS[name][0]) for name in _LABEL_INPUTS}
