"""Arrow batches through a real broker: every row meets its label, whatever its record looked like."""

from __future__ import annotations

import asyncio
import json

import pyarrow as pa
import pytest

from brokers.kafka import KafkaBroker
from schemas import topics
from streams.engine.lag import LagReader
from streams.engine.processor import Output, Staged
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.producing import arrow_records
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, StageName
from tests.unit.profiler.profiler_world import control, label, prediction

pytestmark = pytest.mark.kafka
N, START = 600, 3_600_000.0


async def test_rows_of_batches_meet_labels_of_both_kinds(kafka: KafkaBroker) -> None:
    settings = Settings.model_validate({
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
        "engine": {"application_id": "arrow"},
        "topics": {"prefix": "arrow-", "events_partitions": 3},
    })  # fmt: skip
    names = TopicNames(settings)
    await ensure_topics(settings, names)
    joined = 0
    done = asyncio.Event()

    def committed(_stage: StageName, _partition: int, staged: Staged) -> None:
        nonlocal joined
        joined += staged.counts.get("labels_joined", 0)
        if joined >= N:
            done.set()

    view = control()
    runner = StageRunner(
        StageName.PROFILER,
        settings,
        names,
        lambda partition: ProfilerProcessor(partition=partition, settings=settings, control=view),
        on_committed=committed,
    )
    ids = [f"row-{i}" for i in range(N)]
    predictions = pa.Table.from_pylist([prediction(each, START + i) for i, each in enumerate(ids)])
    labels = pa.Table.from_pylist([label(each, START + i + 60) for i, each in enumerate(ids[: N // 2])])
    outputs = [
        Output(topic=topic, key=None, value=each.value, headers=each.headers, partition=each.partition)
        for topic, table in ((topics.PREDICTIONS.name, predictions), (topics.LABELS.name, labels))
        for each in arrow_records(table, n_partitions=3, max_rows=100)
    ]
    outputs += [
        Output(topic=topics.LABELS.name, key=each.encode(), value=json.dumps(label(each, START + 60)).encode())
        for each in ids[N // 2 :]
    ]
    async with Publisher(settings, names) as publisher, LagReader(settings, names) as lag:
        await publisher.publish_many(outputs)
        await runner.start()
        try:
            async with asyncio.timeout(60):
                await done.wait()
            await lag.wait_until_consumed(StageName.PROFILER)
        finally:
            await runner.stop()
    assert joined == N
