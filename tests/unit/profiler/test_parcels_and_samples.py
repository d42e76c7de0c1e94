"""A commit must fit into records, whatever comes in."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from functools import partial

import msgspec
import pytest
from profiler_world import HOUR, SPEC, P, control, deltas, harness, merged, prediction, record, samples

from schemas import topics
from streams.engine.processor import Output
from streams.profiler import saying
from streams.profiler.parcels import parcels
from streams.profiler.samples import _MAX_BYTES, MAX_TEXT_CHARS

T = 1_700_000_000 // HOUR * HOUR


def test_counts_are_split_between_blocks_and_add_up() -> None:
    draw = random.Random(3)
    task = harness(control())
    task.feed([record(P, prediction(f"{i}", T - draw.uniform(0, 5 * HOUR)), i) for i in range(300)])
    whole = deltas(task)[-1]
    for most in (1, 10, 50, 10_000):
        found = parcels(whole.parts, max_entries=most)
        assert all(found)
        split = harness(control())
        pieces = [msgspec.structs.replace(whole, parts=parts) for parts in found]
        values = [msgspec.msgpack.encode(piece) for piece in pieces]
        split.outputs = [Output(topic=topics.PROFILES.name, key=None, value=value) for value in values]
        assert merged(split) == merged(task)
        assert (len(found) > 1) is (most < 10_000)
    assert parcels([]) == [[]]


def test_a_commit_over_many_cells_comes_in_parcels_the_last_of_which_has_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saying, "parcels", partial(parcels, max_entries=2_000))
    spec = SPEC.model_copy(update={"cell": timedelta(minutes=1)})
    draw = random.Random(1)
    events = [record(P, prediction(f"{i}", T - draw.uniform(0, 5 * HOUR)), i) for i in range(2_000)]
    task = harness(control(spec))
    task.feed(events, batch_sizes=2_000)
    said = deltas(task)
    assert len(said) > 1
    assert [each.parcel for each in said] == list(range(len(said)))
    assert {each.seq for each in said} == {1}
    assert all(len(output.value or b"") < 2_000 * 12 + 20_000 for output in task.outputs)
    assert [each.watermarks.predictions_ms is None for each in said] == [True] * (len(said) - 1) + [False]
    assert [bool(each.totals) for each in said] == [False] * (len(said) - 1) + [True]
    small = harness(control(spec))
    small.feed(events, batch_sizes=50)
    assert merged(task) == merged(small)


def test_samples_are_bounded_in_text_and_in_sum() -> None:
    task = harness(control(reference=False))
    text = "t" * MAX_TEXT_CHARS
    features = {f"f{i}": text for i in range(20)} | {"long": text + "t", "x": 1.0}
    task.feed([record(P, prediction(f"{i}", T, features=features), i) for i in range(1_500)], batch_sizes=1_500)
    found = samples(task)
    assert 100 < len(found) < 1_500
    assert all("long" not in sample.features and sample.features["x"] == 1.0 for sample in found.values())
    assert sum(len(output.value or b"") for output in task.outputs) < _MAX_BYTES + 500_000
    hashes = sorted(found)
    every = harness(control(reference=False))
    every.feed([record(P, prediction(f"{i}", T, features={"x": 1.0}), i) for i in range(1_500)], batch_sizes=1_500)
    assert hashes == sorted(samples(every))[: len(hashes)]  # the smallest ones are kept


def test_a_model_without_a_reference_in_one_environment_is_sampled_though_it_has_one_in_another() -> None:
    task = harness(control())
    task.feed([record(P, prediction("a", T), 0), record(P, prediction("b", T, environment="staging"), 1)])
    (sample,) = samples(task).values()
    assert sample.features == {"x": 5.0, "kind": "a", "carrier": "AA"}
    assert Counter(each.environment for each in deltas(task)) == {"production": 1, "staging": 1}
