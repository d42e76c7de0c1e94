"""Which runs of the changelog are written anew, and what of them is still needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streams.profiler.model import LABEL_FIELDS, ROW_COLUMNS, WAITING_COLUMNS, ModelState
from streams.profiler.runs import ModelRun, pack_columns, pack_ids
from streams.profiler.table import Array, Slots

_FAN: Final = 8
"""Runs of about one size that may stand beside each other; more are merged."""
_ROWS_PER_RUN: Final = 20_000
"""With this many rows for each run more runs may stand: finding rows of a run reads all of them."""
MAX_RUN: Final = 30_000
"""Entries of a run that is written anew, at most; bounds the size of a record."""
_WORTH_COUNTING: Final = 1_000

UNNEEDED: Final = frozenset({"home", "mark"})
ROWS_KEPT: Final = tuple(name for name in ROW_COLUMNS if name not in UNNEEDED)
WAITING_KEPT: Final = tuple(name for name in WAITING_COLUMNS if name not in UNNEEDED)
MARK_FIELDS: Final = ("rid", *LABEL_FIELDS)


@dataclass(slots=True)
class Graves:
    """Rows that are gone while the log still holds them: the mark that says so must stay as long.

    Columns: row id, home run, and the run that holds the mark.
    """

    rows: Array = field(default_factory=lambda: np.empty((3, 0), dtype=np.int64))
    labels: Array = field(default_factory=lambda: np.empty((3, 0), dtype=np.int64))

    def bury(self, kind: str, rid: Array, home: Array, mark: Array) -> None:
        """Remember rows; `kind` is `rows` or `labels`."""
        setattr(self, kind, np.concatenate([getattr(self, kind), np.stack([rid, home, mark])], axis=1))

    def rewritten(self, runs: Array, number: int) -> None:
        """Runs were written anew: what they held is out of the log, and marks in them moved to run `number`."""
        for kind in ("rows", "labels"):
            graves = getattr(self, kind)
            graves = graves[:, ~np.isin(graves[1], runs)]
            graves[2] = np.where(np.isin(graves[2], runs), number, graves[2])
            setattr(self, kind, graves)

    def marked_in(self, kind: str, runs: Array) -> Array:
        """Ids whose mark is in some runs, and whose rows are in none of them."""
        graves = getattr(self, kind)
        return np.asarray(graves[0][np.isin(graves[2], runs) & ~np.isin(graves[1], runs)])


@dataclass(frozen=True, slots=True)
class Moved:
    """What of one model moves into a rewritten run."""

    rows: Slots
    marks: Slots
    waiting: Slots


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Runs that are replaced by one."""

    number: int
    runs: Array
    moved: dict[str, Moved]
    models: list[ModelRun]
    size: int


@dataclass(slots=True)
class RunBook:
    """Every run in the changelog, and how many entries it was written with."""

    sizes: dict[int, int] = field(default_factory=dict)
    next_number: int = 1
    graves: dict[str, Graves] = field(default_factory=dict)
    turnover: int = 0
    """Rows that came and went since live rows were last counted."""

    def graves_of(self, key: str) -> Graves:
        """The graves of a model."""
        return self.graves.setdefault(key, Graves())

    def chosen(self, models: Iterable[ModelState]) -> Array:
        """Runs that should be written anew now; none most of the time."""
        states = list(models)
        n_rows = sum(state.rows.n_live + state.waiting.n_live for state in states)
        fan = max(_FAN, n_rows // _ROWS_PER_RUN)
        classes: dict[int, list[int]] = {}
        for number, size in self.sizes.items():
            if size < MAX_RUN // 2:
                classes.setdefault(size.bit_length() // 3, []).append(number)
        for members in classes.values():
            if len(members) >= fan:
                return self._bounded(members, self.sizes)
        if self.turnover < max(_WORTH_COUNTING, n_rows // 2):
            return np.empty(0, dtype=np.int64)
        live = self._live(states)
        self.turnover = 0
        return self._bounded([n for n, size in self.sizes.items() if live[n] < size / 2 or not live[n]], live)

    def _bounded(self, numbers: list[int], sizes: dict[int, int]) -> Array:
        total, kept = 0, list[int]()
        for number in numbers:
            total += sizes[number]
            if total > MAX_RUN and len(kept) > 1:
                break
            kept.append(number)
        return np.array(kept, dtype=np.int64)

    def _live(self, states: list[ModelState]) -> dict[int, int]:
        """Entries of every run that are still needed."""
        known = np.array(sorted(self.sizes), dtype=np.int64)
        total = np.zeros(len(known), dtype=np.int64)
        for state in states:
            rows, waiting, graves = state.rows, state.waiting, self.graves_of(state.key)
            alive = rows.alive
            home, mark = rows["home"][alive], rows["mark"][alive]
            needed = [home, mark[mark != home], waiting["home"][waiting.alive], graves.rows[2], graves.labels[2]]
            for numbers in needed:
                total += np.bincount(np.searchsorted(known, numbers), minlength=len(known))[: len(known)]
        return dict(zip(known.tolist(), total.tolist(), strict=True))

    def rewrite(self, models: Iterable[ModelState], runs: Array, number: int) -> Rewrite:
        """Collect what is still needed of some runs."""
        moved: dict[str, Moved] = {}
        packed: list[ModelRun] = []
        size = 0
        for state in models:
            rows, waiting, graves = state.rows, state.waiting, self.graves_of(state.key)
            mine = np.isin(rows["home"], runs) & rows.alive
            marks = np.isin(rows["mark"], runs) & rows.alive & ~mine
            waits = np.isin(waiting["home"], runs) & waiting.alive
            move = Moved(np.flatnonzero(mine), np.flatnonzero(marks), np.flatnonzero(waits))
            run = ModelRun(
                key=state.key,
                rows=pack_columns({name: rows[name][move.rows] for name in ROWS_KEPT}),
                marks=pack_columns({name: rows[name][move.marks] for name in MARK_FIELDS}),
                dead_rows=pack_ids(graves.marked_in("rows", runs)),
                waiting=pack_columns({name: waiting[name][move.waiting] for name in WAITING_KEPT}),
                dead_labels=pack_ids(graves.marked_in("labels", runs)),
            )
            n = run_size(run)
            if n:
                moved[state.key] = move
                packed.append(run)
                size += n
        return Rewrite(number, runs, moved, packed, size)

    def apply(self, rewrite: Rewrite, models: dict[str, ModelState]) -> None:
        """The rewrite is committed."""
        for number in rewrite.runs.tolist():
            del self.sizes[number]
        if rewrite.models:
            self.sizes[rewrite.number] = rewrite.size
        for key, move in rewrite.moved.items():
            state = models[key]
            both = np.full(len(move.rows), rewrite.number)
            state.rows.set(move.rows, {"home": both, "mark": both})
            state.rows.set(move.marks, {"mark": np.full(len(move.marks), rewrite.number)})
            state.waiting.set(move.waiting, {"home": np.full(len(move.waiting), rewrite.number)})
        for graves in self.graves.values():
            graves.rewritten(rewrite.runs, rewrite.number)


def run_size(run: ModelRun) -> int:
    """Entries of one model in a run."""
    packed = sum(part.n for part in (run.rows, run.marks, run.waiting) if part is not None)
    return packed + (len(run.dead_rows) + len(run.dead_labels)) // 8
