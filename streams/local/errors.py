"""What can be wrong with local files: either they are of no use, or the disk is."""

from __future__ import annotations


class UnusableStateError(Exception):
    """A local file cannot be trusted or does not belong here: it is dropped, and the log is read instead."""


class NewerStateError(ValueError):
    """A newer version wrote the state; nothing is dropped, a person decides."""


class LostStateError(ValueError):
    """The changelog does not hold what its own records say that it holds."""


class StorageError(Exception):
    """The disk does not take what has to be written: full, read-only or broken."""
