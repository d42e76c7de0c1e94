"""Rows put into the order of their times on disk: sorted runs, merged slice by slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_SAMPLE_EVERY: Final = 256
"""Of a run's sorted times every so many-th is kept in memory, to know where to cut."""


class Spool:
    """Sorted runs in a folder; what memory holds is a sample of their times.

    Parameters
    ----------
    folder
        An empty one of its own.
    time
        Name of the column with the times, in seconds.
    """

    def __init__(self, folder: Path, time: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._time = folder, time
        self._runs: list[Path] = []
        self._samples: list[NDArray[np.float64]] = []
        self.n_rows = 0

    def add(self, table: Any) -> None:
        """Write a run; rows of one time stay in their order."""
        if not table.num_rows:
            return
        times = np.asarray(table.column(self._time))
        if (np.diff(times) < 0).any():
            order = np.argsort(times, kind="stable")
            table, times = table.take(order), times[order]
        path = self._folder / f"{len(self._runs):06d}.arrow"
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        self._runs.append(path)
        self._samples.append(np.append(times[::_SAMPLE_EVERY], times[-1]))
        self.n_rows += table.num_rows

    @property
    def samples(self) -> NDArray[np.float64]:
        """Some of the times, sorted; the first and the last are among them."""
        return np.sort(np.concatenate(self._samples)) if self._samples else np.empty(0)

    def slices(self, cuts: Sequence[float]) -> Iterator[Any]:
        """Tables of the rows before each cut that none before it had, in order of time; None where there are none.

        Parameters
        ----------
        cuts
            Increasing, in seconds.
        """
        waiting = list(range(len(self._runs)))
        opened: dict[int, tuple[Any, NDArray[np.float64], int]] = {}
        starts = [float(sample[0]) for sample in self._samples]
        for cut in cuts:
            for number in [n for n in waiting if starts[n] < cut]:
                table = pa.ipc.open_file(pa.memory_map(str(self._runs[number]))).read_all()
                opened[number] = (table, np.asarray(table.column(self._time)), 0)
                waiting.remove(number)
            parts = []
            for number in sorted(opened):
                table, times, done = opened[number]
                end = int(np.searchsorted(times, cut))
                parts.append(table.slice(done, end - done))
                if end == len(times):
                    del opened[number]
                else:
                    opened[number] = (table, times, end)
            yield self._merged([part for part in parts if part.num_rows])

    def _merged(self, parts: Sequence[Any]) -> Any | None:
        if not parts:
            return None
        table = pa.concat_tables(parts, promote_options="permissive")
        times = np.asarray(table.column(self._time))
        return table.take(np.argsort(times, kind="stable")) if len(parts) > 1 else table

    def whole(self) -> Any:
        """All runs as one table that is mapped from disk, in the order in which they were written."""
        runs = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in self._runs]
        return pa.concat_tables(runs, promote_options="permissive")


def cut_times(spools: Sequence[Spool], rows: int) -> list[float]:
    """Times that cut spools into slices of about so many rows together; the last one is after everything."""
    samples = np.sort(np.concatenate([spool.samples for spool in spools]))
    if not len(samples):
        return []
    total = sum(spool.n_rows for spool in spools)
    n_slices = max(1, round(total / rows))
    picks = samples[np.linspace(0, len(samples) - 1, n_slices + 1).astype(int)[1:-1]]
    return [*(cut for cut in np.unique(picks).tolist() if cut > samples[0]), float("inf")]
