"""Which runs of the changelog are written anew, and what of them is still needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streams.profiler.graves import Graves
from streams.profiler.model import LABEL_FIELDS, ROW_COLUMNS, WAITING_COLUMNS, ModelState
from streams.profiler.packing import pack_columns
from streams.profiler.runs import ModelRun, pack_ids
from streams.profiler.table import Array
from streams.profiler.whereabouts import Whereabouts

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


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Runs that are replaced by one."""

    number: int
    runs: Array
    models: list[ModelRun]
    size: int


@dataclass(slots=True)
class RunBook:
    """Every run in the changelog, and how many entries it was written with."""

    sizes: dict[int, int] = field(default_factory=dict)
    next_number: int = 1
    where: Whereabouts = field(default_factory=Whereabouts)
    graves: dict[str, Graves] = field(default_factory=dict)
    turnover: int = 0
    """Rows that came and went since live rows were last counted."""
    sparse: dict[int, int] = field(default_factory=dict)
    """Runs that were found to be less than half live, and what of them was."""

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
                return _bounded(members, self.sizes)
        if self.turnover >= max(_WORTH_COUNTING, n_rows // 2):
            live = self._live(states)
            self.turnover = 0
            self.sparse = {n: live[n] for n, size in self.sizes.items() if live[n] < size / 2 or not live[n]}
        return _bounded(list(self.sparse), self.sparse)

    def _live(self, states: list[ModelState]) -> dict[int, int]:
        """Entries of every run that are still needed."""
        first = min(self.sizes, default=self.next_number)
        total, oldest = np.zeros(self.next_number + 1 - first, dtype=np.int64), self.next_number

        def count(numbers: Array) -> None:
            nonlocal total
            total += np.bincount(numbers - first, minlength=len(total))[: len(total)]

        for state in states:
            for rows in state.rows.scan(("home", "mark")):
                home, mark = self.where.now(rows["home"]), self.where.mark(rows["home"], rows["mark"])
                count(home)
                count(mark[mark != home])
                oldest = min([oldest, *_least(rows["home"]), *_least(rows["mark"])])
            for rows in state.waiting.scan(("home",)):
                count(self.where.now(rows["home"]))
                oldest = min([oldest, *_least(rows["home"])])
            graves = self.graves_of(state.key)
            count(graves.rows[2])
            count(graves.labels[2])
        self.where.forget_before(oldest)
        return {number: int(total[number - first]) for number in self.sizes}

    def rewrite(self, models: Iterable[ModelState], runs: Array, number: int) -> Rewrite:
        """Collect what is still needed of some runs."""
        packed: list[ModelRun] = []
        size = 0
        old = self.where.selection(runs)
        for state in models:
            graves = self.graves_of(state.key)
            rows = state.rows.chosen(
                {"home": old, "mark": old}, lambda rows: old.of(rows["home"]) | old.of(rows["mark"])
            )
            mine = old.of(rows["home"])
            marked = ~mine & np.isin(self.where.mark(rows["home"], rows["mark"]), runs)
            waiting = state.waiting.chosen({"home": old}, lambda rows: old.of(rows["home"]))
            run = ModelRun(
                key=state.key,
                rows=pack_columns({name: rows[name][mine] for name in ROWS_KEPT}),
                marks=pack_columns({name: rows[name][marked] for name in MARK_FIELDS}),
                dead_rows=pack_ids(graves.marked_in("rows", runs)),
                waiting=pack_columns({name: waiting[name] for name in WAITING_KEPT}),
                dead_labels=pack_ids(graves.marked_in("labels", runs)),
            )
            n = run_size(run)
            if n:
                packed.append(run)
                size += n
        return Rewrite(number, runs, packed, size)

    def after(self, rewrite: Rewrite | None, number: int, size: int) -> list[int]:
        """Runs that stand after a commit, in order: with a rewrite, and with the commit's own run where it has one."""
        numbers = set(self.sizes)
        if rewrite is not None:
            numbers -= set(rewrite.runs.tolist())
            numbers |= {rewrite.number} if rewrite.models else set()
        return sorted(numbers | ({number} if size else set()))

    def apply(self, rewrite: Rewrite) -> None:
        """The rewrite is committed."""
        for number in rewrite.runs.tolist():
            del self.sizes[number]
            self.sparse.pop(number, None)
        if rewrite.models:
            self.sizes[rewrite.number] = rewrite.size
        self.where.moved(rewrite.runs, rewrite.number)
        for graves in self.graves.values():
            graves.rewritten(rewrite.runs, rewrite.number)


def _least(numbers: Array) -> list[int]:
    return [int(numbers.min())] if len(numbers) else []


def _bounded(numbers: list[int], sizes: Mapping[int, int]) -> Array:
    total, kept = 0, list[int]()
    for number in numbers:
        total += sizes[number]
        if total > MAX_RUN and len(kept) > 1:
            break
        kept.append(number)
    return np.array(kept, dtype=np.int64)


def run_size(run: ModelRun) -> int:
    """Entries of one model in a run."""
    packed = sum(part.n for part in (run.rows, run.marks, run.waiting) if part is not None)
    return packed + (len(run.dead_rows) + len(run.dead_labels)) // 8
