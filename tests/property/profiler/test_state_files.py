"""Rows in files are rows in memory: whatever is done to a table, and wherever a task is restarted."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from join_oracle import Oracle
from profiler_world import L, P, harness, merged, outcomes, record, totals
from test_join_properties import VIEW, interleaved, labels, named, predictions
from test_long_run import history

from streams.local.instance import TaskFolder
from streams.profiler.levels import Levels
from streams.profiler.table import Table, TableSnapshot
from streams.settings import Settings

COLUMNS = {
    "high": ("<u8", False),
    "low": ("<u8", False),
    "rid": ("<i8", False),
    "home": ("<u4", False),
    "value": ("<f8", False),
    "codes": ("<u2", True),
}
FEW_ROWS = Settings.model_validate({"engine": {"state_memory_rows": 5}})
OWNER = {"cluster_id": "c", "application_id": "a", "stage": "profiler", "partition": 0}


def new_table(folder: Path, base_rows: int = 8) -> Table:
    return Table(COLUMNS, apart=("home",), levels=Levels(folder, "t", base_rows=base_rows))


class Twins:
    """A table with files, and what it should hold."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.table = new_table(folder)
        self.truth: dict[int, dict[str, Any]] = {}
        self.draw = random.Random(seed)
        self.saved: tuple[TableSnapshot, dict[int, dict[str, Any]], set[str]] | None = None

    def append(self) -> None:
        n, width = self.draw.randrange(1, 30), self.draw.randrange(3)
        first = max(self.truth, default=-1) + 1 + self.draw.randrange(2)
        rows = {
            "high": np.array([self.draw.randrange(60) for _ in range(n)], dtype=np.uint64),
            "low": np.array([self.draw.randrange(2) for _ in range(n)], dtype=np.uint64),
            "rid": np.arange(first, first + n),
            "home": np.array([self.draw.randrange(1, 9) for _ in range(n)], dtype=np.uint32),
            "value": np.array([self.draw.random() for _ in range(n)]),
            "codes": np.array([[self.draw.randrange(9) for _ in range(width)] for _ in range(n)], dtype=np.uint16),
        }
        rows["codes"] = rows["codes"].reshape(n, width)
        self.table.append(rows)
        for i in range(n):
            self.truth[first + i] = {name: column[i].tolist() for name, column in rows.items()}

    def change(self) -> None:
        keys = [self.draw.randrange(60) for _ in range(10)]
        _, slots = self.table.find(np.array(keys, dtype=np.uint64), np.zeros(10, dtype=np.uint64))
        slots = np.unique(slots)
        values = np.array([self.draw.random() for _ in slots])
        self.table.set(slots, {"value": values})
        for rid, value in zip(self.table["rid"][slots].tolist(), values.tolist(), strict=True):
            self.truth[rid]["value"] = value

    def drop(self) -> None:
        keys = [self.draw.randrange(60) for _ in range(6)]
        _, slots = self.table.find(np.array(keys, dtype=np.uint64), np.ones(6, dtype=np.uint64))
        slots = np.unique(slots)
        for rid in self.table["rid"][slots].tolist():
            del self.truth[rid]
        self.table.drop(slots)

    def drop_by_number(self) -> None:
        wanted = np.array(sorted(self.draw.sample(sorted(self.truth), len(self.truth) // 5)), dtype=np.int64)
        places, slots = self.table.numbered(wanted)
        assert sorted(wanted[places].tolist()) == wanted.tolist() == sorted(self.table["rid"][slots].tolist())
        self.table.drop(slots)
        for rid in wanted.tolist():
            del self.truth[rid]

    def spill(self) -> None:
        self.table.spill()

    def maintain(self) -> None:
        assert self.table.levels is not None
        low = self.draw.random() / 4
        n = self.draw.randrange(40)
        for rows in self.table.levels.maintain(n, lambda rows: rows["value"] < low):
            for rid in rows["rid"].tolist():
                assert self.truth.pop(rid)["value"] < low

    def compact(self) -> None:
        assert self.table.levels is not None
        for _ in self.table.levels.compact():
            if self.draw.random() < 0.3:
                return

    def save(self) -> None:
        assert self.table.levels is not None
        names = {run.path.name for run in self.table.levels.runs}
        self.saved = self.table.snapshot(), {rid: dict(row) for rid, row in self.truth.items()}, names

    def restart(self) -> None:
        if self.saved is None:
            return
        snapshot, truth, names = self.saved
        if any(not (self.folder / name).exists() for name in names):
            return
        assert self.table.levels is not None
        self.table.levels.close()
        self.table = new_table(self.folder)
        self.table.restore(snapshot)
        self.truth = {rid: dict(row) for rid, row in truth.items()}
        for path in self.folder.iterdir():  # as a restart does
            if path.name not in names:
                path.unlink()

    def check(self) -> None:
        assert self.table.n_live == len(self.truth)
        found = {}
        for rows in self.table.scan(tuple(COLUMNS)):
            for i, rid in enumerate(rows["rid"].tolist()):
                assert rid not in found
                found[rid] = {name: rows[name][i].tolist() for name in COLUMNS}
        for rid, row in found.items():
            wanted = self.truth[rid]
            row["codes"] = row["codes"][: len(wanted["codes"])] if any(row["codes"]) else [0] * len(wanted["codes"])
            assert row == wanted
        assert len(found) == len(self.truth)
        homes = self.draw.sample(range(1, 9), 2)
        mask = np.isin(np.arange(10), homes)
        rows = self.table.chosen({"home": Mask(mask)}, lambda rows: mask[rows["home"]])
        assert rows["rid"].tolist() == sorted(rid for rid, row in self.truth.items() if row["home"] in homes)

    def check_find(self) -> None:
        keys = [(high, low) for high in range(60) for low in range(2)]
        self.draw.shuffle(keys)
        high, low = (np.array(column, dtype=np.uint64) for column in zip(*keys, strict=True))
        places, slots = self.table.find(high, low)
        got = list(zip(places.tolist(), self.table["rid"][slots].tolist(), strict=True))
        where = {key: i for i, key in enumerate(keys)}
        assert got == sorted((where[row["high"], row["low"]], rid) for rid, row in self.truth.items())


class Mask:
    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def meets(self, low: int, high: int) -> bool:
        return bool(self.mask[low : high + 1].any())


@pytest.mark.parametrize("seed", range(12))
def test_a_table_with_files_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("streams.local.merge._PIECE_ROWS", 16)
    monkeypatch.setattr("streams.local.runfile._CHUNK_BYTES", 256)
    monkeypatch.setattr("streams.profiler.levels._CHUNK_ROWS", 16)
    monkeypatch.setattr("streams.profiler.levels._LEAST_SCRUBBED", 4)
    twins = Twins(tmp_path, seed)
    steps = [
        *[twins.append] * 5, *[twins.spill] * 4, *[twins.maintain] * 4, twins.change, twins.change, twins.drop,
        twins.drop_by_number, twins.compact, twins.save, twins.restart,
    ]  # fmt: skip
    merges = 0
    for _ in range(250):
        twins.draw.choice(steps)()
        twins.check()
        assert twins.table.levels is not None
        merges += twins.table.levels._merge is not None
        if twins.draw.random() < 0.02:
            twins.check_find()
    twins.check_find()
    assert merges >= 5


def task_with_files(folder: Path) -> Any:
    return harness(VIEW, FEW_ROWS, folder=TaskFolder(folder, OWNER))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(predictions(), max_size=25),
    st.lists(labels(), max_size=25),
    st.lists(st.booleans(), max_size=50),
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.integers(0, 2**31),
)
def test_restarts_from_files_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, p_log: list[Any], l_log: list[Any], choices: list[bool], sizes: list[int],
    seed: int,
) -> None:  # fmt: skip
    oracle, draw = Oracle(p_log, l_log), random.Random(seed)
    folder = tmp_path_factory.mktemp("state")
    task = task_with_files(folder)
    rest = interleaved(p_log, l_log, choices)
    while rest:
        batch, rest = rest[: sizes[0]], rest[sizes[0] :]
        sizes = [*sizes[1:], sizes[0]]
        task.add(batch)
        task.commit(caught_up=not rest)
        if draw.random() < 0.4:
            task.checkpoint()
        if draw.random() < 0.4:
            task.restart()
    said = totals(task)
    assert said == oracle.totals
    assert named(merged(task)) == oracle.counts()
    assert [(v, c, bytes(sorted(e))) for v, c, e in outcomes(task)] == oracle.outcomes()
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_days_with_files_old_ones_and_none(tmp_path: Path, seed: int) -> None:
    """Restarts find files of the last checkpoint, of one long ago, or none; merges and forgetting go on meanwhile."""
    p_log, l_log = history(seed, 900, 72)
    records = [(e["prediction_timestamp"], P, i, e) for i, e in enumerate(p_log)]
    records += [(e["label_timestamp"], L, i, e) for i, e in enumerate(l_log)]
    for topic in (P, L):
        latest = 0.0
        for i, (at, *where) in enumerate(records):
            if where[0] == topic:
                latest = max(latest, at)
                records[i] = (latest, *where)
    rest = [record(topic, event, i) for _, topic, i, event in sorted(records, key=lambda e: e[:3])]
    draw, folder, old = random.Random(seed), tmp_path / "state", tmp_path / "old"
    task = task_with_files(folder)
    entries: dict[str, list[int]] = {"used": [], "old": [], "lost": []}
    while rest:
        n = draw.choice([1, 7, 13, 40])
        task.feed(rest[:n], batch_sizes=n, caught_up=False)
        rest = rest[n:]
        choice = draw.random()
        if choice < 0.10:
            task.checkpoint()
            task.restart()
            entries["used"].append(task.n_restored)
        elif choice < 0.13:
            task.checkpoint()
            shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(folder, old)
        elif choice < 0.16 and old.exists():
            shutil.rmtree(folder)
            shutil.copytree(old, folder)
            task.restart()
            entries["old"].append(task.n_restored)
        elif choice < 0.18:
            shutil.rmtree(folder)
            task.restart()
            entries["lost"].append(task.n_restored)
    oracle = Oracle(p_log, l_log)
    assert totals(task) == oracle.totals
    assert named(merged(task)) == oracle.counts()
    assert [(v, c, bytes(sorted(e))) for v, c, e in outcomes(task)] == oracle.outcomes()
    assert all(entries.values())
    assert max(entries["used"]) <= 4 < min(entries["lost"][1:], default=5)
    assert sum(key.startswith("run/") for key in task.changelog) < 60
    assert sum(map(len, task.changelog.values())) < 400_000
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
