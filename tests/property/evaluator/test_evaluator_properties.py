"""What must hold of stage 2 for any stream: merging is addition, and neither batches nor restarts matter."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluator.world import World, evidence, windows

PAGE = {"signal": "miss_rate", "severity": "page", "tolerance": 0.05}

cells = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 60), st.floats(0, 1)), min_size=1, max_size=25
)  # (how far event time runs ahead, events, miss rate)


def stream(steps: list[tuple[int, int, float]]) -> World:
    world = World([PAGE])
    world.deploy("v1", 0)
    for number, (ahead, n, miss) in enumerate(steps):
        world.cell("v1", number, n=n, miss=miss, until=number + ahead)
    return world


@settings(max_examples=25, deadline=None)
@given(cells, st.integers(1, 9), st.sets(st.integers(1, 20)))
def test_batches_and_restarts_change_nothing(
    steps: list[tuple[int, int, float]], batch: int, restarts: set[int]
) -> None:
    world = stream(steps)
    plain = world.run(batch_sizes=1)
    other = world.run(batch_sizes=batch, restart_after=sorted(restarts))
    assert [o.value for o in other.outputs] == [o.value for o in plain.outputs]


@settings(max_examples=25, deadline=None)
@given(cells)
def test_every_event_is_in_a_window_or_waits(steps: list[tuple[int, int, float]]) -> None:
    """Counts of closed windows never exceed what came, and each (cell, kind) is closed once."""
    harness = stream(steps).run()
    for kind in ("inputs", "outcomes"):
        closed = windows(harness, kind)
        starts = [w.window_start for w in closed]
        assert len(set(starts)) == len(starts)
        assert sum(w.n_predictions for w in closed) <= sum(n for _, n, _ in steps)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(3, 90), min_size=4, max_size=12), st.integers(2, 5))
def test_merging_parts_is_the_whole(sizes: list[int], parts: int) -> None:
    """A cell that comes in several deltas closes with the sum of its parts."""
    world = World([PAGE])
    for number, n in enumerate(sizes):
        for part in range(parts):
            world.cell("v1", number, n=n, until=number if part == parts - 1 else number - 1)
    totals = [w.n_predictions for w in windows(world.run(), "inputs")]
    assert totals == [n * parts for n in sizes]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16))
def test_nothing_is_decided_while_warming_up(seed: int) -> None:
    world = World([PAGE], seed=seed, reference_from=50)
    world.deploy("v1", 0)
    world.deploy("v2", 5)
    for number in range(20):
        world.cell("v1" if number < 5 else "v2", number, miss=0.9)
    harness = world.run()
    assert {v.status for w in windows(harness, "outcomes") for v in w.verdicts} == {"warming_up"}
    assert not any(e.is_complete for e in evidence(harness))
