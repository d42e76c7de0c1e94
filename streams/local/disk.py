"""Writing bytes so that a full disk is an error that names the file."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from streams.local.errors import StorageError


class DiskFile:
    """A file that is written at places, and appears under its name only once it is complete.

    Parameters
    ----------
    path
        Its name in the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        try:
            self._file = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise _storage_error(self._part, error) from error
        self._open = True

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write all of it at an offset.

        Raises
        ------
        StorageError
            Where the disk does not take it.
        """
        try:
            write_all(self._file, data, at, self.path)
        except StorageError:
            self.drop()
            raise

    def finish(self, size: int) -> None:
        """Give it its name.

        Nothing is forced to the disk: after a power failure a checksum shows what is missing, and the log has it.
        """
        try:
            os.ftruncate(self._file, size)
            self._close()
            self._part.replace(self.path)
        except OSError as error:
            self.drop()
            raise _storage_error(self.path, error) from error

    def drop(self) -> None:
        """Give it up."""
        self._close()
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)

    def __enter__(self) -> DiskFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._open:
            self.drop()


def write_all(file: int, data: bytes | memoryview, at: int, path: Path) -> None:
    """Write at an offset of an open file; `path` names it in an error.

    Raises
    ------
    StorageError
        Where the disk does not take it.
    """
    left = memoryview(data).cast("B")
    try:
        while len(left):
            n = os.pwrite(file, left, at)
            left, at = left[n:], at + n
    except OSError as error:
        raise _storage_error(path, error) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file at once; the old one of its name stays until the new one is complete."""
    with DiskFile(path) as file:
        file.write(data, 0)
        file.finish(len(data))


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written ({error.strerror}): make room in engine.state_folder"
        " (PLUMBLINE_ENGINE_STATE_FOLDER), or unset it to keep the state in memory; what was committed is"
        " safe in the changelog"
    )
