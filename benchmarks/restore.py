"""Pending predictions: what they cost in memory, on disk and in the changelog, and how long restoring them takes.

`python -m benchmarks.restore --rows 10000000` starts Apache Kafka, writes as many pending predictions through the
profiler's own commits (the decoding of JSON alone is left out: the columns of one batch are given out again with new
ids and times), and then starts a real runner on what is there: with its local files, without them, and without any
folder, each in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import multiprocessing
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import uvloop

from benchmarks.events import N_CATEGORICAL, N_NUMERIC, START, events
from benchmarks.pipeline import control, resident_mb, spec
from brokers.kafka import KafkaBroker
from schemas import topics
from streams.control.view import ControlView
from streams.engine.changelog import FORMAT, CommitRecord, new_life
from streams.engine.commit import Commit, TransactionCommitter
from streams.engine.keep import Keep
from streams.engine.processor import CommitContext, ListRecord
from streams.engine.runner import StageRunner
from streams.engine.state_folder import open_state_folder
from streams.engine.topics import TopicNames, ensure_topics
from streams.ingest.columns import EventColumns
from streams.profiler.batch import ModelBatch
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, StageName
from streams.stages import STAGES

PER_COMMIT = 25_000
ROWS_PER_SECOND = 20.0
"""Of event time: ten million rows are six days of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """One start of a runner."""

    seconds: float
    resident_megabytes: float
    peak_megabytes: float


def settings_of(bootstrap_servers: str, folder: Path | None) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap_servers},
            "topics": {"events_partitions": 1, "models_partitions": 1},
            "engine": {"state_folder": folder},
        }
    )


def view() -> ControlView:
    made = control()
    made.apply(topics.MODELS.name, spec().model_copy(update={"label_horizon": timedelta(days=14)}).to_bytes())
    return made


def template(processor: ProfilerProcessor) -> tuple[str, ModelBatch]:
    """The columns of one commit, read from JSON."""
    batch = processor._batch  # what `add` fills
    for start in range(0, PER_COMMIT, 500):
        records = [
            ListRecord(topic=topics.PREDICTIONS.name, offset=start + i, key=key, value=value)
            for i, (key, value, _) in enumerate(events(500, seed=start, first=start))
        ]
        batch.add(topics.PREDICTIONS.name, records)
    ((key, model),) = batch.models.items()
    return key, model


def fresh(columns: EventColumns, draw: np.random.Generator, first: int) -> EventColumns:
    """The same columns with new ids and times."""
    n = len(columns)
    return dataclasses.replace(
        columns,
        hash_high=draw.integers(0, 2**64, n, dtype=np.uint64),
        hash_low=draw.integers(0, 2**64, n, dtype=np.uint64),
        timestamp_ms=np.round((START + (first + np.arange(n)) / ROWS_PER_SECOND) * 1000).astype(np.int64)
        + draw.integers(0, 1000, n),
        order=np.arange(n),
    )


async def write(settings: Settings, n_rows: int) -> dict[str, Any]:
    """Commit pending predictions; returns what they cost at a tenth of them and at the end."""
    names = TopicNames(settings)
    await ensure_topics(settings, names)
    processor = ProfilerProcessor(partition=0, settings=settings, control=view())
    instance = await open_state_folder(StageName.PROFILER, settings)
    assert instance is not None
    folder = instance.task(0)
    folder.drop()
    processor.use_folder(folder.path)
    processor.restored()
    life = new_life()
    keep = Keep(folder, processor, position=-1, seq=0, life=life)
    committer = TransactionCommitter(settings, names, StageName.PROFILER, 0)
    await committer.start()
    key, model = template(processor)
    ((plan_id, parts),) = model.predictions.items()
    columns = EventColumns.concatenate(parts)
    processor._batch = processor._new_batch()
    draw = np.random.default_rng(1)
    marks: list[float] = []
    slowest = spent = 0.0
    n_bytes = 0
    for seq in range(1, n_rows // PER_COMMIT + 1):
        batch = ModelBatch(model.names, predictions={plan_id: [fresh(columns, draw, (seq - 1) * PER_COMMIT)]})
        processor._batch.models[key] = batch
        started = time.perf_counter()
        context = CommitContext(partition=0, seq=seq, positions={}, previous_positions={}, now_ms=1, caught_up=False)
        staged = processor.stage(context, heartbeat=False)
        cpu = time.perf_counter() - started
        n_bytes += sum(len(change.value or b"") for change in staged.changes)
        positions = {names.in_use(topic.name): 0 for topic in STAGES[StageName.PROFILER].inputs}
        record = CommitRecord(format=FORMAT, seq=seq, generation=1, positions=positions, life=life)
        await committer.commit(Commit(record=record, changes=staged.changes, outputs=(), dead_letters=()))
        started = time.perf_counter()
        processor.apply(staged)
        keep.committed(committer.written_at, seq)
        cpu += time.perf_counter() - started
        slowest, spent = max(slowest, cpu), spent + cpu
        if seq * PER_COMMIT % (n_rows // 10) == 0:
            gc.collect()
            marks.append(resident_mb())
    keep.close()
    await committer.close()
    instance.close()
    on_disk = sum(path.stat().st_size for path in folder.path.iterdir())
    return {
        "resident_megabytes": [round(mb, 1) for mb in marks],
        "resident_ratio": marks[-1] / marks[0],
        "stage_and_apply_us_per_row": 1e6 * spent / n_rows,
        "slowest_commit_seconds": slowest,
        "bytes_per_row_in_changes": n_bytes / n_rows,
        "bytes_per_row_in_files": on_disk / n_rows,
    }


async def restore(settings: Settings, n_rows: int) -> Restored:
    """Start a runner, and wait until it is ready."""
    made: list[ProfilerProcessor] = []

    def make_processor(partition: int) -> ProfilerProcessor:
        made.append(ProfilerProcessor(partition=partition, settings=settings, control=view()))
        return made[-1]

    runner = StageRunner(StageName.PROFILER, settings, TopicNames(settings), make_processor)
    started = time.perf_counter()
    await runner.start()
    await runner.wait_until_ready(timeout_seconds=600)
    seconds = time.perf_counter() - started
    gc.collect()
    resident = resident_mb()
    n_found = sum(state.rows.n_live for state in made[-1]._states.values())
    if n_found != n_rows:
        msg = f"{n_found} rows were restored: expected {n_rows}"
        raise RuntimeError(msg)
    await runner.stop()
    return Restored(seconds=seconds, resident_megabytes=resident, peak_megabytes=_peak_mb())


def _peak_mb() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def in_process(step: str, bootstrap_servers: str, folder: Path | None, n_rows: int) -> dict[str, Any]:
    """Run a step in a process of its own, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_step, (step, bootstrap_servers, folder, n_rows))


def _step(step: str, bootstrap_servers: str, folder: Path | None, n_rows: int) -> dict[str, Any]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    gc.set_threshold(50_000, 50, 50)
    settings = settings_of(bootstrap_servers, folder)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        return loop.run(write(settings, n_rows)) if step == "write" else asdict(loop.run(restore(settings, n_rows)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="pending predictions")
    options = parser.parse_args()
    n_rows = max(PER_COMMIT * 10, options.rows // (PER_COMMIT * 10) * PER_COMMIT * 10)
    with tempfile.TemporaryDirectory() as scratch, KafkaBroker(Path(scratch) / "kafka") as broker:
        folder = Path(scratch) / "state"
        said: dict[str, Any] = {"n_rows": n_rows, "n_features": N_NUMERIC + N_CATEGORICAL}
        said["written"] = in_process("write", broker.bootstrap_servers, folder, n_rows)
        log = [path for path in Path(scratch).glob("kafka/**/*.log") if "profiler-changelog" in str(path)]
        said["log_megabytes"] = sum(path.stat().st_size for path in log) / 1e6
        said["bytes_per_row_in_log"] = 1e6 * said["log_megabytes"] / n_rows
        print(f"{n_rows:,} pending; MB resident at every tenth of them: {said['written']['resident_megabytes']}")
        for name, with_folder in (("files intact", True), ("files lost", True), ("no folder", False)):
            if name == "files lost":
                shutil.rmtree(folder)
            took = said[name] = in_process("restore", broker.bootstrap_servers, folder if with_folder else None, n_rows)
            print(f"{name:<14}{took['seconds']:>8.1f} s{took['resident_megabytes']:>8.0f} MB", end="")
            print(f"{took['peak_megabytes']:>8.0f} MB at most")
        print(json.dumps(said))


if __name__ == "__main__":
    main()
