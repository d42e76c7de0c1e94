"""Rows that are gone while the changelog still holds them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streams.profiler.packing import Array


@dataclass(slots=True)
class Graves:
    """Rows that are gone while the log still holds them: the mark that says so must stay as long.

    Columns: row id, home run, and the run that holds the mark.
    """

    rows: Array = field(default_factory=lambda: np.empty((3, 0), dtype=np.int64))
    labels: Array = field(default_factory=lambda: np.empty((3, 0), dtype=np.int64))

    def bury(self, kind: str, rid: Array, home: Array, mark: Array) -> None:
        """Remember rows; `kind` is `rows` or `labels`."""
        if len(rid):
            new = np.stack([rid.astype(np.int64), home.astype(np.int64), mark.astype(np.int64)])
            setattr(self, kind, np.concatenate([getattr(self, kind), new], axis=1))

    def rewritten(self, runs: Array, number: int) -> None:
        """Runs were written anew: what they held is out of the log, and marks in them moved to run `number`."""
        for kind in ("rows", "labels"):
            graves = getattr(self, kind)
            graves = graves[:, ~np.isin(graves[1], runs)]
            graves[2] = np.where(np.isin(graves[2], runs), number, graves[2])
            setattr(self, kind, graves)

    def marked_in(self, kind: str, runs: Array) -> Array:
        """Ids whose mark is in some runs, and whose rows are in none of them."""
        graves = getattr(self, kind)
        return np.asarray(graves[0][np.isin(graves[2], runs) & ~np.isin(graves[1], runs)])

    def remarked(self, kind: str, rid: Array, number: Array) -> None:
        """Marks of some rows, in order of their ids, are in other runs now."""
        graves = getattr(self, kind)
        if len(rid):
            at = np.minimum(np.searchsorted(rid, graves[0]), len(rid) - 1)
            graves[2] = np.where(rid[at] == graves[0], number[at], graves[2])

    def without(self, runs: Array) -> None:
        """Forget graves of rows that were in some runs, and those whose mark was."""
        for kind in ("rows", "labels"):
            graves = getattr(self, kind)
            setattr(self, kind, graves[:, ~np.isin(graves[1], runs) & ~np.isin(graves[2], runs)])
