"""Profiles that contradict themselves: a dead letter or a note, and the other models go on."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas import topics
from schemas.profiles import ProfileDelta
from streams.control.blocks import Block
from streams.evaluator.cells import CellKey
from tests.unit.evaluator.world import World, cell_ms, windows

PAGE: dict[str, Any] = {"signal": "miss_rate", "severity": "page", "tolerance": 0.05}


def broken(**changes: Any) -> World:
    """Three cells, of which the second's delta is broken in its counts, or in the delta itself."""
    world = World([PAGE])
    for number in range(3):
        world.cell("v1", number)
    delta = msgspec.msgpack.decode(world.records[1].value or b"", type=ProfileDelta)
    (part,) = delta.parts
    of_columns = {name: value for name, value in changes.items() if hasattr(part.columns, name)}
    columns = msgspec.structs.replace(part.columns, **of_columns)
    own = {name: value for name, value in changes.items() if name not in of_columns}
    delta = msgspec.structs.replace(delta, parts=[type(part)(part.plan_id, columns)], **own)
    world.records[1] = replace(world.records[1], value=msgspec.msgpack.encode(delta))
    return world


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slots": np.array([10**6], dtype="<u4").tobytes()}, "slots has 4 bytes"),
        ({"segments": ["carrier=XX"]}, "segment 'carrier=XX' is not in plan"),
        ({"versions": []}, "block_version has 0: expected less than 0"),
        ({"block_cell": np.array([cell_ms(1) + 1], dtype="<i8").tobytes()}, "expected the start of a cell"),
        ({"block_start": np.array([0, 1], dtype="<u4").tobytes()}, "block_start goes from 0 to 1"),
        ({"block_start": b""}, "block_start has 0 bytes"),
        ({"source_partition": 5_000}, "source_partition = 5000"),
        ({"seq": -1}, "seq = -1"),
        ({"model_name": "a/b"}, "model_name = 'a/b'"),
    ],
)
def test_a_delta_that_contradicts_itself_is_a_dead_letter(changes: dict[str, Any], said: str) -> None:
    harness = broken(**changes).run()
    (letter,) = harness.dead_letters
    assert (letter.reason, said in letter.message) == ("schema", True), letter.message
    assert len(windows(harness, "inputs")) == 2


def test_what_is_no_profile_is_a_dead_letter() -> None:
    world = World([PAGE])
    world.cell("v1", 0)
    values = [None, b"", b"{}", b"\xc1", b"\x91" * 5_000, (world.records[0].value or b"").replace(b"v1", b"\xff\xff")]
    harness = world.harness()
    harness.feed([replace(world.records[0], value=value, offset=i) for i, value in enumerate(values)])
    harness.feed(
        [replace(world.records[0], topic=topics.RESOURCES.name, value=b'{"model_name":"m","n_replicas":1e400}')]
    )
    assert len(harness.dead_letters) == len(values) + 1


def test_counts_that_would_fall_below_zero_are_left_out_and_said() -> None:
    world = World([PAGE])
    for number in range(4):
        world.cell("v1", number)
    taken = Block("v1", "__all__", cell_ms(2), np.array([0], dtype=np.uint32), np.array([-1_000]))
    more = Block("v1", "__all__", cell_ms(3), np.array([0], dtype=np.uint32), np.array([7]))
    world.delta([taken, more], until=3)
    harness = world.run()
    assert harness.dead_letters == []
    assert any("takes back" in str(window.details.get("finding")) for window in windows(harness, "inputs"))
    (cells,) = [staged.overlay["production/m"].cells for staged in harness.staged[-1:]]
    read = {n: cells.read(CellKey(cell_ms(n), "v1", world.plan.plan_id), world.plan)["__all__"][0] for n in (2, 3)}
    assert read == {2: 400, 3: 407}


@pytest.mark.parametrize("version", ["v#1", "a@b", "x|y", "#", "@"])
def test_a_version_may_hold_any_character(version: str) -> None:
    world = World([PAGE])
    for number in range(4):
        world.cell(version, number)
    plain, restarted = world.run(batch_sizes=1), world.run(batch_sizes=1, restart_after=(1, 2, 3))
    assert windows(restarted, "inputs") == windows(plain, "inputs") != []


def test_parcels_of_one_commit_are_all_merged_and_each_once() -> None:
    world = World([PAGE])
    world.cell("v1", 0)
    first = msgspec.msgpack.decode(world.records[0].value or b"", type=ProfileDelta)
    second = msgspec.structs.replace(first, parcel=1)
    both = [replace(world.records[0], value=msgspec.msgpack.encode(d)) for d in (first, second, first, second)]
    harness = world.harness()
    harness.feed(both)
    assert harness.counts == {"deltas": 2, "deltas_skipped": 2}
