"""The parts of the profiler's memory, each on its own."""

from __future__ import annotations

import random

import numpy as np
import pytest

from streams.ingest.chunk import Mark
from streams.profiler.counting import compact
from streams.profiler.deadlines import OpenTimes
from streams.profiler.packing import pack_columns, unpack_columns
from streams.profiler.table import HashIndex, Table, concatenate_rows
from streams.profiler.watermarks import NEVER, arrivals

COLUMNS = {
    "rid": ("<i8", False),
    "high": ("<u8", False),
    "low": ("<u8", False),
    "value": ("<i8", False),
    "codes": ("<u2", True),
}


def rows(keys: list[int], low: int = 0, width: int = 2) -> dict[str, np.ndarray]:
    n = len(keys)
    return {
        "rid": np.arange(n),
        "high": np.array(keys, dtype=np.uint64),
        "low": np.full(n, low, dtype=np.uint64),
        "value": np.array(keys, dtype=np.int64) * 10,
        "codes": np.tile(np.arange(1, width + 1, dtype=np.uint16), (n, 1)),
    }


def test_a_table_is_a_multimap_that_forgets() -> None:
    draw = random.Random(5)
    table, truth = Table(COLUMNS), dict[int, list[int]]()
    for step in range(60):
        keys = [draw.randrange(80) for _ in range(draw.randrange(1, 20))]
        table.append(rows(keys, low=step))
        for key in keys:
            truth.setdefault(key, []).append(step)
        if step % 7 == 6:
            gone = draw.sample(table.live().tolist(), table.n_live // 2)
            for slot in gone:
                truth[int(table["high"][slot])].remove(int(table["low"][slot]))
            table.drop(np.array(gone))
        wanted = [(key, low) for key in range(80) for low in set(truth.get(key, ()))]
        high = np.array([key for key, _ in wanted], dtype=np.uint64)
        low_ = np.array([low for _, low in wanted], dtype=np.uint64)
        place, slot = table.find(high, low_)
        assert table.n_live == sum(map(len, truth.values())) == len(slot)
        assert (table["value"][slot] == high[place].astype(np.int64) * 10).all()
    assert table.n <= 2 * table.n_live + 64


def test_matrices_widen() -> None:
    table = Table(COLUMNS)
    table.append(rows([1], width=1))
    table.append(rows([2], width=3))
    table.append(rows([3], width=2))
    assert table["codes"].tolist() == [[1, 0, 0], [1, 2, 3], [1, 2, 0]]
    joined = concatenate_rows([rows([1], width=1), rows([2], width=3)], ("codes",))
    assert joined["codes"].tolist() == [[1, 0, 0], [1, 2, 3]]


def test_an_index_keeps_few_levels() -> None:
    index = HashIndex()
    for i in range(1000):
        index.add(np.array([i % 300], dtype=np.uint64), np.array([i]))
    assert len(index.levels) < 8
    place, slot = index.find(np.array([5, 1000], dtype=np.uint64))
    assert sorted(slot.tolist()) == [5, 305, 605, 905]
    assert set(place.tolist()) == {0}


def test_open_times_count_exactly() -> None:
    draw = random.Random(3)
    times, truth, floor = OpenTimes(), list[int](), 0
    for _ in range(300):
        added = [draw.randrange(floor, floor + 50) for _ in range(draw.randrange(6))]
        removed = draw.sample(truth, min(len(truth), draw.randrange(4)))
        truth += added
        for time in removed:
            truth.remove(time)
        times.change(np.array(added, dtype=np.int64), np.array(removed, dtype=np.int64))
        floor += draw.randrange(3)
        times.close_before(floor)
        for ask in (floor, floor + 10, floor + 60):
            assert times.count_from(ask) == sum(time >= ask for time in truth)


def test_arrivals_see_what_came_before() -> None:
    order, raised = np.array([0, 2, 3]), np.array([100, 50, 300])
    found, last = arrivals(NEVER, order, raised, [])
    assert (found.tolist(), last) == ([NEVER, 100, 100], 300)
    found, last = arrivals(10, order, raised, [Mark("m", 1, 200), Mark("m", 9, 250)])
    assert (found.tolist(), last) == ([10, 200, 200], 300)
    found, last = arrivals(10, order[:0], raised[:0], [])
    assert (found.tolist(), last) == ([], 10)


@pytest.mark.parametrize("values", [[5, 5, 7], [10**12, -5, 10**12], [], [0]])
def test_compact(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    distinct, place = compact(array)
    assert distinct[place].tolist() == values
    assert distinct.tolist() == sorted(set(values))


def test_columns_survive_packing() -> None:
    original = {**rows([3, 1, 2], width=1), "f": np.array([1.5, np.nan, -0.0])}
    packed = pack_columns(original)
    assert packed is not None
    read = unpack_columns(packed)
    for name, column in original.items():
        np.testing.assert_array_equal(read[name], column)
        assert read[name].dtype == column.dtype
    wide = unpack_columns(pack_columns(rows([1, 2], width=0)))
    assert wide["codes"].shape == (2, 0)
    assert pack_columns(rows([])) is None
