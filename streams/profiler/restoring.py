"""From the entries of the changelog back to the state: order does not matter, and nothing else is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from schemas.models import ModelSpec
from schemas.monitors import Rule
from schemas.references import Reference
from streams.control.plan import Plan
from streams.ingest.columns import Interner
from streams.ingest.models import ModelNames
from streams.profiler.compaction import RunBook, run_size
from streams.profiler.model import (
    LABEL_FIELDS,
    MATRICES,
    NO_REVISION,
    ModelState,
    Tally,
    has_label,
)
from streams.profiler.runs import RUN_PREFIX, ModelRun, decode_run, run_number, unpack_columns, unpack_ids
from streams.profiler.table import Array, concatenate_rows
from streams.profiler.watermarks import Clock

META_KEY: Final = "meta"
MODEL_PREFIX: Final = "model/"
PLAN_PREFIX: Final = "plan/"


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What belongs to no model."""

    next_run: int
    unattributed: dict[str, int]
    """Tally of events that could be attributed to no model."""


class ModelRecord(msgspec.Struct, frozen=True, array_like=True):
    """A model's state besides its rows."""

    clock: tuple[int, int, int]
    tally: dict[str, int]
    versions: list[str]
    labels: list[str]
    plan_ids: list[str]
    next_rid: int
    swept: int


class PlanRecord(msgspec.Struct, frozen=True, array_like=True):
    """A plan that rows were counted under; control may have changed since."""

    spec: str
    reference: str | None
    rules: list[tuple[str, str]]
    sequence_outcomes: bool


_encoder: Final = msgspec.msgpack.Encoder()


def encode(record: Meta | ModelRecord | PlanRecord) -> bytes:
    """Encode an entry."""
    return _encoder.encode(record)


def plan_record(plan: Plan) -> PlanRecord:
    """Keep of a plan what its bins and layout follow from; the counts of its reference do not belong to it."""
    reference = plan.reference
    if reference is not None:
        reference = reference.model_copy(update={"blocks": "", "sections": [], "series": {}})
    return PlanRecord(
        spec=plan.spec.model_dump_json(),
        reference=None if reference is None else reference.model_dump_json(),
        rules=[(monitor_id, rule.model_dump_json()) for monitor_id, rule in plan.rules],
        sequence_outcomes=plan.sequence_outcomes,
    )


def plan_from(record: PlanRecord) -> Plan:
    """Undo `plan_record`."""
    return Plan(
        ModelSpec.model_validate_json(record.spec),
        None if record.reference is None else Reference.model_validate_json(record.reference),
        tuple((monitor_id, Rule.model_validate_json(rule)) for monitor_id, rule in record.rules),
        record.sequence_outcomes,
    )


def model_record(state: ModelState, clock: Clock, tally: Tally, *, next_rid: int, swept: int) -> ModelRecord:
    """Write down a model."""
    return ModelRecord(
        clock=(clock.predictions, clock.labels, clock.valve),
        tally=msgspec.to_builtins(tally),
        versions=list(state.names.versions.names),
        labels=list(state.names.labels.names),
        plan_ids=list(state.plan_ids.names),
        next_rid=next_rid,
        swept=swept,
    )


class Restored:
    """Collects entries as they are read."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def take(self, key: str, value: bytes | None) -> None:
        """Take an entry; the last one of a key holds."""
        if value is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = value

    def meta(self) -> Meta:
        """What belongs to no model."""
        value = self._entries.get(META_KEY)
        return Meta(1, {}) if value is None else msgspec.msgpack.decode(value, type=Meta)

    def build(self, book: RunBook, plan_by_id: Callable[[str], Plan | None]) -> dict[str, ModelState]:
        """Build the models, and enter the runs into the book."""
        plans = self._plans(plan_by_id)
        states = dict(self._models(plans))
        found: dict[str, list[tuple[int, ModelRun]]] = {key: [] for key in states}
        for number, models in self._runs():
            book.sizes[number] = sum(run_size(run) for run in models)
            for run in models:
                found[run.key].append((number, run))
        for key, runs in found.items():
            _fill(states[key], runs, book)
        self._entries = {}
        return states

    def _plans(self, plan_by_id: Callable[[str], Plan | None]) -> dict[str, Plan]:
        plans = {}
        for key, value in self._entries.items():
            if key.startswith(PLAN_PREFIX):
                plan_id = key.removeprefix(PLAN_PREFIX)
                in_view = plan_by_id(plan_id)
                plans[plan_id] = in_view or plan_from(msgspec.msgpack.decode(value, type=PlanRecord))
        return plans

    def _models(self, plans: dict[str, Plan]) -> Iterator[tuple[str, ModelState]]:
        for key, value in sorted(self._entries.items()):
            if key.startswith(MODEL_PREFIX):
                name = key.removeprefix(MODEL_PREFIX)
                record = msgspec.msgpack.decode(value, type=ModelRecord)
                state = ModelState(ModelNames(name, versions=record.versions, labels=record.labels))
                state.clock = Clock(predictions=record.clock[0], labels=record.clock[1], valve=record.clock[2])
                state.tally = Tally(**record.tally)
                state.plan_ids = Interner(record.plan_ids)
                state.plans = {plan_id: plans[plan_id] for plan_id in record.plan_ids}
                state.next_rid, state.swept = record.next_rid, record.swept
                yield name, state

    def _runs(self) -> Iterator[tuple[int, list[ModelRun]]]:
        numbers = sorted(run_number(key) for key in self._entries if key.startswith(RUN_PREFIX))
        for number in numbers:
            yield number, decode_run(self._entries[f"{RUN_PREFIX}{number:016d}"]).models


def _fill(state: ModelState, runs: Sequence[tuple[int, ModelRun]], book: RunBook) -> None:
    rows = [_homed(number, unpack_columns(run.rows)) for number, run in runs if run.rows is not None]
    waiting = [_homed(number, unpack_columns(run.waiting)) for number, run in runs if run.waiting is not None]
    if rows:
        joined = _by_rid(concatenate_rows(rows, MATRICES))
        for number, run in runs:
            if run.marks is not None:
                _mark(joined, number, unpack_columns(run.marks))
        dead = _graves(joined, [(number, unpack_ids(run.dead_rows)) for number, run in runs], "rows", state, book)
        state.rows.append({name: column[~dead] for name, column in joined.items()})
        unlabelled = ~has_label(state.rows["label"], state.rows["revision"])
        state.open_rows.change(state.rows["anchor"][unlabelled])
    if waiting:
        joined = _by_rid(concatenate_rows(waiting))
        dead = _graves(joined, [(number, unpack_ids(run.dead_labels)) for number, run in runs], "labels", state, book)
        state.waiting.append({name: column[~dead] for name, column in joined.items()})
        state.open_labels.change(state.waiting["timestamp"].copy())


def _homed(number: int, rows: dict[str, Array]) -> dict[str, Array]:
    home = np.full(len(rows["high"]), number)
    return {**rows, "home": home, "mark": home.copy()}


def _by_rid(rows: dict[str, Array]) -> dict[str, Array]:
    order = np.argsort(rows["rid"])
    return {name: column[order] for name, column in rows.items()}


def _places(rows: dict[str, Array], rid: Array) -> tuple[Array, Array]:
    """Where some ids are, and which of them are there at all."""
    place = np.minimum(np.searchsorted(rows["rid"], rid), len(rows["rid"]) - 1)
    return place, rows["rid"][place] == rid


def _mark(rows: dict[str, Array], number: int, marks: dict[str, Any]) -> None:
    place, there = _places(rows, marks["rid"])
    there &= rows["mark"][place] < number
    for name in LABEL_FIELDS:
        rows[name][place[there]] = marks[name][there]
    rows["mark"][place[there]] = number


def _graves(
    rows: dict[str, Array], dead: Sequence[tuple[int, Array]], kind: str, state: ModelState, book: RunBook
) -> Array:
    """Which rows are dead; their graves are entered into the book."""
    out = np.zeros(len(rows["rid"]), dtype=np.bool_)
    for number, rid in dead:
        place, there = _places(rows, rid)
        place = place[there]
        out[place] = True
        book.graves_of(state.key).bury(kind, rid[there], rows["home"][place], np.full(len(place), number))
    return out


def is_unlabelled(rows: dict[str, Array]) -> Array:
    """Which rows of a batch have no label that stands."""
    return np.asarray(~has_label(rows["label"], rows["revision"]) & (rows["revision"] >= NO_REVISION))
