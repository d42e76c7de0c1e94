"""Plumbline's own row: the real `plumbline worker`, from its first restored task to everything committed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import events
from benchmarks.children import Child
from benchmarks.measuring import Measurement, Usage, between, usage
from benchmarks.session import Recording, Session, environment, read_topic
from brokers.process import free_port
from schemas import topics
from schemas.profiles import ProfileDelta, ProfileRecord, Totals
from streams.engine.lag import LagReader
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName

PROGRAM: Final = str(Path(sys.executable).with_name("plumbline"))
STAGES: Final = (StageName.PROFILER, StageName.EVALUATOR)
THROUGHPUT: Final = {"commit_interval_seconds": 1.0}
"""The engine's settings for throughput; everything else is the default, exactly_once too."""
_READY_SECONDS: Final = 60.0
_CONSUMED_SECONDS: Final = 240.0
_TOTALS_SECONDS: Final = 5.0
_TOTALS: Final = (Totals.PREDICTIONS, Totals.LABELS, "predictions_joined", "labels_joined")


class WorkerError(RuntimeError):
    """The worker's counts are not what was sent."""


def child(settings: Settings, stages: Sequence[StageName] = STAGES) -> Child:
    """A worker process of some stages."""
    web = {"PLUMBLINE_WEB_PORT": str(free_port())}
    chosen = [word for stage in stages for word in ("--stage", stage.value)]
    return Child([PROGRAM, "worker", *chosen], environment={**environment(settings), **web})


async def consumed(settings: Settings, lag: LagReader, *, timeout_seconds: float = _CONSUMED_SECONDS) -> None:
    """Wait until stage 1 has committed its inputs, and stage 2 what came of them."""
    ends: Mapping[tuple[str, int], int] = await lag.ends([topics.PREDICTIONS.name, topics.LABELS.name])
    await lag.wait_until_consumed(StageName.PROFILER, ends=ends, timeout_seconds=timeout_seconds)
    ends = {}
    while not any(ends.values()):  # one delta at least has come of them
        ends = await _appended(settings, topics.PROFILES.name, settings.topics.models_partitions)
    await lag.wait_until_consumed(StageName.EVALUATOR, ends=ends, timeout_seconds=timeout_seconds)


async def _appended(settings: Settings, topic: str, n_partitions: int) -> dict[tuple[str, int], int]:
    """Ends of a topic of the table with what was appended and is not yet seen as committed: the markers come late."""
    in_use = TopicNames(settings).in_use(topic)
    reader = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap_servers)
    await reader.start()
    try:
        partitions = [TopicPartition(in_use, partition) for partition in range(n_partitions)]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        return {(topic, each.partition): end for each, end in ends.items()}
    finally:
        await reader.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRun:
    """A measured run, with the settings it ran under."""

    measurement: Measurement
    settings: Settings
    n_deltas: int
    """Profile deltas that it sent."""

    @property
    def profiles(self) -> str:
        """Topic of its profile deltas."""
        return TopicNames(self.settings).in_use(topics.PROFILES.name)


async def measure(session: Session, recording: Recording, *, n_processes: int = 1) -> WorkerRun:
    """Let fresh workers consume a recording from its beginning.

    The meters start when the first task is restored, which is before its first record; they stop when both stages
    have committed everything. What the workers counted is compared with what was sent.
    """
    settings = session.fresh(recording, engine=THROUGHPUT)
    await session.apply(settings, specs=[events.spec()], monitors=events.monitors(), references=[events.reference()])
    children = [child(settings) for _ in range(n_processes)]
    async with LagReader(settings, TopicNames(settings)) as lag:
        begin, end = await _run(children, settings, lag)
    n_deltas = await check_totals(session, settings, recording.n_pairs)
    name = "Plumbline" if n_processes == 1 else f"Plumbline, {n_processes} processes"
    return WorkerRun(measurement=between(name, recording.n_events, begin, end), settings=settings, n_deltas=n_deltas)


async def _run(children: Sequence[Child], settings: Settings, lag: LagReader) -> tuple[Usage, Usage]:
    """Begin: each process at its first task, wall clock from the earliest; end: everything is committed."""
    async with contextlib.AsyncExitStack() as stack:
        for each in children:
            await stack.enter_async_context(each)
        started = [each.listen("task_restored", f'"{StageName.PROFILER.value}"') for each in children]
        begins = [await each.heard(found, _READY_SECONDS) for each, found in zip(children, started, strict=True)]
        await consumed(settings, lag)
        for each in children:
            each.check()
        ends = [usage(each.pid) for each in children]
    return _together(begins, min), _together(ends, max)


def _together(readings: Sequence[Usage], when: Callable[[Iterable[float]], float]) -> Usage:
    return Usage(
        at=when(each.at for each in readings),
        cpu_seconds=sum(each.cpu_seconds for each in readings),
        resident_megabytes=sum(each.resident_megabytes for each in readings),
    )


async def check_totals(session: Session, settings: Settings, n_pairs: int) -> int:
    """Compare the newest totals of every source partition, added up, with what was sent.

    Returns
    -------
    int
        The number of profile deltas.

    Raises
    ------
    WorkerError
        Where a prediction or a label was lost or doubled.
    """
    deadline = time.monotonic() + _TOTALS_SECONDS
    while True:
        deltas = await _deltas(session, settings)
        newest = {delta.source_partition: delta for delta in deltas}
        totals = {name: sum(delta.totals.get(name, 0) for delta in newest.values()) for name in _TOTALS}
        if totals == dict.fromkeys(_TOTALS, n_pairs):
            return len(deltas)
        if time.monotonic() > deadline:
            msg = f"the worker counted {totals}: expected {n_pairs} of each"
            raise WorkerError(msg)
        await asyncio.sleep(0.1)


async def _deltas(session: Session, settings: Settings) -> list[ProfileDelta]:
    decoder = msgspec.msgpack.Decoder(ProfileRecord)
    topic = TopicNames(settings).in_use(topics.PROFILES.name)
    records = await read_topic(session.bootstrap_servers, topic, settings.topics.models_partitions)
    return [said for record in records if isinstance(said := decoder.decode(record.value), ProfileDelta)]
