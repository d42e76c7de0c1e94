"""Growing the partition count halfway changes neither counts, nor totals, nor outcomes: against a run that did not."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiler_world import HOUR, L, P, control, deltas, label, merged, outcomes, prediction, record, totals, watermark
from test_join_properties import VIEW

from streams.engine.harness import Harness
from streams.engine.processor import CommitContext, ListRecord
from streams.ingest.values import hashes
from streams.profiler.levelling import latest_marks, levelled
from streams.profiler.processor import ProfilerProcessor
from streams.profiler.rekeying import OldState, UnplacedError
from streams.settings import Settings

START = 1_700_000_000 // HOUR * HOUR
NEVER_AGAIN = START + 400 * HOUR
SETTINGS = Settings()


def partition_of(id_: str, n: int) -> int:
    return zlib.crc32(id_.encode()) % n


def tasks(n: int, view: Any) -> list[Harness]:
    def make(partition: int) -> Callable[[], ProfilerProcessor]:
        return lambda: ProfilerProcessor(partition=partition, settings=SETTINGS, control=view)

    return [Harness(make(partition), partition=partition) for partition in range(n)]


def feed(running: Sequence[Harness], events: Sequence[tuple[str, dict[str, Any]]], draw: random.Random) -> None:
    queues: list[list[ListRecord]] = [[] for _ in running]
    for i, (topic, event) in enumerate(events):
        queues[partition_of(event["prediction_id"], len(running))].append(record(topic, event, i))
    for task, queue in zip(running, queues, strict=True):
        task.feed(queue, batch_sizes=[draw.randrange(1, 9)], restart_after=[draw.randrange(1, 9)], caught_up=False)


def grown(running: Sequence[Harness], n: int, view: Any, ids: Sequence[str]) -> list[Harness]:
    """The tasks under the new count; those whose partition was there before keep what they have said."""
    marks = latest_marks(task.changelog for task in running)
    for task in running:
        positions = dict(task.positions)
        context = CommitContext(
            partition=task.partition, seq=task.seq + 1, positions=positions, previous_positions=positions, now_ms=0,
            caught_up=True,
        )  # fmt: skip
        staged = levelled(task.changelog, marks, context=context, settings=SETTINGS, control=view)
        task.outputs.extend(staged.outputs)
        task.seq += 1
        for change in staged.changes:
            task.changelog.pop(change.key, None)
            if change.value is not None:
                task.changelog[change.key] = change.value
    old = OldState([task.changelog for task in running], plan_by_id=view.plan_by_id, spec_of=view.spec)
    high, low = hashes(id_.encode() for id_ in ids)
    where = {(h, lo): partition_of(id_, n) for h, lo, id_ in zip(high.tolist(), low.tolist(), ids, strict=True)}

    def place(high: Any, low: Any) -> Any:
        pairs = zip(high.tolist(), low.tolist(), strict=True)
        return np.array([where.get(pair, -1) for pair in pairs], dtype=np.int64)

    found = old.rekeyed(n, place)
    after = tasks(n, view)
    for partition, (task, entries) in enumerate(zip(after, found, strict=True)):
        task.changelog = entries
        if partition < len(running):
            task.outputs, task.seq = running[partition].outputs, running[partition].seq
        task.restart()
    return after


def history(draw: random.Random, n: int, hours: int, *, late: bool) -> list[tuple[str, dict[str, Any]]]:
    """Events in order of time; with `late`, labels around maturity, which each partition sees in its own way."""
    timed: list[tuple[float, str, dict[str, Any]]] = []
    for i in range(n):
        at = START + hours * HOUR * i / n
        for _ in range(draw.choice((1, 1, 2))):
            fields = {"model_version": draw.choice("12"), "prediction_label": draw.choice(("on", "late"))}
            carrier = {"kind": draw.choice("abq"), "carrier": draw.choice(("AA", "BB", "CC"))}
            timed.append((at, P, prediction(f"id-{i}", at, features=carrier, **fields)))
        delay = draw.choice((60, 60, 0.5 * HOUR, -0.25 * HOUR, *((4 * HOUR, 5 * HOUR) if late else ())))
        for revision in range(draw.choice((0, 1, 1, 2))):
            stamp = at + delay + revision * 600
            fields = {"revision": revision, "retracted": draw.random() < 0.1}
            timed.append((stamp, L, label(f"id-{i}", stamp, draw.choice(("on", "late", "odd")), **fields)))
    return [(topic, event) for _, topic, event in sorted(timed, key=lambda each: each[0])]


def said(running: Sequence[Harness]) -> tuple[Counter[Any], Counter[str], Counter[Any]]:
    """Counts, totals and outcomes of all tasks, with every cell over."""
    for task in running:
        task.feed([watermark(topic, NEVER_AGAIN) for topic in (P, L)])
    counts: Counter[Any] = Counter()
    sums: Counter[str] = Counter()
    errors: Counter[Any] = Counter()
    for task in running:
        sums.update(totals(task))
        counts.update(merged(task))
        for version, cell, found in outcomes(task):
            errors.update((version, cell, error) for error in found)
    return Counter({key: n for key, n in counts.items() if n}), sums, errors


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.floats(0, 1), st.booleans())
def test_growing_changes_nothing(seed: int, n_before: int, n_more: int, when: float, again: bool) -> None:
    draw = random.Random(seed)
    late = draw.random() < 0.5
    events = history(draw, 60, draw.choice((4, 12, 30)), late=late)
    cut = round(when * len(events))
    ids = [f"id-{i}" for i in range(60)]
    plain = tasks(n_before, VIEW)
    feed(plain, events, draw)
    moved = tasks(n_before, VIEW)
    feed(moved, events[:cut], draw)
    moved = grown(moved, n_before + n_more, VIEW, ids)
    if again:
        moved = grown(moved, n_before + n_more + 1, VIEW, ids)
    feed(moved, events[cut:], draw)
    *found, errors = said(moved)
    *expected, plain_errors = said(plain)
    assert found == expected
    assert late or errors == plain_errors
    seqs = [[each.seq for each in deltas(task)] for task in moved]
    assert all(found == sorted(set(found)) for found in seqs)


def test_a_regression_keeps_its_values_and_every_partition_its_own_names() -> None:
    view = control(replace_task("regression"))
    before = tasks(2, view)
    events = [
        (P, prediction(f"id-{i}", START + i, prediction_value=i / 2, model_version=f"v{i % 5}", prediction_label=None))
        for i in range(40)
    ]
    answers = [(L, {**label(f"id-{i}", START + 60 + i, None), "actual_value": i / 2 + 1}) for i in range(40)]
    feed(before, events + answers[:10], random.Random(1))
    after = grown(before, 5, view, [f"id-{i}" for i in range(40)])
    feed(after, answers[10:], random.Random(2))
    plain = tasks(2, view)
    feed(plain, events + answers, random.Random(3))
    assert said(after) == said(plain)


def replace_task(task: str) -> Any:
    from profiler_world import SPEC

    return SPEC.model_copy(update={"task": task, "positive_class": None})


def test_rows_whose_id_nobody_knows_are_counted_and_nothing_is_made_up() -> None:
    running = tasks(1, VIEW)
    feed(running, [(P, prediction(f"id-{i}", START + i)) for i in range(5)], random.Random(1))
    with pytest.raises(UnplacedError) as raised:
        grown(running, 2, VIEW, ["id-0", "id-3"])
    assert raised.value.n_rows == 3
    assert (raised.value.earliest_ms, raised.value.latest_ms) == ((START + 1) * 1000, (START + 4) * 1000)
