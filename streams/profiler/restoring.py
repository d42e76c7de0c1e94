"""From the entries of the changelog back to the state: order does not matter, and nothing else is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from schemas.models import ModelSpec
from schemas.monitors import Rule
from schemas.references import Reference
from streams.control.plan import Plan
from streams.ingest.columns import Interner
from streams.ingest.models import ModelNames
from streams.local.errors import LostStateError
from streams.profiler.compaction import RunBook, run_size
from streams.profiler.marks import Marks, ModelMarks
from streams.profiler.model import LABEL_FIELDS, ModelState, Tally, has_label, second_of
from streams.profiler.packing import Array, unpack_columns
from streams.profiler.runs import RUN_PREFIX, ModelRun, check_format, decode_run, run_number
from streams.profiler.shelf import Shelf
from streams.profiler.watermarks import Clock

META_KEY: Final = "meta"
MODEL_PREFIX: Final = "model/"
PLAN_PREFIX: Final = "plan/"


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What belongs to no model."""

    next_run: int
    unattributed: dict[str, int]
    """Tally of events that could be attributed to no model."""
    runs: list[int] | None = None
    """Every run that stands."""
    born_ms: int = 0
    """When this state began, from nothing: tells it from another one under the same name."""


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


def small_entries(meta: Meta, states: Mapping[str, ModelState]) -> dict[str, bytes]:
    """The entries of the changelog, runs left out, that say what the state is now."""
    out = {META_KEY: encode(meta)}
    for key, state in states.items():
        written = model_record(state, state.clock, state.tally, next_rid=state.next_rid, swept=state.swept)
        out[MODEL_PREFIX + key] = encode(written)
        out |= {PLAN_PREFIX + plan_id: encode(plan_record(plan)) for plan_id, plan in state.plans.items()}
    return out


class Restored:
    """Collects entries as they are read.

    Parameters
    ----------
    shelf
        Where runs wait until the end of the log is read.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._entries: dict[str, bytes] = {}
        self._shelf = shelf
        self.n_known = 0
        """Runs that local files held already."""

    def take(self, key: str, value: bytes | None) -> None:
        """Take an entry; the last one of a key holds."""
        if key.startswith(RUN_PREFIX):
            if value is not None:
                check_format(value)
            self._shelf.put(run_number(key), value)
        elif value is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = value

    def begin(self, snapshot: Mapping[str, bytes]) -> None:
        """Begin with the entries of a snapshot."""
        self._entries = dict(snapshot)

    def meta(self) -> Meta:
        """What belongs to no model."""
        value = self._entries.get(META_KEY)
        return Meta(1, {}) if value is None else msgspec.msgpack.decode(value, type=Meta)

    def models(
        self, plan_by_id: Callable[[str], Plan | None], new: Callable[[ModelNames], ModelState]
    ) -> dict[str, ModelState]:
        """Build the models, without their rows."""
        plans = self._plans(plan_by_id)
        return dict(self._models(plans, new))

    def _plans(self, plan_by_id: Callable[[str], Plan | None]) -> dict[str, Plan]:
        plans = {}
        for key, value in self._entries.items():
            if key.startswith(PLAN_PREFIX):
                plan_id = key.removeprefix(PLAN_PREFIX)
                in_view = plan_by_id(plan_id)
                plans[plan_id] = in_view or plan_from(msgspec.msgpack.decode(value, type=PlanRecord))
        return plans

    def _models(
        self, plans: dict[str, Plan], new: Callable[[ModelNames], ModelState]
    ) -> Iterator[tuple[str, ModelState]]:
        for key, value in sorted(self._entries.items()):
            if key.startswith(MODEL_PREFIX):
                name = key.removeprefix(MODEL_PREFIX)
                record = msgspec.msgpack.decode(value, type=ModelRecord)
                state = new(ModelNames(name, versions=record.versions, labels=record.labels))
                state.clock = Clock(predictions=record.clock[0], labels=record.clock[1], valve=record.clock[2])
                state.tally = Tally(**record.tally)
                state.plan_ids = Interner(record.plan_ids)
                state.plans = {plan_id: plans[plan_id] for plan_id in record.plan_ids}
                state.next_rid, state.swept = record.next_rid, record.swept
                yield name, state

    def rows(self, book: RunBook, states: Mapping[str, ModelState], spill: Callable[[], None]) -> Iterator[None]:
        """Bring rows and book to where the log is, with pauses.

        What is in the book already came from local files; a run never changes, so only those count that came or went.

        Parameters
        ----------
        book
            Runs as local files know them.
        states
            Models as the log knows them, with rows as local files know them.
        spill
            Called now and then: makes room in memory.
        """
        meta = self.meta()
        standing = set(self._shelf.numbers() if meta.runs is None else meta.runs)
        missing = sorted(standing - set(book.sizes) - set(self._shelf.numbers()))
        if missing:
            msg = (
                f"the changelog lacks {len(missing)} of {len(standing)} runs, run {missing[0]} the first of them:"
                " expected all that its last commit names; somebody deleted records, so restore the topic"
            )
            raise LostStateError(msg)
        added = sorted(standing - set(book.sizes))
        self.n_known = len(standing) - len(added)
        book.next_number = meta.next_run
        book.where.reach(meta.next_run)
        removed = np.array(sorted(set(book.sizes) - standing), dtype=np.int64)
        if len(removed):
            _remove(book, states, removed)
        yield
        marks = Marks()
        for number in added:
            models = self._run(number)
            book.sizes[number] = sum(run_size(run) for run in models)
            for run in models:
                marks.take(number, run)
            yield
        for number in added:
            for run in self._run(number):
                _add(states[run.key], number, run, marks.of(run.key), book)
            spill()
            yield
        for key, of_model in marks.by_model.items():
            _mark_older(states[key], of_model, book)
            yield
        self._shelf.clear()
        for state in states.values():
            yield from _open_times(state)

    def _run(self, number: int) -> list[ModelRun]:
        return decode_run(self._shelf.get(number)).models


def _remove(book: RunBook, states: Mapping[str, ModelState], runs: Array) -> None:
    """Forget what came from runs that are not in the log any more: what is needed of it stands in later ones."""
    old = book.where.selection(runs)
    for state in states.values():
        state.rows.remove({"home": old}, lambda rows: old.of(rows["home"]))
        state.waiting.remove({"home": old}, lambda rows: old.of(rows["home"]))
        book.graves_of(state.key).without(runs)
    for number in runs.tolist():
        del book.sizes[number]
        book.sparse.pop(number, None)


def _add(state: ModelState, number: int, run: ModelRun, marks: ModelMarks, book: RunBook) -> None:
    graves = book.graves_of(state.key)
    if run.rows is not None:
        rows = _homed(number, unpack_columns(run.rows))
        marks.put(rows)
        dead, by = marks.dead("rows", rows["rid"])
        graves.bury("rows", rows["rid"][dead], rows["home"][dead], by)
        state.rows.append(rows if not dead.any() else {name: column[~dead] for name, column in rows.items()})
    if run.waiting is not None:
        waiting = _homed(number, unpack_columns(run.waiting))
        dead, by = marks.dead("labels", waiting["rid"])
        graves.bury("labels", waiting["rid"][dead], waiting["home"][dead], by)
        state.waiting.append({name: column[~dead] for name, column in waiting.items()})


def _mark_older(state: ModelState, marks: ModelMarks, book: RunBook) -> None:
    """Apply marks to rows that came from local files; those that were added now have them already."""
    graves = book.graves_of(state.key)
    rid, number, labels = marks.unused()
    places, slots = state.rows.numbered(rid)
    newer = state.rows["mark"][slots] < number[places]
    places, slots = places[newer], slots[newer]
    state.rows.set(slots, {**{name: labels[name][places] for name in LABEL_FIELDS}, "mark": number[places]})
    for kind, table in (("rows", state.rows), ("labels", state.waiting)):
        rid, number = marks.unused_dead(kind)
        graves.remarked(kind, rid, number)
        places, slots = table.numbered(rid)
        home = book.where.now(table["home"][slots])
        graves.bury(kind, rid[places], home, number[places])
        table.drop(slots)


def _homed(number: int, rows: dict[str, Array]) -> dict[str, Array]:
    home = np.full(len(rows["high"]), number, dtype=np.uint32)
    return {**rows, "home": home, "mark": home.copy()}


def _open_times(state: ModelState) -> Iterator[None]:
    """Count the rows and labels that wait."""
    for rows in state.rows.scan(("anchor", "label", "revision")):
        open_ = ~has_label(rows["label"], rows["revision"])
        state.open_rows.change(second_of(rows["anchor"][open_]))
        yield
    for labels in state.waiting.scan(("timestamp",)):
        state.open_labels.change(second_of(labels["timestamp"]))
        yield
