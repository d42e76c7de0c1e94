"""Whatever the interleaving, the batches and the restarts: the same totals, counts and outcomes, and the right ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from join_oracle import Oracle
from profiler_world import KEY, L, P, control, harness, label, merged, outcomes, prediction, record, totals, watermark

from schemas.monitors import Monitor
from schemas.signals import Signal
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord

START = 1_700_000_000 // 3600 * 3600
MINUTES = st.integers(0, 18 * 60).map(lambda minutes: START + 60 * minutes)
VIEW = control(monitors=[Monitor(signal=Signal.ERROR_RATE, model_name="m", detector="adwin")])
PLAN = VIEW.plan(KEY, START * 1000)
IDS = st.sampled_from([f"id-{i}" for i in range(6)])
FEATURES = st.fixed_dictionaries(
    {}, optional={"kind": st.sampled_from(["a", "b", "zz", None]), "carrier": st.sampled_from(["AA", "BB", "CC"])}
)


@st.composite
def predictions(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 14)) == 0:
        return {"not_before": draw(MINUTES)}
    return prediction(
        draw(IDS),
        draw(MINUTES),
        model_version=draw(st.sampled_from(["1", "1", "2"])),
        prediction_label=draw(st.sampled_from(["on", "late"])),
        prediction_score=draw(st.sampled_from([0.0, 0.3, 1.0 - 1e-9])),
        features=draw(FEATURES),
        backfill=draw(st.integers(0, 9)) == 0,
    )


@st.composite
def labels(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 14)) == 0:
        return {"not_before": draw(MINUTES)}
    return label(
        draw(IDS),
        draw(MINUTES),
        draw(st.sampled_from(["on", "late"])),
        revision=draw(st.sampled_from([0, 0, 1, 2])),
        retracted=draw(st.integers(0, 5)) == 0,
    )


def to_record(topic: str, offset: int, event: dict[str, Any]) -> ListRecord:
    if "not_before" in event:
        made = watermark(topic, event["not_before"])
        return ListRecord(topic=topic, offset=offset, value=made.value, headers=made.headers)
    return record(topic, event, offset)


def interleaved(p_log: list[Any], l_log: list[Any], choices: list[bool]) -> list[ListRecord]:
    """Both logs, each in its own order."""
    queues = {
        P: [to_record(P, i, e) for i, e in enumerate(p_log)],
        L: [to_record(L, i, e) for i, e in enumerate(l_log)],
    }
    out = []
    for first in [*choices, *[True] * (len(p_log) + len(l_log))]:
        wanted = queues[P if first else L] or queues[L if first else P]
        if wanted:
            out.append(wanted.pop(0))
    return out


def run(records: list[ListRecord], sizes: list[int], *, restarts: bool) -> Harness:
    task = harness(VIEW)
    task.feed(records, batch_sizes=sizes, restart_after=range(1, len(records) + 1) if restarts else ())
    return task


def named(counts: Counter[Any]) -> Counter[tuple[str, str, int, str, int]]:
    """Counts by section, of the sections that the oracle knows."""
    known = ("backfill", "n", "prediction", "score", "feature:kind", "labelled", "confusion")
    out: Counter[tuple[str, str, int, str, int]] = Counter()
    for (_, version, segment, cell, slot), n in counts.items():
        for name in known:
            where = PLAN.layout.slice(name)
            if where.start <= slot < where.stop:
                out[version, segment, cell, name, slot - where.start] = n
    return out


@settings(max_examples=150, deadline=None)
@given(
    st.lists(predictions(), max_size=25),
    st.lists(labels(), max_size=25),
    st.lists(st.booleans(), max_size=50),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.booleans(),
)
def test_every_interleaving_gives_what_the_oracle_says(
    p_log: list[Any], l_log: list[Any], choices: list[bool], sizes: list[int], restarts: bool
) -> None:
    oracle = Oracle(p_log, l_log)
    task = run(interleaved(p_log, l_log, choices), sizes, restarts=restarts)
    said = totals(task)
    assert said == oracle.totals
    assert named(merged(task)) == oracle.counts()
    assert [(v, c, bytes(sorted(e))) for v, c, e in outcomes(task)] == oracle.outcomes()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(predictions(), max_size=30),
    st.lists(labels(), max_size=30),
    st.lists(st.booleans(), max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_one_batch_and_many_with_restarts_say_the_same(
    p_log: list[Any], l_log: list[Any], choices: list[bool], sizes: list[int]
) -> None:
    whole = run(interleaved(p_log, l_log, []), [1000], restarts=False)
    cut = run(interleaved(p_log, l_log, choices), sizes, restarts=True)
    assert totals(cut) == totals(whole)
    assert merged(cut) == merged(whole)
    assert outcomes(cut) == outcomes(whole)
