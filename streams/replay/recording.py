"""A recording on disk, in the order of its times: predictions, labels, and the rows that make the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.models import ModelSpec
from streams.replay.source import ACTUAL, LABEL_TIME, TIME, Source
from streams.replay.spool import Spool, cut_times

SLICE_ROWS: Final = 50_000
Progress = Callable[[str, int], None]
"""Takes what is being done, and rows done since it was last called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Consecutive events: predictions and labels, each in the order of their times; None where there are none."""

    predictions: Any | None
    labels: Any | None


class Recording:
    """What was recorded, ready to be replayed any number of times.

    Parameters
    ----------
    folder
        For what is spooled; the caller removes it.
    """

    def __init__(self, folder: Path) -> None:
        self.predictions = Spool(folder / "predictions", TIME)
        self.labels = Spool(folder / "labels", LABEL_TIME)

    @classmethod
    def load(
        cls, source: Source, spec: ModelSpec, folder: Path, progress: Progress, *, shuffle: int | None = None
    ) -> Recording:
        """Read files, and shuffle them where a seed is given."""
        found = cls(folder)
        tables = _counted((table for table, _ in source.rows(spec)), progress)
        if shuffle is not None:
            # Here and not above: nobody else needs it.
            from streams.replay.shuffle import shuffled  # noqa: PLC0415

            tables = shuffled(tables, source.label_rows(spec), folder / "unshuffled", seed=shuffle)
        for table in tables:
            found.add(table, spec)
        if shuffle is None:
            for table in source.label_rows(spec):
                found.labels.add(_wire_labels(table, spec))
        return found

    def add(self, table: Any, spec: ModelSpec) -> None:
        """Take rows of a file that has predictions, and maybe their labels."""
        both = [ACTUAL, LABEL_TIME]
        model = pa.array([spec.model_name] * table.num_rows).dictionary_encode()
        environment = pa.array([spec.environment] * table.num_rows).dictionary_encode()
        if ACTUAL in table.column_names:
            labelled = table.filter(table.column(ACTUAL).is_valid())
            self.labels.add(_wire_labels(labelled.select(["prediction_id", *both]), spec))
        wire = table.select([name for name in table.column_names if name not in both])
        self.predictions.add(wire.append_column("model_name", model).append_column("environment", environment))

    def slices(self, rows: int = SLICE_ROWS) -> Iterator[Slice]:
        """All of it in order, cut at times so that a slice has about so many events."""
        cuts = cut_times([self.predictions, self.labels], rows)
        for served, known in zip(self.predictions.slices(cuts), self.labels.slices(cuts), strict=True):
            yield Slice(predictions=served, labels=known)

    @property
    def span(self) -> tuple[float, float]:
        """First and last prediction, in seconds since the epoch."""
        samples = self.predictions.samples
        return float(samples[0]), float(samples[-1])

    @property
    def end(self) -> float:
        """The last event of either kind."""
        return max(float(spool.samples[-1]) for spool in (self.predictions, self.labels) if spool.n_rows)

    def first_rows(self, n: int) -> tuple[float, float]:
        """The time from the first prediction to the first one that is not among the first n, as [start, end)."""
        start, before = self.span[0], 0
        cuts = cut_times([self.predictions], SLICE_ROWS)
        for table in self.predictions.slices(cuts):
            if table is None:
                continue
            if before + table.num_rows > n:
                return start, float(table.column(TIME)[n - before].as_py())
            before += table.num_rows
        return start, float(np.nextafter(self.span[1], np.inf))

    def between(self, start: float, end: float) -> tuple[Any, Any]:
        """Predictions of [start, end), and their labels: tables of the wire."""
        served = [
            table.filter(pc.greater_equal(table.column(TIME), start))
            for table in self.predictions.slices([start, end])
            if table is not None
        ]
        chosen = pa.concat_tables(served, promote_options="permissive") if served else pa.table({"prediction_id": []})
        ids = chosen.column("prediction_id").combine_chunks()
        known = [
            table.filter(pc.is_in(table.column("prediction_id"), value_set=ids))
            for table in self.labels.slices(cut_times([self.labels], SLICE_ROWS) if self.labels.n_rows else [])
            if table is not None
        ]
        return chosen, pa.concat_tables(known, promote_options="permissive") if known else None


def _counted(tables: Iterable[Any], progress: Progress) -> Iterator[Any]:
    for table in tables:
        progress("reading", table.num_rows)
        yield table


def _wire_labels(table: Any, spec: ModelSpec) -> Any:
    """Labels as the topic has them."""
    name = "actual_value" if pa.types.is_floating(table.column(ACTUAL).type) else "actual_label"
    n = table.num_rows
    return pa.table(
        {
            "prediction_id": table.column("prediction_id"),
            "model_name": pa.array([spec.model_name] * n).dictionary_encode(),
            "environment": pa.array([spec.environment] * n).dictionary_encode(),
            "label_timestamp": table.column(LABEL_TIME),
            name: table.column(ACTUAL),
            LABEL_TIME: table.column(LABEL_TIME),
        }
    )
