"""Marks of runs, as they are read back: labels and deaths of rows of other runs. The latest run's mark holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from streams.profiler.model import LABEL_FIELDS
from streams.profiler.packing import Array, unpack_columns
from streams.profiler.runs import ModelRun, unpack_ids

_NO_IDS: Final = np.empty(0, dtype=np.int64)


class ModelMarks:
    """Marks on the rows of one model."""

    def __init__(self) -> None:
        self._labels: list[dict[str, Any]] = []
        self._dead: dict[str, list[tuple[int, Array]]] = {"rows": [], "labels": []}
        self._sorted: dict[str, Any] | None = None
        self._deaths: dict[str, tuple[Array, Array]] = {}
        self._used: Array = np.empty(0, dtype=np.bool_)
        self._used_dead: dict[str, Array] = {}

    def take(self, number: int, run: ModelRun) -> None:
        """Take the marks of a run; runs come in order."""
        if run.marks is not None:
            marks = unpack_columns(run.marks)
            self._labels.append({**marks, "number": np.full(run.marks.n, number)})
        for kind, data in (("rows", run.dead_rows), ("labels", run.dead_labels)):
            if data:
                self._dead[kind].append((number, unpack_ids(data)))

    def _settle(self) -> dict[str, Any]:
        if self._sorted is None:
            names = ("rid", "number", *LABEL_FIELDS)
            columns = {name: np.concatenate([part[name] for part in self._labels] or [_NO_IDS]) for name in names}
            order = np.argsort(columns["rid"], kind="stable")
            rid = columns["rid"][order]
            last = order[np.append(rid[1:] != rid[:-1], len(rid) > 0)[: len(rid)]]  # runs came in order
            self._sorted = {name: column[last] for name, column in columns.items()}
            self._used = np.zeros(len(last), dtype=np.bool_)
            self._labels = []
            for kind, dead in self._dead.items():
                ids = np.concatenate([ids for _, ids in dead] or [_NO_IDS])
                number = np.concatenate([np.full(len(ids), n) for n, ids in dead] or [_NO_IDS])
                ids, first = np.unique(ids, return_index=True)
                self._deaths[kind] = ids, number[first]
                self._used_dead[kind] = np.zeros(len(ids), dtype=np.bool_)
        return self._sorted

    def put(self, rows: dict[str, Array]) -> None:
        """Write labels into rows of a run that came before."""
        marks = self._settle()
        if not len(marks["rid"]):
            return
        at = np.minimum(np.searchsorted(marks["rid"], rows["rid"]), len(marks["rid"]) - 1)
        there = marks["rid"][at] == rows["rid"]
        self._used[at[there]] = True
        there &= marks["number"][at] > rows["mark"]
        for name in LABEL_FIELDS:
            rows[name] = np.where(there, marks[name][at], rows[name]).astype(rows[name].dtype)
        rows["mark"] = np.where(there, marks["number"][at], rows["mark"]).astype(np.uint32)

    def dead(self, kind: str, rid: Array) -> tuple[Array, Array]:
        """Which rows are dead, and the runs that say so."""
        self._settle()
        ids, number = self._deaths[kind]
        if not len(ids):
            return np.zeros(len(rid), dtype=np.bool_), _NO_IDS
        at = np.minimum(np.searchsorted(ids, rid), len(ids) - 1)
        there = ids[at] == rid
        self._used_dead[kind][at[there]] = True
        return there, number[at[there]]

    def unused(self) -> tuple[Array, Array, dict[str, Array]]:
        """Marks on rows that were not among those that were read: ids in order, runs, and labels."""
        marks = self._settle()
        rest = {name: column[~self._used] for name, column in marks.items()}
        return rest["rid"].astype(np.int64), rest["number"].astype(np.int64), rest

    def unused_dead(self, kind: str) -> tuple[Array, Array]:
        """Deaths of such rows: ids in order, and runs."""
        self._settle()
        ids, number = self._deaths[kind]
        rest = ~self._used_dead[kind]
        return ids[rest], number[rest]


class Marks:
    """Marks of all models."""

    def __init__(self) -> None:
        self.by_model: dict[str, ModelMarks] = {}

    def take(self, number: int, run: ModelRun) -> None:
        """Take the marks of a run; runs come in order."""
        self.of(run.key).take(number, run)

    def of(self, key: str) -> ModelMarks:
        """Marks of a model."""
        return self.by_model.setdefault(key, ModelMarks())
