"""Rows of a recording in random order: what a configuration raises when there is nothing to find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from streams.replay.source import ACTUAL, LABEL_TIME, TIME
from streams.replay.spool import Spool

_ROWS: Final = 50_000


def shuffled(tables: Iterable[Any], labels: Iterable[Any], folder: Path, *, seed: int) -> Iterator[Any]:
    """Deal the rows out anew over the times at which there was one; a label stays as long after its prediction.

    What a row holds is then exchangeable, and no change is left in the stream: whatever is raised is false. The
    rows lie on disk meanwhile; memory holds their permutation and times, 24 bytes a row, and labels that came in
    files of their own.

    Parameters
    ----------
    tables
        Rows of predictions, as `Source.rows` gives them.
    labels
        Rows of `Source.label_rows`; where there are some, each prediction gets the last one of its id.
    folder
        For the rows.
    seed
        Of the order.
    """
    apart = [table for table in labels if table.num_rows]
    spool = Spool(folder, TIME)
    for table in tables:
        spool.add(table if not apart else _joined(table, apart))
    if not spool.n_rows:
        return
    whole = spool.whole()
    times = np.asarray(whole.column(TIME))
    slots = np.sort(times)
    order = np.random.default_rng(seed).permutation(len(times))
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        at = slots[start : start + _ROWS]
        yield _moved(whole.take(rows), at, at - times[rows])


def _moved(table: Any, at: Any, by: Any) -> Any:
    """A table at other times."""
    times = pa.array(at)
    for name in (TIME, "prediction_timestamp"):
        table = table.set_column(table.column_names.index(name), name, times)
    if LABEL_TIME not in table.column_names:
        return table
    known = np.asarray(table.column(LABEL_TIME)) + by
    return table.set_column(table.column_names.index(LABEL_TIME), LABEL_TIME, pa.array(known, from_pandas=True))


def _joined(table: Any, labels: list[Any]) -> Any:
    """Predictions with the last label of their id."""
    known = pa.concat_tables(labels)
    at = {id_: row for row, id_ in enumerate(known.column("prediction_id").to_pylist())}
    rows = pa.array([at.get(id_) for id_ in table.column("prediction_id").to_pylist()], pa.int64())
    for name in (ACTUAL, LABEL_TIME):
        table = table.append_column(name, known.column(name).take(rows))
    return table
