"""Local files that are damaged, foreign or in use; a disk that is full."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from streams.engine.errors import StateFolderError
from streams.engine.losses import Losses
from streams.local.bits import Bits
from streams.local.errors import StorageError
from streams.local.instance import FolderInUseError, InstanceFolder, _checksum

sys.path.insert(0, str(Path(__file__).parents[2] / "golden" / "state"))

from write_state import N, go_on, served, task, truths


def rewrite_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    """Change a manifest as somebody would who knows its checksum."""
    path = folder / "manifest.json"
    written = json.loads(path.read_text())
    del written["checksum"]
    change(written)
    path.write_text(json.dumps({**written, "checksum": _checksum(written)}))


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


def one_run(folder: Path) -> Path:
    return sorted(folder.glob("*.run"))[0]


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a run file": (lambda folder: flip(one_run(folder), 1.0), "damaged: its section"),
    "a byte of a header": (lambda folder: flip(one_run(folder), 0.001), "does not begin like a run file"),
    "a run file cut off": (lambda folder: one_run(folder).open("r+b").truncate(9_000), "bytes long: expected"),
    "an empty run file": (lambda folder: one_run(folder).write_bytes(b""), "does not begin like a run file"),
    "a run file gone": (lambda folder: one_run(folder).unlink(), "cannot be read"),
    "a byte of the snapshot": (lambda folder: flip(next(folder.glob("snapshot-*")), 0.5), "damaged"),
    "no snapshot": (lambda folder: next(folder.glob("snapshot-*")).unlink(), "cannot be read"),
    "no JSON": (lambda folder: flip(folder / "manifest.json", 0.0), "cannot be read"),
    "another position": (
        lambda folder: (folder / "manifest.json").write_text(
            (folder / "manifest.json").read_text().replace('"position": ', '"position": 1')
        ),
        "its checksum is",
    ),
    "another cluster": (
        lambda folder: rewrite_manifest(folder, lambda m: m["owner"].update(cluster_id="other")),
        "is of cluster_id 'other': expected 'golden'",
    ),
    "another application": (
        lambda folder: rewrite_manifest(folder, lambda m: m["owner"].update(application_id="other")),
        "is of application_id 'other'",
    ),
    "another partition": (
        lambda folder: rewrite_manifest(folder, lambda m: m["owner"].update(partition=3)),
        "is of partition 3",
    ),
    "a later commit": (
        lambda folder: rewrite_manifest(folder, lambda m: m["state"].update(position=10_000)),
        "of commit 10000: expected at most",
    ),
}


@pytest.fixture
def whole(tmp_path: Path) -> tuple[object, Path]:
    """A task with files of its last commit."""
    made = task(tmp_path / "state")
    made.feed([*served(N), *truths(0, N // 2)], batch_sizes=40)
    made.checkpoint()
    return made, tmp_path / "state"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_dropped_said_and_restored(whole: tuple, tmp_path: Path, damage: str) -> None:
    made, folder = whole
    spoil, said = DAMAGES[damage]
    spoil(folder)
    with capture_logs() as logs:
        made.restart()
    (dropped,) = [entry for entry in logs if entry["event"] == "local_state_dropped"]
    assert said in dropped["reason"]
    assert made.n_restored == len(made.changelog)
    reference = task(tmp_path / "reference")
    reference.feed([*served(N), *truths(0, N // 2)], batch_sizes=40)
    assert go_on(made) == go_on(reference)


def test_intact_files_are_used_and_lost_ones_are_not_missed(whole: tuple) -> None:
    made, folder = whole
    made.feed(truths(N // 2, N // 2 + 30), batch_sizes=30)
    with capture_logs() as logs:
        made.restart()
    assert made.n_restored < 5 < len(made.changelog)
    assert not logs
    shutil.rmtree(folder)
    made.restart()
    assert made.n_restored == len(made.changelog)


def test_files_of_another_state_under_the_same_name_are_dropped(whole: tuple, tmp_path: Path) -> None:
    """The topic was created anew: as many commits, but of another beginning."""
    made, folder = whole
    other = task(tmp_path / "other")
    other.now_ms = 77
    other.feed(served(N)[: N // 2], batch_sizes=1)
    shutil.rmtree(tmp_path / "other")
    shutil.copytree(folder, tmp_path / "other")
    assert other.seq > made.seq
    with capture_logs() as logs:
        other.restart()
    assert [entry["reason"] for entry in logs] == [
        "local files are of a state that began at 0: expected 77, as the changelog says"
    ]


def test_leftovers_are_cleared_away(whole: tuple) -> None:
    made, folder = whole
    for name in ("x-rows-000099.run", "y.run.part", "snapshot-000000000001"):
        (folder / name).write_bytes(b"left by a crash")
    made.restart()
    assert not [path for path in folder.iterdir() if path.read_bytes() == b"left by a crash"]


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    owner = {"application_id": "a", "stage": "profiler", "cluster_id": "c"}
    first, second = InstanceFolder(tmp_path, **owner), InstanceFolder(tmp_path, **owner)
    first.open()
    with pytest.raises(FolderInUseError, match="in use by another process: every worker needs"):
        second.open()
    first.close()
    second.open()
    second.close()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Lets files grow to so many bytes only: what a full disk looks like to who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 100, 9_000, 17_000])
def test_a_full_disk_stops_loudly_and_loses_nothing(
    tmp_path: Path, small_disk: Callable[[int], None], limit: int
) -> None:
    made = task(tmp_path / "state")
    made.feed(served(N)[:30], batch_sizes=30)
    made.checkpoint()
    small_disk(limit)
    with pytest.raises(StorageError, match=r"make room in engine\.state_folder"):
        made.feed(served(N)[30:], batch_sizes=20)
    n_taken = made.positions["ml.predictions.v1"]
    small_disk(resource.RLIM_INFINITY)
    made.restart()
    made.feed([*served(N)[n_taken:], *truths(0, N // 2)], batch_sizes=40)
    reference = task(tmp_path / "reference")
    reference.feed([*served(N), *truths(0, N // 2)], batch_sizes=40)
    assert go_on(made) == go_on(reference)


def test_a_full_disk_ends_the_worker() -> None:
    with pytest.raises(StateFolderError, match="task 0: no room") as caught:
        Losses(5, who="task 0").judge(StorageError("no room"), now=0.0, taking_over=False)
    assert caught.value.exit_code == 5


def test_bits() -> None:
    bits = Bits(21)
    bits.clear(np.array([0, 7, 8, 20]))
    alive = [i not in {0, 7, 8, 20} for i in range(21)]
    assert bits.n_set == 17
    assert bits.at(np.arange(21)).tolist() == alive
    again = Bits(21, bits.packed())
    assert again.n_set == 17
    for start in range(21):
        for end in range(start, 22):
            assert again.between(start, end).tolist() == alive[start:end]
