"""The profiler's state under another partition count: every row and waiting label moves to where its id belongs now.

Pure: from the changelogs' entries of the old partitions to those of the new ones. What is counted already stays
counted; only who may be asked for it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from schemas.models import ModelSpec, TaskKind
from streams.control.plan import Plan
from streams.ingest.columns import Interner
from streams.ingest.models import ModelNames
from streams.profiler.compaction import MAX_RUN, ROWS_KEPT, WAITING_KEPT, RunBook
from streams.profiler.model import (
    MATRICES,
    ROW_COLUMNS,
    WAITING_COLUMNS,
    ModelState,
    Tally,
    has_label,
    is_label_over,
    is_over,
)
from streams.profiler.packing import pack_columns
from streams.profiler.restoring import (
    META_KEY,
    MODEL_PREFIX,
    PLAN_PREFIX,
    Meta,
    Restored,
    encode,
    model_record,
    plan_record,
)
from streams.profiler.runs import ModelRun, encode_run, run_key
from streams.profiler.shelf import Shelf
from streams.profiler.table import Array, concatenate_rows
from streams.profiler.watermarks import Clock, Horizons

Entries = Mapping[str, bytes]
"""The live state of one partition, by key of the changelog."""
Place = Callable[[Array, Array], Array]
"""From the halves of the ids' hashes to new partitions; -1 where that is not known."""

_NOWHERE: Final = -1


class UnplacedError(ValueError):
    """Rows of the state whose new partition is not known."""

    def __init__(self, n_rows: int, earliest_ms: int, latest_ms: int) -> None:
        super().__init__(f"{n_rows} rows have no new partition: expected one for each")
        self.n_rows = n_rows
        self.earliest_ms = earliest_ms
        self.latest_ms = latest_ms


@dataclass(slots=True)
class Part:
    """One old partition's share of a model: rows and waiting labels that may still be asked for."""

    tally: Tally
    clock: Clock
    rows: dict[str, Array]
    waiting: dict[str, Array]
    to_rows: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """New partition of every row."""
    to_waiting: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def tally_of(self, rows: Array, waiting: Array) -> Tally:
        """What the rows and labels of two masks stand for in the totals."""
        labelled = has_label(self.rows["label"], self.rows["revision"]) & rows
        return Tally(predictions=int(rows.sum()), predictions_joined=int(labelled.sum()), labels=int(waiting.sum()))


@dataclass(slots=True)
class Whole:
    """A model over all partitions, with codes that hold for all of them."""

    names: ModelNames
    plan_ids: Interner = field(default_factory=Interner)
    plans: dict[str, Plan] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)
    """By old partition."""

    @property
    def clock(self) -> Clock:
        """The latest of each watermark: what comes behind it is a restatement, not lost."""
        predictions = max(part.clock.predictions for part in self.parts.values())
        labels = max(part.clock.labels for part in self.parts.values())
        return Clock(predictions=predictions, labels=labels, valve=max(predictions, labels))


class OldState:
    """The state of all old partitions, read from their entries.

    Parameters
    ----------
    entries
        By partition.
    plan_by_id, spec_of
        What is in force, by the control view.
    """

    def __init__(
        self,
        entries: Sequence[Entries],
        *,
        plan_by_id: Callable[[str], Plan | None],
        spec_of: Callable[[str], ModelSpec],
    ) -> None:
        self._entries = entries
        self._spec_of = spec_of
        self.models: dict[str, Whole] = {}
        self._metas: list[Meta] = []
        for partition, of_partition in enumerate(entries):
            restored = Restored(Shelf())
            for key, value in of_partition.items():
                restored.take(key, value)
            self._metas.append(restored.meta())
            states = restored.models(plan_by_id, ModelState)
            for _ in restored.rows(RunBook(), states, lambda: None):
                pass
            for state in states.values():
                self._take(partition, state)

    def _take(self, partition: int, state: ModelState) -> None:
        spec = self._spec_of(state.key)
        horizons = Horizons.of(spec)
        # Everything was read, so whatever is a label horizon behind is over, though the other topic stands still.
        state.clock = replace(state.clock, valve=state.clock.latest)
        kept = {name: state.rows[name] for name in ROW_COLUMNS}
        state.rows.drop(np.flatnonzero(is_over(state, kept, horizons) & state.rows.alive))
        waits = {"timestamp": state.waiting["timestamp"]}
        state.waiting.drop(np.flatnonzero(is_label_over(state, waits, horizons) & state.waiting.alive))
        whole = self.models.setdefault(state.key, Whole(ModelNames(state.key)))
        whole.plans.update(state.plans)
        rows, waiting = state.rows.take(state.rows.live()), state.waiting.take(state.waiting.live())
        versions = _codes(state.names.versions, whole.names.versions)
        labels = _codes(state.names.labels, whole.names.labels)
        of_values = np.array(
            [state.plans[name].spec.task is TaskKind.REGRESSION for name in state.plan_ids.names] or [False]
        )
        is_class = ~of_values[rows["plan"]] if len(rows["plan"]) else np.empty(0, dtype=np.bool_)
        rows["label"] = _recoded(rows["label"], labels, is_class & ~np.isnan(rows["label"]))
        rows["timely"] = _recoded(rows["timely"], labels, is_class & (rows["timely"] >= 0))
        rows["version"] = versions[rows["version"]] if len(versions) else rows["version"]
        plans = _codes(state.plan_ids, whole.plan_ids)
        rows["plan"] = plans[rows["plan"]] if len(plans) else rows["plan"]
        if spec.task is not TaskKind.REGRESSION:
            waiting["actual"] = _recoded(waiting["actual"], labels, ~np.isnan(waiting["actual"]))
        whole.parts[partition] = Part(state.tally, state.clock, rows, waiting)

    def ids(self) -> tuple[Array, Array]:
        """Halves of the hashes of every id that has to be placed, with repetitions."""
        tables = [table for whole in self.models.values() for part in whole.parts.values() for table in _tables(part)]
        empty = np.empty(0, dtype=np.uint64)
        high = np.concatenate([empty, *(table["high"] for table in tables)])
        return high, np.concatenate([empty, *(table["low"] for table in tables)])

    def rekeyed(self, n_partitions: int, place: Place) -> list[dict[str, bytes]]:
        """Return the entries of every new partition.

        Raises
        ------
        UnplacedError
            Where `place` does not know an id.
        """
        _place_all(self.models.values(), place)
        first_run = max(meta.next_run for meta in self._metas)
        runs: list[list[ModelRun]] = [[] for _ in range(n_partitions)]
        out: list[dict[str, bytes]] = [{} for _ in range(n_partitions)]
        for key, whole in sorted(self.models.items()):
            for partition in range(n_partitions):
                state, new_runs = _gathered(key, whole, partition)
                runs[partition] += new_runs
                record = model_record(state, state.clock, state.tally, next_rid=state.next_rid, swept=state.swept)
                out[partition][MODEL_PREFIX + key] = encode(record)
                out[partition] |= {PLAN_PREFIX + name: encode(plan_record(p)) for name, p in whole.plans.items()}
        for partition, entries in enumerate(out):
            packed = list(_packed(runs[partition]))
            entries |= {run_key(first_run + i): encode_run(each) for i, each in enumerate(packed)}
            unattributed = self._metas[partition].unattributed if partition < len(self._metas) else {}
            # Without a beginning: local files of the old state do not pass for files of this one.
            standing = list(range(first_run, first_run + len(packed)))
            entries[META_KEY] = encode(Meta(first_run + len(packed), unattributed, standing))
        return out


def _tables(part: Part) -> tuple[dict[str, Array], dict[str, Array]]:
    return part.rows, part.waiting


def _codes(old: Interner, new: Interner) -> Array:
    """New code of every old one."""
    return np.array([new.code(name) for name in old.names], dtype=np.int64)


def _recoded(column: Array, codes: Array, where: Array) -> Array:
    out = column.copy()
    if where.any():
        out[where] = codes[column[where].astype(np.int64)]
    return out


def _place_all(models: Iterable[Whole], place: Place) -> None:
    missing = [np.empty(0, dtype=np.int64)]
    for whole in models:
        for part in whole.parts.values():
            part.to_rows = place(part.rows["high"], part.rows["low"])
            part.to_waiting = place(part.waiting["high"], part.waiting["low"])
            missing.append(part.rows["timestamp"][part.to_rows == _NOWHERE])
            missing.append(part.waiting["timestamp"][part.to_waiting == _NOWHERE])
    times = np.concatenate(missing)
    if len(times):
        raise UnplacedError(len(times), int(times.min()), int(times.max()))


def _gathered(key: str, whole: Whole, partition: int) -> tuple[ModelState, list[ModelRun]]:
    """What of a model belongs to a new partition, and its runs."""
    own = whole.parts.get(partition)
    tally = Tally() if own is None else own.tally
    rows, waiting = [], []
    for source, part in sorted(whole.parts.items()):
        of_rows, of_waiting = part.to_rows == partition, part.to_waiting == partition
        rows.append({name: column[of_rows] for name, column in part.rows.items()})
        waiting.append({name: column[of_waiting] for name, column in part.waiting.items()})
        if source == partition:
            tally = tally.plus(_negative(part.tally_of(~of_rows, ~of_waiting)))
        else:
            tally = tally.plus(part.tally_of(of_rows, of_waiting))
    state = ModelState(whole.names)
    state.plan_ids, state.plans = whole.plan_ids, whole.plans
    state.clock, state.tally, state.swept = whole.clock, tally, whole.clock.latest
    runs, state.next_rid = _runs(key, concatenate_rows(rows, MATRICES), concatenate_rows(waiting))
    return state, runs


def _negative(tally: Tally) -> Tally:
    return Tally(**{name: -count for name, count in msgspec.to_builtins(tally).items()})


def _runs(key: str, rows: dict[str, Array], waiting: dict[str, Array]) -> tuple[list[ModelRun], int]:
    n, m = len(rows["high"]), len(waiting["high"])
    rows["rid"], waiting["rid"] = np.arange(n), np.arange(n, n + m)
    runs = [
        ModelRun(key=key, rows=pack_columns(_stretch(rows, ROW_COLUMNS, ROWS_KEPT, start)))
        for start in range(0, n, MAX_RUN)
    ]
    runs += [
        ModelRun(key=key, waiting=pack_columns(_stretch(waiting, WAITING_COLUMNS, WAITING_KEPT, start)))
        for start in range(0, m, MAX_RUN)
    ]
    return runs, n + m


def _stretch(
    table: dict[str, Array], columns: Mapping[str, tuple[str, bool]], kept: Iterable[str], start: int
) -> dict[str, Array]:
    return {name: table[name][start : start + MAX_RUN].astype(columns[name][0]) for name in kept}


def _packed(runs: Iterable[ModelRun]) -> Iterable[list[ModelRun]]:
    """Small runs of many models share an entry."""
    held: list[ModelRun] = []
    size = 0
    for run in runs:
        n = sum(part.n for part in (run.rows, run.waiting) if part is not None)
        if held and size + n > MAX_RUN:
            yield held
            held, size = [], 0
        held.append(run)
        size += n
    if held:
        yield held
