"""Arrow batches beside JSON records: rows a second through stage 1, exactly once on Apache Kafka, and in memory.

`python -m benchmarks.arrow` decodes, bins, joins and counts the same events twice: as JSON records, and as Arrow
records of a thousand rows. Predictions and labels alike. With `--in-memory` no broker is needed; the ratio is smaller
there, since most of what a batch saves is the fetching of records.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog
import uvloop

from benchmarks.events import events
from benchmarks.pipeline import CHUNK, HEADER, Meter, Result, control, whole_loop
from brokers.kafka import KafkaBroker
from schemas import topics
from streams.engine.lag import LagReader
from streams.engine.processor import CommitContext, ListRecord, Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.producing import arrow_records
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings

ROWS_PER_COMMIT = 50_000


def measure(n: int = 300_000, rounds: int = 3) -> dict[str, Any]:
    """The whole loop on Apache Kafka, best of some rounds; `arrow_vs_json` is the ratio of rows a second of CPU time.

    Parameters
    ----------
    n
        Predictions; as many labels come with them.
    rounds
        Of each kind, in turn.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaBroker(Path(folder)) as broker,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        return _best(loop.run(_on_broker(broker.bootstrap_servers, n, rounds)))


async def _on_broker(bootstrap_servers: str, n: int, rounds: int) -> list[Result]:
    results = []
    for number in range(rounds):
        for name, outputs in (("JSON records", _json_outputs(n)), ("Arrow, 1,000 rows a record", _arrow_outputs(n))):
            settings = Settings.model_validate({
                "kafka": {"bootstrap_servers": bootstrap_servers},
                "engine": {"commit_interval_seconds": 1.0, "application_id": f"{name[:5].strip()}-{number}"},
                "topics": {"prefix": f"{name[:5].strip()}-{number}-"},
            })  # fmt: skip
            names = TopicNames(settings)
            await ensure_topics(settings, names)
            async with Publisher(settings, names) as publisher, LagReader(settings, names) as lag:
                await publisher.publish_many(outputs)
                ends = await lag.ends([topics.PREDICTIONS.name, topics.LABELS.name])
                found = await whole_loop(settings, names, lag, ends, 2 * n)
            results.append(dataclasses.replace(found, name=name))
    return results


def _json_outputs(n: int) -> Iterator[Output]:
    for key, prediction, label in events(n):
        yield Output(topic=topics.PREDICTIONS.name, key=key, value=prediction)
        yield Output(topic=topics.LABELS.name, key=key, value=label)


def _arrow_outputs(n: int) -> Iterator[Output]:
    """Batches as a busy serving system cuts them: each of a thousand rows of one partition."""
    rows = [(json.loads(prediction), json.loads(label)) for _, prediction, label in events(n)]
    n_partitions = Settings().topics.events_partitions
    for topic, side in ((topics.PREDICTIONS.name, 0), (topics.LABELS.name, 1)):
        table = pa.Table.from_pylist([pair[side] for pair in rows])
        for each in arrow_records(table, n_partitions=n_partitions):
            yield Output(topic=topic, key=None, value=each.value, headers=each.headers, partition=each.partition)


def _best(results: Sequence[Result]) -> dict[str, Any]:
    best: dict[str, Result] = {}
    for result in results:
        if result.name not in best or result.cpu_seconds < best[result.name].cpu_seconds:
            best[result.name] = result
    plain, batched = best.values()
    return {"results": [plain, batched], "arrow_vs_json": plain.cpu_seconds / batched.cpu_seconds}


def measure_in_memory(n: int = 300_000, rounds: int = 3) -> dict[str, Any]:
    """The same without a broker: the processor on lists.

    Parameters
    ----------
    n
        Predictions; as many labels come with them.
    rounds
        Of each kind, in turn.
    """
    logs = {"JSON records": _json(n), "Arrow, 1,000 rows a record": _arrow(n)}
    return _best([_process(name, log, 2 * n) for _ in range(rounds) for name, log in logs.items()])


Commits = list[list[tuple[str, list[ListRecord]]]]


def _json(n: int) -> Commits:
    predictions, labels = [], []
    for i, (key, prediction, label) in enumerate(events(n)):
        predictions.append(ListRecord(topic=topics.PREDICTIONS.name, offset=i, key=key, value=prediction))
        labels.append(ListRecord(topic=topics.LABELS.name, offset=i, key=key, value=label))
    commits = []
    for start in range(0, n, ROWS_PER_COMMIT // 2):
        stop = min(n, start + ROWS_PER_COMMIT // 2)
        commits.append([(log[0].topic, log[i : min(i + CHUNK, stop)])
                        for log in (predictions, labels) for i in range(start, stop, CHUNK)])  # fmt: skip
    return commits


def _arrow(n: int) -> Commits:
    rows = [(json.loads(prediction), json.loads(label)) for _, prediction, label in events(n)]
    commits = []
    for start in range(0, n, ROWS_PER_COMMIT // 2):
        batch = rows[start : start + ROWS_PER_COMMIT // 2]
        commits.append([
            (topic, [record])
            for topic, side in ((topics.PREDICTIONS.name, 0), (topics.LABELS.name, 1))
            for record in _records(topic, [pair[side] for pair in batch])
        ])  # fmt: skip
    return commits


def _records(topic: str, rows: Sequence[dict[str, Any]]) -> list[ListRecord]:
    table = pa.Table.from_pylist(list(rows))
    return [ListRecord(topic=topic, value=each.value, headers=each.headers)
            for each in arrow_records(table, n_partitions=1)]  # fmt: skip


def _process(name: str, commits: Commits, n_events: int) -> Result:
    settings = Settings.model_validate({"topics": {"events_partitions": 1}})
    processor = ProfilerProcessor(partition=0, settings=settings, control=control())
    processor.restored()
    with Meter() as meter:
        for seq, chunks in enumerate(commits, start=1):
            for topic, records in chunks:
                processor.add(topic, records)
            context = CommitContext(
                partition=0, seq=seq, positions={}, previous_positions={}, now_ms=0, caught_up=False
            )
            staged = processor.stage(context, heartbeat=False)
            if staged.dead_letters:
                msg = f"{len(staged.dead_letters)} dead letters: expected none; {staged.dead_letters[0].message}"
                raise SystemExit(msg)
            processor.apply(staged)
    return meter.result(name, n_events)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="predictions; as many labels come with them")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind; the best counts")
    parser.add_argument("--in-memory", action="store_true", help="no broker: the processor on lists")
    options = parser.parse_args()
    gc.set_threshold(50_000, 50, 50)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found = (measure_in_memory if options.in_memory else measure)(options.events, options.rounds)
    print(HEADER)
    for result in found["results"]:
        print(result.row)
    ratio = found["arrow_vs_json"]
    print(f"Arrow beside JSON: {ratio:.1f} times the rows a second of CPU time")
    print(json.dumps({"results": [asdict(each) for each in found["results"]], "arrow_vs_json": ratio}))


if __name__ == "__main__":
    main()
