"""Rows come back in the order of their times, whatever order they were in and wherever slices are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from streams.replay.spool import Spool, cut_times


@pytest.mark.parametrize("rows", [10, 700, 100_000])
def test_every_row_once_in_order(rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(rows)
    times = np.round(rng.random(5_000) * 100)  # many are equal
    spool = Spool(tmp_path, "t")
    for part in np.array_split(np.arange(5_000), 7):
        spool.add(pa.table({"t": times[part], "n": part}))
    slices = [each for each in spool.slices(cut_times([spool], rows)) if each is not None]
    found = pa.concat_tables(slices)
    assert found.column("n").to_pylist() == np.argsort(times, kind="stable").tolist()
    if rows < 5_000:
        assert len(slices) > 1


def test_two_spools_are_cut_at_the_same_times(tmp_path: Path) -> None:
    one, other = Spool(tmp_path / "1", "t"), Spool(tmp_path / "2", "t")
    one.add(pa.table({"t": np.arange(1000.0)}))
    other.add(pa.table({"t": np.arange(500.0, 1500.0)}))
    cuts = cut_times([one, other], 200)
    for left, right, cut in zip(one.slices(cuts), other.slices(cuts), cuts, strict=True):
        for part in (left, right):
            assert part is None or max(part.column("t").to_pylist()) < cut


def test_an_empty_spool_has_no_slices(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "t")
    assert cut_times([spool], 10) == []
    assert list(spool.slices([float("inf")])) == [None]
