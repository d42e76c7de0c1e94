"""The ceiling: the least that any consumer in Python does. Fetch and decode into typed structs, nothing else.

A program of its own (`python -m benchmarks.ceiling`, run by the contest), so that its CPU time is taken as everybody's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from typing import Final

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import events
from benchmarks.children import DONE, FIRST, Child
from benchmarks.measuring import Measurement, between
from benchmarks.session import N_PARTITIONS, Recording, Session
from schemas import topics
from streams.engine.processor import ListRecord
from streams.ingest.labels import LabelReader
from streams.ingest.models import Models
from streams.ingest.predictions import PredictionReader
from streams.settings import Settings

NAME: Final = "Ceiling: getmany(500) + typed decode"
CHUNK: Final = 500
"""As the worker's `engine.fetch_max_records`: larger chunks are slower, and would flatter a ratio."""
_FETCH_BYTES: Final = 4 << 20
_SECONDS: Final = 120.0


async def measure(session: Session, recording: Recording) -> Measurement:
    """Run the program on a recording."""
    command = [sys.executable, "-m", "benchmarks.ceiling", "--broker", session.bootstrap_servers]
    command += ["--predictions", recording.predictions, "--labels", recording.labels]
    async with Child([*command, "--events", str(recording.n_events)]) as child:
        first, done = child.listen(FIRST), child.listen(DONE)
        begin = await child.heard(first, _SECONDS)
        return between(NAME, recording.n_events, begin, await child.heard(done, _SECONDS))


async def consume(bootstrap_servers: str, predictions: str, labels: str, n_events: int) -> None:
    """Fetch and decode, and say when it begins and ends."""
    view, settings = events.control(), Settings()
    models = Models(view, max_models=10)
    prediction_reader, label_reader = PredictionReader(settings.ingest, models), LabelReader(settings.ingest, models)
    _, prediction, label = next(events.events(1))
    for _ in range(2):  # the typed decoder is built from what is seen
        prediction_reader.read([ListRecord(topic=topics.PREDICTIONS.name, value=prediction)], 0)
        label_reader.read([ListRecord(topic=topics.LABELS.name, value=label)], 0)
    decode = {predictions: prediction_reader._decode, labels: label_reader._decode}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for topic in decode for p in range(N_PARTITIONS)]
        consumer.assign(partitions)
        left = n_events
        print(FIRST, flush=True)
        while left > 0:
            for partition, records in (await consumer.getmany(timeout_ms=200, max_records=CHUNK)).items():
                _ = [*map(decode[partition.topic], [record.value for record in records])]
                left -= len(records)
        print(DONE, flush=True)
        await _ended()
    finally:
        await consumer.stop()


async def _ended() -> None:
    """Wait for SIGTERM: the meters are read before."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()


def main() -> None:
    """Consume what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("broker", "predictions", "labels"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args()
    gc.set_threshold(50_000, 50, 50)  # as the worker's
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume(options.broker, options.predictions, options.labels, options.events))


if __name__ == "__main__":
    main()
