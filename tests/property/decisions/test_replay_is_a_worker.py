"""Replayed from files, events lead to the very windows, alerts and commands that a worker publishes of their JSON."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest

from schemas.monitors import Monitor
from schemas.references import Reference
from streams.replay.choice import Choice
from streams.replay.mapping import ColumnMapping
from streams.replay.recording import Recording
from streams.replay.results import Results
from streams.replay.run import Configuration, replay_columns
from streams.replay.source import Source, columns_of_file
from tests.property.decisions import decision_world
from tests.property.decisions.decision_world import MONITORS, SPEC, Course, Decisions, L, Log, P, Traffic

MAPPING = ColumnMapping(
    timestamp="at", id="id", prediction="said", score="score", label="truth", label_timestamp="known",
    model_version="version", features=("x", "carrier"),
)  # fmt: skip


def columns(log: Log) -> tuple[Any, Any]:
    served = pa.Table.from_pylist([
        {"id": e["prediction_id"], "at": e["prediction_timestamp"], "said": e["prediction_label"],
         "score": e["prediction_score"], "version": e["model_version"], **e["features"]} for e in log[P]
    ])  # fmt: skip
    known = pa.Table.from_pylist([
        {"id": e["prediction_id"], "truth": e["actual_label"], "known": e["label_timestamp"]} for e in log[L]
    ])  # fmt: skip
    return served, known


def write(table: Any, path: Path) -> Path:
    {".csv": pa_csv.write_csv, ".parquet": pa_parquet.write_table}.get(path.suffix, write_lines)(table, path)
    return path


def write_lines(table: Any, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def replayed(files: list[Path], folder: Path, decisions: Decisions) -> Results:
    mapping = MAPPING.check(columns_of_file(files[0])[0], "the file", labels_apart=True)
    source = Source(files=(files[0],), mapping=mapping, label_files=(files[1],))
    monitors = tuple(Monitor.model_validate({**each, "model_name": "m"}) for each in MONITORS)
    reference = next(event for _, event in decision_world.control_events() if isinstance(event, Reference))

    class Both(Results):
        def take(self, topic: str, value: bytes) -> None:
            super().take(topic, value)
            decisions.take(topic, value)

    results = Both(None)
    replay_columns(
        Recording.load(source, SPEC, folder, lambda *_: None), Configuration(spec=SPEC, monitors=monitors), Choice(),
        results, lambda *_: None, labels_at_once=True, reference=reference,
    )  # fmt: skip
    return results


@pytest.mark.parametrize(("seed", "suffix"), [(1, ".csv"), (2, ".parquet"), (3, ".jsonl")])
def test_files_in_any_order_are_a_workers_stream(
    seed: int, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = decision_world.make_log(Traffic(seed=seed))
    served, known = columns(log)
    draw = random.Random(seed)
    files = []
    for name, table in (("served", served), ("known", known)):
        order = draw.sample(range(table.num_rows), table.num_rows)
        files.append(write(table.take(order), tmp_path / f"{name}{suffix}"))

    # A recording has no deployment events; and both ends are the same moment.
    events = tuple(each for each in decision_world.control_events() if "deployments" not in each[0])
    end = max(e["label_timestamp"] for e in log[L])
    end = max(end, *(e["prediction_timestamp"] for e in log[P]))
    until = end + (SPEC.cell + SPEC.maturity + 2 * SPEC.lateness).total_seconds()
    said = json.dumps({"model_name": "m", "not_before": until}).encode()
    monkeypatch.setattr(decision_world, "control_events", lambda: events)
    monkeypatch.setattr(decision_world, "end_of_log", lambda: (said, [("ce_type", b"plumbline.watermark.v1")]))
    worker = decision_world.decide(log, Course(batch_size=500))

    replay = Decisions()
    results = replayed(files, tmp_path / "spool", replay)

    assert len(worker.windows) > 40
    assert worker.alerts
    assert replay.windows == worker.windows
    assert replay.alerts == worker.alerts
    assert replay.commands == worker.commands
    assert results.n_dead == 0
