"""Speed of stage 1: events through ingest and profiler, in memory or on a broker, beside the ceiling.

`python -m benchmarks.pipeline --in-memory` needs no broker; without the flag it starts Apache Kafka (package
`brokers`) and runs the whole loop. The ceiling is the least that any consumer has to do: fetch and decode into typed
structs, nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.events import N_CATEGORICAL, N_NUMERIC, events
from brokers.kafka import KafkaBroker
from schemas import topics
from schemas.models import ModelSpec
from schemas.profiles import Totals
from schemas.references import BuiltFrom
from streams.control.bins import reference_from_columns
from streams.control.view import ControlView
from streams.engine.lag import LagReader
from streams.engine.processor import CommitContext, ListRecord, Output, Staged
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, StageName

CHUNK = 500
FETCH_BYTES = 4 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measurement."""

    name: str
    n_events: int
    wall_seconds: float
    cpu_seconds: float
    resident_megabytes: float

    @property
    def row(self) -> str:
        """A line of the table."""
        wall, cpu = (1e6 * seconds / self.n_events for seconds in (self.wall_seconds, self.cpu_seconds))
        rate = self.n_events / self.wall_seconds
        return f"{self.name:<28}{rate:>12,.0f}{wall:>10.2f}{cpu:>10.2f}{self.resident_megabytes:>10.0f}"


HEADER = f"{'':<28}{'events/s':>12}{'wall us':>10}{'CPU us':>10}{'MB':>10}"


class Meter:
    """Wall clock and CPU between entering and leaving."""

    def __enter__(self) -> Meter:
        gc.collect()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu

    def result(self, name: str, n_events: int) -> Result:
        """What was measured."""
        return Result(
            name=name, n_events=n_events, wall_seconds=self.wall, cpu_seconds=self.cpu, resident_megabytes=resident_mb()
        )


def resident_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spec() -> ModelSpec:
    return ModelSpec(model_name="bench", positive_class="1", cell=timedelta(hours=1))


def control() -> ControlView:
    draw = random.Random(0)
    columns: dict[str, Sequence[object]] = {
        f"n{i:02d}": [draw.gauss(0, 1) for _ in range(2000)] for i in range(N_NUMERIC)
    }
    columns |= {f"c{i}": [draw.choice("abcdefgh") for _ in range(2000)] for i in range(N_CATEGORICAL)}
    view = ControlView()
    view.apply(topics.MODELS.name, spec().to_bytes())
    reference = reference_from_columns(spec(), columns, reference_id="bench", built_from=BuiltFrom(kind="recording"))
    view.apply(topics.REFERENCES.name, reference.to_bytes())
    return view


def in_memory(n: int, per_commit: int) -> list[Result]:
    predictions, labels = [], []
    for i, (key, prediction, label) in enumerate(events(n)):
        predictions.append(ListRecord(topic=topics.PREDICTIONS.name, offset=i, key=key, value=prediction))
        labels.append(ListRecord(topic=topics.LABELS.name, offset=i, key=key, value=label))
    view, settings = control(), Settings()
    return [
        _decode_only(view, settings, predictions),
        _ingest(view, settings, predictions),
        _processor(view, settings, predictions, labels, per_commit),
    ]


def _decode_only(view: ControlView, settings: Settings, predictions: Sequence[ListRecord]) -> Result:
    reader = PredictionReader(settings.ingest, Models(view, max_models=10))
    reader.read(predictions[:10], 0)
    reader.read(predictions[:10], 0)
    decode = reader._decode  # the same typed decoder, and nothing around it
    with Meter() as meter:
        for start in range(0, len(predictions), CHUNK):
            _ = [decode(record.value or b"") for record in predictions[start : start + CHUNK]]
    return meter.result("decode, predictions", len(predictions))


def _ingest(view: ControlView, settings: Settings, predictions: Sequence[ListRecord]) -> Result:
    reader = PredictionReader(settings.ingest, Models(view, max_models=10))
    with Meter() as meter:
        for start in range(0, len(predictions), CHUNK):
            reader.read(predictions[start : start + CHUNK], start)
    return meter.result("ingest, predictions", len(predictions))


def _processor(
    view: ControlView,
    settings: Settings,
    predictions: Sequence[ListRecord],
    labels: Sequence[ListRecord],
    per_commit: int,
) -> Result:
    """Predictions with labels one commit behind them: every label meets its prediction."""
    processor = ProfilerProcessor(partition=0, settings=settings, control=view)
    processor.restored()
    half = per_commit // 2
    seq, changelog = 0, 0
    with Meter() as meter:
        for start in range(0, len(predictions) + half, half):
            for log, at in ((predictions, start), (labels, start - half)):
                for chunk in range(max(at, 0), min(at + half, len(log)), CHUNK):
                    processor.add(log[chunk].topic, log[chunk : min(chunk + CHUNK, at + half)])
            seq += 1
            context = CommitContext(
                partition=0, seq=seq, positions={}, previous_positions={}, now_ms=0, caught_up=False
            )
            staged = processor.stage(context, heartbeat=False)
            changelog += sum(len(change.value or b"") for change in staged.changes)
            processor.apply(staged)
    result = meter.result("ingest + profiler, all", len(predictions) + len(labels))
    print(f"changelog before compression: {changelog / len(predictions):.0f} bytes a prediction")
    return result


async def on_broker(bootstrap_servers: str, n: int) -> list[Result]:
    """The whole loop, exactly once, beside the ceiling on the same records."""
    engine = {"commit_interval_seconds": 1.0}  # as for throughput
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": bootstrap_servers}, "engine": engine})
    names = TopicNames(settings)
    await ensure_topics(settings, names)
    async with Publisher(settings, names) as publisher, LagReader(settings, names) as lag:
        for first in range(0, n, 100_000):
            batch = list(events(min(100_000, n - first), seed=first, first=first))
            await publisher.publish_many(
                Output(topic=topics.PREDICTIONS.name, key=key, value=value) for key, value, _ in batch
            )
            await publisher.publish_many(
                Output(topic=topics.LABELS.name, key=key, value=value) for key, _, value in batch
            )
        ends = await lag.ends([topics.PREDICTIONS.name, topics.LABELS.name])
        ceiling = await _ceiling(settings, names, 2 * n)
        return [ceiling, await whole_loop(settings, names, lag, ends, 2 * n)]


async def _ceiling(settings: Settings, names: TopicNames, n: int) -> Result:
    """Fetch and decode into typed structs, and nothing else."""
    models = Models(control(), max_models=10)
    reader, labels = PredictionReader(settings.ingest, models), LabelReader(settings.ingest, models)
    reader.read([ListRecord(topic="", value=next(events(1))[1])], 0)
    reader.read([ListRecord(topic="", value=next(events(1))[1])], 0)
    decode = {names.in_use(topics.PREDICTIONS.name): reader._decode, names.in_use(topics.LABELS.name): labels._decode}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(t, p) for t in decode for p in range(settings.topics.events_partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = n
        with Meter() as meter:
            while left > 0:
                for partition, records in (await consumer.getmany(timeout_ms=200, max_records=CHUNK)).items():
                    read = decode[partition.topic]
                    _ = [read(record.value) for record in records]
                    left -= len(records)
        return meter.result("ceiling: getmany + decode", n)
    finally:
        await consumer.stop()


async def whole_loop(
    settings: Settings, names: TopicNames, lag: LagReader, ends: dict[tuple[str, int], int], n: int
) -> Result:
    """Stage 1 on what stands on its topics, until all n events of it are committed."""
    view = control()
    read = asyncio.Event()
    n_read = 0

    def committed(_stage: StageName, _partition: int, staged: Staged) -> None:
        nonlocal n_read
        n_read += sum(staged.counts.get(name, 0) for name in (Totals.PREDICTIONS, Totals.LABELS))
        if n_read >= n:
            read.set()

    runner = StageRunner(
        StageName.PROFILER,
        settings,
        names,
        lambda partition: ProfilerProcessor(partition=partition, settings=settings, control=view),
        on_committed=committed,
    )
    with Meter() as meter:
        await runner.start()
        async with asyncio.timeout(600):
            await read.wait()
    result = meter.result("whole loop, exactly once", n)
    await lag.wait_until_consumed(StageName.PROFILER, ends=ends, timeout_seconds=60)
    await runner.stop()
    return result


def say(results: Sequence[Result]) -> None:
    """A table, and a JSON line for whoever keeps records."""
    print(HEADER)
    for result in results:
        print(result.row)
    said: dict[str, object] = {"results": [asdict(result) for result in results]}
    if len(results) == 2:
        ceiling, loop = results
        said["wall_ratio"] = ceiling.wall_seconds / loop.wall_seconds
        said["cpu_ratio"] = ceiling.cpu_seconds / loop.cpu_seconds
        print(f"of the ceiling: {said['wall_ratio']:.2f} in wall time, {said['cpu_ratio']:.2f} in CPU time")
    print(json.dumps(said))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-memory", action="store_true", help="no broker: the processor on lists")
    parser.add_argument("--events", type=int, default=200_000, help="predictions; as many labels come with them")
    parser.add_argument("--per-commit", type=int, default=50_000, help="records in a commit, in memory")
    options = parser.parse_args()
    gc.set_threshold(50_000, 50, 50)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.in_memory:
        say(in_memory(options.events, options.per_commit))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaBroker(Path(folder)) as broker,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        say(loop.run(on_broker(broker.bootstrap_servers, options.events)))


if __name__ == "__main__":
    main()
