"""Whatever a record holds: it is counted or it is a dead letter, and the totals always add up."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiler_world import HOUR, KEY, L, P, control, deltas, harness, label, prediction, spoken

from schemas.profiles import Heartbeat, Totals
from streams.engine.processor import ListRecord

T = 1_700_000_000 // HOUR * HOUR
VIEWS = [control(), control(reference=False)]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.sampled_from(
        [10**400, T, T * 1000, 0.5, 1e308, "late", "", "production", "a/b", "2024-01-01T00:00:00Z", "\udc80"]
    ),
    st.floats(),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    *prediction("a", T),
    *label("a", T),
    "environment",
    "error",
    "backfill",
    "cost_usd",
    "revision",
    "retracted",
    "new",
]
FEATURES = st.dictionaries(st.sampled_from(["x", "kind", "carrier", "sex", "y"]), VALUES, max_size=4)


@st.composite
def records(draw: st.DrawFn) -> ListRecord:
    topic = draw(st.sampled_from([P, L]))
    event: dict[str, Any] = prediction("a", T) if topic == P else label("a", T)
    event |= draw(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3))
    if draw(st.booleans()):
        event["features"] = draw(FEATURES)
    if draw(st.booleans()):
        event["tags"] = draw(FEATURES)
    value = json.dumps(event).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=3)) + value[at + draw(st.integers(0, 2)) :]
    headers = draw(
        st.sampled_from(
            [
                (),
                (("ce_type", b"plumbline.watermark.v1"),),
                (("content-type", b"application/cloudevents+json"),),
                (("ce_type", b"\xff"),),
                (("ce_type", None),),
            ]
        )
    )
    key = draw(st.sampled_from([None, None, b"a", b"\xff"]))
    return ListRecord(
        topic=topic, key=key, value=value, headers=headers, timestamp=draw(st.sampled_from([0, T * 1000]))
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(records(), min_size=1, max_size=8), st.sampled_from(VIEWS))
def test_every_record_is_accounted_for(found: list[ListRecord], view: Any) -> None:
    task = harness(view)
    good = [ListRecord(topic=P, value=json.dumps(prediction("good", T)).encode())]
    task.feed([*found, *good], batch_sizes=4, restart_after=(1,))
    task.heartbeat()
    assert deltas(task)
    beat = spoken(task.outputs)[-1]
    assert isinstance(beat, Heartbeat)
    for said in beat.totals.values():
        assert said[Totals.PREDICTIONS] == sum(said[name] for name in Totals.PREDICTION_OUTCOMES)
        assert said[Totals.LABELS] == sum(said[name] for name in Totals.LABEL_OUTCOMES)
        assert min(said.values()) >= 0
    marks = sum(b"watermark" in (value or b"") for r in found for _, value in r.headers)
    n_events = sum(said[Totals.PREDICTIONS] + said[Totals.LABELS] for said in beat.totals.values())
    assert len(found) + 1 - marks <= n_events <= len(found) + 1
    assert sum(said["predictions_dead"] + said["labels_dead"] for said in beat.totals.values()) == len(
        task.dead_letters
    )
    assert beat.totals[KEY][Totals.PREDICTIONS] >= 1
