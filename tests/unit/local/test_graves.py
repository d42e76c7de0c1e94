"""A row that was joined and forgotten stays forgotten, though the changelog still holds it without its label."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "profiler"))

from profiler_world import HOUR, L, P, control, harness, label, prediction, record, totals, watermark

from streams.engine.harness import Harness
from streams.local.instance import TaskFolder
from streams.settings import Settings

T = 1_700_000_000 // HOUR * HOUR
FEW_ROWS = Settings.model_validate({"engine": {"state_memory_rows": 5}})
OWNER = {"cluster_id": "c", "application_id": "a", "stage": "profiler", "partition": 0}


def joined_and_forgotten(task: Harness) -> None:
    """`id-3` is joined; then its label's run is written anew without the row, while the run that has the row stays."""
    task.feed([record(L, label("id-3", T + 60))], caught_up=False)
    task.feed([watermark(P, T + 3.5 * HOUR), watermark(L, T + 3.5 * HOUR)], batch_sizes=1, caught_up=False)
    before = {key for key in task.changelog if key.startswith("run/")}
    for i in range(12):
        task.feed([record(P, prediction(f"more-{i}", T + 3.5 * HOUR + i))], caught_up=False)
    after = {key for key in task.changelog if key.startswith("run/")}
    first = min(before)
    assert first in after
    assert before - after


@pytest.mark.parametrize("files", ["none", "old", "lost", "used"])
def test_it_stays_forgotten(tmp_path: Path, files: str) -> None:
    folder = None if files == "none" else TaskFolder(tmp_path / "state", OWNER)
    task = harness(control(), FEW_ROWS, folder=folder)
    task.feed([record(P, prediction(f"id-{i}", T + i)) for i in range(40)], caught_up=False)
    if files == "old":
        task.checkpoint()
        shutil.copytree(tmp_path / "state", tmp_path / "old")
    joined_and_forgotten(task)
    if files == "used":
        task.checkpoint()
    elif folder is not None:
        shutil.rmtree(folder.path)
        if files == "old":
            shutil.copytree(tmp_path / "old", folder.path)
    task.restart()
    # A revision that comes after the revision horizon, and well within the label horizon: nobody is there for it.
    task.feed([record(L, label("id-3", T + 3.6 * HOUR, revision=1))], caught_up=False)
    assert totals(task) == {
        "predictions": 52,
        "predictions_joined": 1,
        "predictions_pending": 51,
        "labels": 2,
        "labels_joined": 1,
        "labels_pending": 1,
    }
