"""The join, case by case."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import pytest
from profiler_world import (
    HOUR,
    KEY,
    MINUTE,
    L,
    P,
    control,
    harness,
    label,
    merged,
    prediction,
    record,
    section,
    totals,
    watermark,
)

from streams.engine.processor import ListRecord

T = 1_700_000_000 // HOUR * HOUR
VIEW = control()
PLAN = VIEW.plan(KEY, T * 1000)
CONFUSION = {"on/on": 0, "on/late": 1, "late/on": 2, "late/late": 3}


def p(id_: str = "a", at: float = 0, **fields: Any) -> ListRecord:
    return record(P, prediction(id_, T + at, **fields))


def lab(id_: str = "a", at: float = MINUTE, actual: str = "on", **fields: Any) -> ListRecord:
    return record(L, label(id_, T + at, actual, **fields))


Events = list[ListRecord]
CASES: dict[str, tuple[Events, dict[str, int], dict[str, int]]] = {
    # name: events; totals without the two sums; confusion as actual/predicted
    "a pair": ([p(), lab()], {"p_joined": 1, "l_joined": 1}, {"on/on": 1}),
    "no label yet": ([p()], {"p_pending": 1}, {}),
    "no prediction yet": ([lab()], {"l_pending": 1}, {}),
    "a miss": ([p(), lab(actual="late")], {"p_joined": 1, "l_joined": 1}, {"late/on": 1}),
    "a duplicate": ([p(), p(), lab()], {"p_joined": 1, "p_duplicate": 1, "l_joined": 1}, {"on/on": 1}),
    "a retry with a new time": (
        [p(), p(at=30), lab()],
        {"p_joined": 1, "p_duplicate": 1, "l_joined": 1},
        {"on/on": 1},
    ),
    "a shadow": ([p(), p(model_version="2"), lab()], {"p_joined": 2, "l_joined": 1}, {"on/on": 2}),
    "a label twice": ([p(), lab(), lab()], {"p_joined": 1, "l_joined": 1, "l_duplicate": 1}, {"on/on": 1}),
    "a conflict": (
        [p(), lab(actual="on"), lab(actual="late")],
        {"p_joined": 1, "l_joined": 1, "l_duplicate": 1},
        {"on/on": 1},
    ),
    "a revision": (
        [p(), lab(), lab(actual="late", revision=2)],
        {"p_joined": 1, "l_joined": 2, "l_revised": 1},
        {"late/on": 1},
    ),
    "an old revision": (
        [p(), lab(revision=2), lab(actual="late", revision=1)],
        {"p_joined": 1, "l_joined": 1, "l_duplicate": 1},
        {"on/on": 1},
    ),
    "a retraction": (
        [p(), lab(), lab(revision=1, retracted=True)],
        {"p_pending": 1, "l_joined": 2, "l_revised": 1, "l_retracted": 1},
        {},
    ),
    "a retraction taken back": (
        [p(), lab(), lab(revision=1, retracted=True), lab(actual="late", revision=2)],
        {"p_joined": 1, "l_joined": 3, "l_revised": 2, "l_retracted": 1},
        {"late/on": 1},
    ),
    "another model's label": ([p(), lab(model_name="other")], {"p_pending": 1}, {}),
    "just within the horizon": ([p(), lab(at=6 * HOUR)], {"p_joined": 1, "l_joined": 1}, {"on/on": 1}),
    "beyond the horizon": ([p(), lab(at=6 * HOUR + 1)], {"p_pending": 1, "l_pending": 1}, {}),
    "stamped before its prediction": ([p(), lab(at=-MINUTE)], {"p_joined": 1, "l_joined": 1}, {"on/on": 1}),
    "backfill": ([p(backfill=True), lab()], {"p_expired": 1, "l_pending": 1}, {}),
    "a failed prediction": (
        [p(error="timeout", prediction_label=None), lab()],
        {"p_joined": 1, "l_joined": 1},
        {},
    ),
}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_order_across_topics_and_batches(name: str, restarts: bool) -> None:
    events, expected, confusion = CASES[name]
    wanted = {n.replace("p_", "predictions_").replace("l_", "labels_"): v for n, v in expected.items()}
    wanted["predictions"] = sum(e.topic == P for e in events)
    wanted["labels"] = sum(e.topic == L for e in events if b'"other"' not in (e.value or b""))
    wanted = {n: v for n, v in wanted.items() if v}
    in_order = [
        order
        for order in permutations(range(len(events)))
        if all(a < b for topic in (P, L) for a, b in _pairs([i for i in order if events[i].topic == topic]))
    ]
    for order in in_order:
        for size in sorted({1, 2, len(events)}):
            task = harness(VIEW)
            restart_after = range(1, len(events)) if restarts else ()
            task.feed([events[i] for i in order], batch_sizes=size, restart_after=restart_after)
            assert totals(task) == wanted, (name, order, size)
            counted = _confusion(task)
            assert {n: counted[i] for n, i in CONFUSION.items() if counted[i]} == confusion


def _pairs(order: list[int]) -> list[tuple[int, int]]:
    return list(pairwise(order))


def _confusion(task: Any) -> list[int]:
    counts = merged(task)
    by_version = [section(counts, PLAN, "confusion", version=version) for version in ("1", "2")]
    return [a + b for a, b in zip(*by_version, strict=True)]


def test_the_label_of_another_model_becomes_an_orphan() -> None:
    task = harness(VIEW)
    task.feed([p(), lab(model_name="other"), watermark(L, T + 30 * 24 * HOUR, "other")])
    assert totals(task, "production/other") == {"labels": 1, "labels_orphan": 1}
    assert totals(task) == {"predictions": 1, "predictions_pending": 1}


def test_expiry_is_by_either_watermark_and_counted() -> None:
    task = harness(VIEW)
    task.feed([p(), p("b", at=HOUR), watermark(P, T + 6 * HOUR)], caught_up=False)
    assert totals(task) == {"predictions": 2, "predictions_pending": 2}
    # Open rows are counted by the second: one expires when its second is over.
    task.feed([watermark(P, T + 6 * HOUR + 0.999)], caught_up=False)
    assert totals(task) == {"predictions": 2, "predictions_pending": 2}
    task.feed([watermark(P, T + 6 * HOUR + 1)], caught_up=False)
    assert totals(task) == {"predictions": 2, "predictions_pending": 1, "predictions_expired": 1}
    # The labels are behind: theirs is still accepted, and the prediction no longer counts as expired.
    task.feed([lab()], caught_up=False)
    assert totals(task) == {
        "predictions": 2,
        "predictions_pending": 1,
        "predictions_joined": 1,
        "labels": 1,
        "labels_joined": 1,
    }


def test_late_predictions_and_labels_are_counted_and_nothing_else() -> None:
    task = harness(VIEW)
    task.feed([p(at=10 * HOUR), lab("z", at=10 * HOUR)])
    before = merged(task)
    task.feed([p("b", at=10 * HOUR - 10 * MINUTE - 6 * HOUR - 1), lab("b", at=10 * HOUR - 10 * MINUTE - 6 * HOUR - 1)])
    assert merged(task) == before
    said = totals(task)
    assert (said["predictions_late"], said["labels_late"]) == (1, 1)
    task.feed([p("c", at=10 * HOUR - 10 * MINUTE - 6 * HOUR)])
    assert totals(task)["predictions_late"] == 1


def test_a_watermark_event_raises_and_never_lowers() -> None:
    task = harness(VIEW)
    task.feed([p(at=HOUR), watermark(P, T)])
    task.heartbeat()
    (beat,) = (b for b in _beats(task))
    assert beat.watermarks[KEY].predictions_ms == (T + HOUR - 10 * MINUTE) * 1000
    assert beat.watermarks[KEY].labels_ms is None
    task.feed([watermark(P, T + 2 * HOUR)])
    task.heartbeat()
    assert _beats(task)[-1].watermarks[KEY].predictions_ms == (T + 2 * HOUR) * 1000


def _beats(task: Any) -> list[Any]:
    from profiler_world import spoken

    return [said for said in spoken(task.outputs) if type(said).__name__ == "Heartbeat"]


def test_a_silent_label_topic_does_not_keep_rows_for_ever() -> None:
    task = harness(VIEW)
    for hour in range(40):
        task.feed([p(f"id-{hour}-{i}", at=hour * HOUR + i) for i in range(50)])
    assert len(task.processor._states[KEY].rows.live()) <= 50 * 10  # type: ignore[attr-defined]
    said = totals(task)
    assert said["predictions_pending"] + said["predictions_expired"] == 2000


def test_ids_may_be_used_again_after_the_revision_horizon() -> None:
    task = harness(VIEW)
    task.feed([p(), lab(), watermark(P, T + 3 * HOUR + 1), p(at=4 * HOUR)])
    assert totals(task)["predictions_pending"] == 1
    task.feed([lab(at=4 * HOUR + 1), watermark(L, T + 5 * HOUR), lab(at=5 * HOUR, actual="late")])
    assert totals(task)["labels_duplicate"] == 1  # the first label's revisions end 3 h after it
    assert totals(task)["predictions_joined"] == 2
