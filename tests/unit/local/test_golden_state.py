"""State that older versions wrote is read, from their files and from their changelogs; newer state is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard

from streams.engine.errors import ChangelogFormatError
from streams.engine.harness import Harness
from streams.engine.losses import Losses
from streams.local import instance, runfile
from streams.local.errors import NewerStateError
from streams.profiler import keeping

GOLDEN = Path(__file__).parents[2] / "golden" / "state"
sys.path.insert(0, str(GOLDEN))

from write_state import OWNER, go_on, task  # noqa: E402

VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir() and path.name[0].isdigit())


def restored(version: str, folder: Path, *, with_files: bool) -> Harness:
    """A task that found the fixture of a version."""
    if with_files:
        shutil.copytree(GOLDEN / version / "local", folder)
    made = task(folder)
    packed = (GOLDEN / version / "changelog.zst").read_bytes()
    written = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(packed))
    made.changelog = {key: value for key, value, _ in written["entries"]}
    made._written_at = {key: at for key, _, at in written["entries"]}
    made.seq = written["seq"]
    if with_files:  # the first start of `task` has seen no changelog, and has dropped what was newer
        shutil.rmtree(folder)
        shutil.copytree(GOLDEN / version / "local", folder)
    made.restart()
    return made


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("with_files", [False, True])
def test_state_of_older_versions_is_read(tmp_path: Path, version: str, with_files: bool) -> None:
    made = restored(version, tmp_path / "state", with_files=with_files)
    n_all = len(made.changelog)
    assert made.n_restored < n_all if with_files else made.n_restored == n_all
    assert go_on(made) == json.loads((GOLDEN / version / "expected.json").read_text())


def test_there_is_state_of_this_version() -> None:
    assert VERSIONS


def _newer_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": instance.FORMAT + 1}))


def _newer_run_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfile, "FORMAT", runfile.FORMAT - 1)  # to an older worker the files are newer


def _newer_snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "FORMAT", keeping.FORMAT - 1)


@pytest.mark.parametrize("what", ["manifest", "run file", "snapshot"])
def test_newer_local_files_are_refused_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    made = restored(VERSIONS[-1], tmp_path / "state", with_files=True)
    folder = tmp_path / "state"
    made.checkpoint()
    if what == "manifest":
        _newer_manifest(folder)
    else:
        (_newer_run_file if what == "run file" else _newer_snapshot)(folder, monkeypatch)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NewerStateError, match=r"format \d+: expected at most \d+; a newer version"):
        made.restart()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_newer_run_in_the_changelog_is_refused(tmp_path: Path) -> None:
    made = restored(VERSIONS[-1], tmp_path / "state", with_files=False)
    key = next(key for key in made.changelog if key.startswith("run/"))
    made.changelog[key] = msgspec.msgpack.encode([2, [], "what a later version adds"])
    with pytest.raises(NewerStateError, match="format 2: expected at most 1; a newer version has written"):
        made.restart()


def test_a_refusal_ends_the_worker(tmp_path: Path) -> None:
    losses = Losses(5, who="task 0 of stage profiler")
    with pytest.raises(ChangelogFormatError, match="task 0 of stage profiler: format 9"):
        losses.judge(NewerStateError("format 9"), now=0.0, taking_over=True)
    assert OWNER["stage"] == "profiler"


def test_a_run_that_the_changelog_lacks_is_noticed(tmp_path: Path) -> None:
    made = restored(VERSIONS[-1], tmp_path / "state", with_files=False)
    del made.changelog[next(key for key in made.changelog if key.startswith("run/"))]
    with pytest.raises(ValueError, match="the changelog lacks 1 of"):
        made.restart()
