"""The changelog holds what a label horizon needs, however many horizons have gone by."""

from __future__ import annotations

from pathlib import Path

import pytest
from profiler_world import HOUR, L, P, control, harness, label, prediction, record

from streams.engine.harness import Harness
from streams.local.instance import TaskFolder
from streams.settings import Settings

T = 1_700_000_000 // HOUR * HOUR
HORIZON, PER_HOUR, N_HORIZONS = 6, 120, 12
OWNER = {"cluster_id": "c", "application_id": "a", "stage": "profiler", "partition": 0}


def one_hour(task: Harness, hour: int, *, joined: float) -> None:
    """Predictions of an hour, and labels for a share of those of the hour before, in commits of some ten records."""
    at = [T + hour * HOUR + i * HOUR / PER_HOUR for i in range(PER_HOUR)]
    served = [record(P, prediction(f"{hour}-{i}", at[i])) for i in range(PER_HOUR)]
    labels = [record(L, label(f"{hour - 1}-{i}", at[i])) for i in range(PER_HOUR) if hour and i < joined * PER_HOUR]
    if not labels:
        labels = [record(L, label(f"never-{hour}", at[0]))]
    n = -(-len(labels) // 10)
    for k in range(10):
        task.feed([*served[12 * k : 12 * k + 12], *labels[n * k : n * k + n]], batch_sizes=100, caught_up=k == 9)


@pytest.mark.parametrize("with_files", [False, True])
@pytest.mark.parametrize("joined", [0.0, 0.95])
def test_it_stays_bounded(tmp_path: Path, joined: float, with_files: bool) -> None:
    settings = Settings.model_validate({"engine": {"state_memory_rows": 100}})
    task = harness(control(), settings, folder=TaskFolder(tmp_path, OWNER) if with_files else None)
    live: list[int] = []
    runs: list[int] = []
    in_files: list[int] = []
    for hour in range(HORIZON * N_HORIZONS):
        one_hour(task, hour, joined=joined)
        kept = {key: value for key, value in task.changelog.items() if key.startswith("run/")}
        live.append(sum(map(len, kept.values())))
        runs.append(len(kept))
        in_files.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    # It goes up and down as runs are written anew, by a quarter; what grows with time would be half as high again in
    # the last third as in the third before.
    third = HORIZON * N_HORIZONS // 3
    for sizes in (live, runs, *([in_files] if with_files else [])):
        assert max(sizes[2 * third :]) <= 1.3 * max(sizes[third : 2 * third])
    # All that was ever written is many times as much, and nearly all of it has a later value or a tombstone.
    written = sum(len(c.value or b"") for staged in task.staged for c in staged.changes if c.key.startswith("run/"))
    assert written > 6 * max(live)
    keys = {c.key for staged in task.staged for c in staged.changes}
    assert len(keys - set(task.changelog)) > 3 * len(task.changelog)
    # Within a constant of what an exact store would hold: the rows of one horizon, and half as many that are dead.
    n_needed = PER_HOUR * (HORIZON + 1)
    bytes_per_row = live[HORIZON - 1] / (PER_HOUR * HORIZON)
    assert max(live[third:]) <= 4 * n_needed * bytes_per_row
