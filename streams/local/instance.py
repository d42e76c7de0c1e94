"""The folder of a worker's instance, locked, and in it a folder for each task with a manifest."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import xxhash

from streams.local.disk import write_whole
from streams.local.errors import NewerStateError, StorageError, UnusableStateError
from streams.local.runfile import verify

log = structlog.get_logger(__name__)

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"


class FolderInUseError(Exception):
    """Another process holds the folder."""


class InstanceFolder:
    """One stage's folder of one worker process.

    Parameters
    ----------
    root
        `engine.state_folder`.
    application_id, stage, cluster_id
        Whose state it is.
    """

    def __init__(self, root: Path, *, application_id: str, stage: str, cluster_id: str) -> None:
        self._path = root / application_id / stage
        self._owner = {"cluster_id": cluster_id, "application_id": application_id, "stage": stage}
        self._lock: int | None = None

    def open(self) -> None:
        """Make and lock it.

        Raises
        ------
        FolderInUseError
            Where another process has it.
        StorageError
            Where it cannot be made.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            msg = (
                f"{self._path} is in use by another process: every worker needs a"
                " PLUMBLINE_ENGINE_STATE_FOLDER of its own"
            )
            raise FolderInUseError(msg) from error
        except OSError as error:
            msg = (
                f"{self._path} cannot be used ({error.strerror}): set PLUMBLINE_ENGINE_STATE_FOLDER to a"
                " writable folder"
            )
            raise StorageError(msg) from error

    def close(self) -> None:
        """Unlock it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def task(self, partition: int) -> TaskFolder:
        """The folder of a partition's task."""
        return TaskFolder(self._path / f"{partition:05d}", {**self._owner, "partition": partition})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What local files are of.

    Attributes
    ----------
    position
        Offset of a commit record in the changelog; what it and later ones say is to be read on top.
    seq
        Number of the commit.
    life
        The changelog's at that time.
    snapshot, snapshot_checksum
        File of the Processor's checkpoint.
    files
        Run files that belong to it.
    """

    position: int
    seq: int
    snapshot: str
    snapshot_checksum: int
    files: list[str]
    life: str = ""


class TaskFolder:
    """Local files of one task.

    Parameters
    ----------
    path
        Where they are.
    owner
        Cluster, application, stage and partition.
    """

    def __init__(self, path: Path, owner: dict[str, Any]) -> None:
        self.path = path
        self._owner = owner

    def load(self) -> tuple[Manifest, bytes] | None:
        """Return the manifest and the snapshot, with all files verified; None where there are none.

        Raises
        ------
        UnusableStateError
            Where anything is damaged, missing, or belongs to another state.
        NewerStateError
            Where a newer version wrote it.
        """
        manifest = self._manifest()
        if manifest is None:
            self.drop()
            return None
        try:
            snapshot = (self.path / manifest.snapshot).read_bytes()
        except OSError as error:
            msg = f"{self.path / manifest.snapshot} cannot be read: {error.strerror}"
            raise UnusableStateError(msg) from error
        if xxhash.xxh3_64_intdigest(snapshot) != manifest.snapshot_checksum:
            msg = f"{self.path / manifest.snapshot} is damaged: it has another checksum than when it was written"
            raise UnusableStateError(msg)
        for name in manifest.files:
            verify(self.path / name)
        self._clean(manifest)
        return manifest, snapshot

    def _manifest(self) -> Manifest | None:
        path = self.path / _MANIFEST
        try:
            written = json.loads(path.read_bytes())
            version = written["format"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{path} cannot be read: {error}"
            raise UnusableStateError(msg) from error
        if isinstance(version, int) and version > FORMAT:
            msg = (
                f"{path} has format {version}: expected at most {FORMAT}; a newer version wrote these files. Run that"
                " one, or delete them: the changelog has all of it, unless a newer version wrote that too"
            )
            raise NewerStateError(msg)
        checksum = written.pop("checksum", None)
        if checksum != _checksum(written):
            msg = f"{path} is damaged: its checksum is {checksum}, expected {_checksum(written)}"
            raise UnusableStateError(msg)
        for name, wanted in self._owner.items():
            if written["owner"].get(name) != wanted:
                msg = f"{path} is of {name} {written['owner'].get(name)!r}: expected {wanted!r}"
                raise UnusableStateError(msg)
        return Manifest(**written["state"])

    def save(self, *, position: int, seq: int, snapshot: bytes, files: list[str], life: str = "") -> None:
        """Write a checkpoint; the old one holds until this one is complete.

        Raises
        ------
        StorageError
            Where the disk does not take it.
        """
        name = f"snapshot-{seq:012d}"
        write_whole(self.path / name, snapshot)
        manifest = Manifest(
            position=position,
            seq=seq,
            snapshot=name,
            snapshot_checksum=xxhash.xxh3_64_intdigest(snapshot),
            files=files,
            life=life,
        )
        written: dict[str, Any] = {"format": FORMAT, "owner": self._owner, "state": asdict(manifest)}
        written["checksum"] = _checksum(written)
        write_whole(self.path / _MANIFEST, json.dumps(written, indent=1).encode())
        self._clean(manifest, keep_parts=True)

    def _clean(self, manifest: Manifest, *, keep_parts: bool = False) -> None:
        """Delete what the manifest does not name."""
        kept = {_MANIFEST, manifest.snapshot, *manifest.files}
        for path in self.path.iterdir():
            if path.name not in kept and not (keep_parts and path.name.endswith(".part")):
                path.unlink()

    def drop(self, reason: str | None = None) -> None:
        """Delete all files of the task, and make the folder anew; a reason is said in the log."""
        if reason is not None:
            log.warning("local_state_dropped", folder=str(self.path), reason=reason)
        try:
            shutil.rmtree(self.path, ignore_errors=False) if self.path.exists() else None
            self.path.mkdir(parents=True)
        except OSError as error:
            msg = f"{self.path} cannot be made anew ({error.strerror})"
            raise StorageError(msg) from error


def _checksum(written: dict[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(written, sort_keys=True).encode())
