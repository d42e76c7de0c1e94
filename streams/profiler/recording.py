"""What a commit writes into the changelog: its run, the models it touched, new plans, and runs that are rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

import msgspec
import numpy as np

from streams.engine.processor import Change
from streams.profiler.compaction import MARK_FIELDS, ROWS_KEPT, WAITING_KEPT, Rewrite, RunBook, run_size
from streams.profiler.join import Joined
from streams.profiler.model import LABEL_FIELDS, ModelState, Tally
from streams.profiler.packing import Array, pack_columns
from streams.profiler.restoring import (
    META_KEY,
    MODEL_PREFIX,
    PLAN_PREFIX,
    Meta,
    encode,
    model_record,
    plan_record,
)
from streams.profiler.runs import ModelRun, encode_run, pack_ids, run_key
from streams.profiler.staging import ModelChange


@dataclass(slots=True)
class Overlay:
    """A commit's changes, until it holds; `number` is that of its run."""

    number: int
    changes: list[ModelChange]
    unattributed: Tally
    rewrite: Rewrite | None = None
    run_size: int = 0
    born_ms: int = 0
    plans: list[str] = field(default_factory=list)


def record(overlay: Overlay, book: RunBook, states: Mapping[str, ModelState], stored_plans: Set[str]) -> list[Change]:
    """Write down a commit; what is rewritten, and the run's number, are entered into the overlay.

    Parameters
    ----------
    overlay
        The commit.
    book
        The runs that stand.
    states
        Models as of the last commit.
    stored_plans
        Plans that the changelog has already.
    """
    changes: list[Change] = []
    chosen = book.chosen(states.values())
    if len(chosen):
        overlay.rewrite = book.rewrite(states.values(), chosen, overlay.number)
        changes += [Change(key=run_key(number), value=None) for number in chosen.tolist()]
        if overlay.rewrite.models:
            changes.append(Change(key=run_key(overlay.number), value=encode_run(overlay.rewrite.models)))
        overlay.number += 1
    runs = [run for change in overlay.changes if (run := _run_of(change)) is not None]
    overlay.run_size = sum(run_size(run) for run in runs)
    if overlay.run_size:
        changes.append(Change(key=run_key(overlay.number), value=encode_run(runs)))
    for change in overlay.changes:
        changes += _new_plans(change, overlay, stored_plans)
        written = model_record(change.state, change.clock, change.tally, next_rid=change.next_rid, swept=change.swept)
        changes.append(Change(key=MODEL_PREFIX + change.state.key, value=encode(written)))
    standing = book.after(overlay.rewrite, overlay.number, overlay.run_size)
    meta = Meta(overlay.number + 1, msgspec.to_builtins(overlay.unattributed), standing, overlay.born_ms)
    return [*changes, Change(key=META_KEY, value=encode(meta))]


def _new_plans(change: ModelChange, overlay: Overlay, stored_plans: Set[str]) -> Iterable[Change]:
    for plan_id, plan in change.state.plans.items():
        if plan_id not in stored_plans and plan_id not in overlay.plans:
            overlay.plans.append(plan_id)
            yield Change(key=PLAN_PREFIX + plan_id, value=encode(plan_record(plan)))


def numbered(joined: Joined, next_rid: int, number: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """New rows and waiting labels with their ids and their run."""
    n, m = len(joined.rows["high"]), len(joined.waiting["high"])
    home = np.full(n, number)
    rows = {**joined.rows, "rid": np.arange(next_rid, next_rid + n), "home": home, "mark": home}
    rid = np.arange(next_rid + n, next_rid + n + m)
    return rows, {**joined.waiting, "rid": rid, "home": np.full(m, number)}


def _run_of(change: ModelChange) -> ModelRun | None:
    joined = change.joined
    if joined is None:
        return None
    rows, waiting = numbered(joined, change.state.next_rid, 0)
    marks = {"rid": change.state.rows["rid"][joined.touched], **{name: joined.labels[name] for name in LABEL_FIELDS}}
    return ModelRun(
        key=change.state.key,
        rows=pack_columns({name: rows[name] for name in ROWS_KEPT}),
        marks=pack_columns({name: marks[name] for name in MARK_FIELDS}),
        waiting=pack_columns({name: waiting[name] for name in WAITING_KEPT}),
        dead_labels=pack_ids(change.state.waiting["rid"][joined.resumed]),
    )
