"""Every place of a commit where a crash can fall: after it nothing is lost, and nothing counts twice.

A process holds at the point until the broker has what it sent so far, which is the worst moment; then SIGKILL.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from brokers.kafka import KafkaBroker
from schemas import topics
from streams.engine.dead_letters import why
from streams.engine.lag import LagReader
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.steps import STEPS, FaultPoint, Moment, Step
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import ProcessingGuarantee, Settings, StageName
from tests.integration.engine.engine_support import (
    LABELS,
    PREDICTIONS,
    PROFILES,
    CountingProcessor,
    check_chain,
    make_settings,
    read_all,
    seen_offsets,
)
from tests.recovery.fault_worker import N_WHOLE_COMMITS
from tests.recovery.transactions import wait_for_transaction

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]

ROOT = Path(__file__).resolve().parents[2]
PROFILER = StageName.PROFILER
EXACTLY_ONCE, AT_LEAST_ONCE = ProcessingGuarantee.EXACTLY_ONCE, ProcessingGuarantee.AT_LEAST_ONCE
N_RECORDS, BATCH = 60, 10
BROKEN = {3, 24, 25, 33, 51}
"""Offsets of predictions that become dead letters."""
TABLE = [(guarantee, FaultPoint(moment, step)) for guarantee in STEPS for step in STEPS[guarantee] for moment in Moment]


def is_inside_transaction(guarantee: ProcessingGuarantee, point: FaultPoint) -> bool:
    """Whether a transaction is open at a point, with records in it."""
    if guarantee is AT_LEAST_ONCE:
        return False
    steps = STEPS[guarantee]
    at, commit = steps.index(point.step), steps.index(Step.COMMIT)
    return point != FaultPoint(Moment.BEFORE, Step.OUTPUTS) and (
        at < commit or point == FaultPoint(Moment.BEFORE, Step.COMMIT)
    )


def doubled_by(point: FaultPoint) -> list[set[int]]:
    """Which commits a crash at a point may double under at_least_once: the last one that holds, if it was sent on."""
    last_whole, interrupted = N_WHOLE_COMMITS, N_WHOLE_COMMITS + 1
    if point.step is Step.OUTPUTS or point == FaultPoint(Moment.BEFORE, Step.CHANGELOG):
        return [{last_whole}]
    if point == FaultPoint(Moment.AFTER, Step.FORWARD_OUTPUTS):
        return [{interrupted}]
    if point.step is Step.OFFSETS:  # beside the task, which was anywhere
        return [set(), *({seq} for seq in range(1, 2 * N_RECORDS // BATCH + 1))]
    return [set()]


@pytest.mark.parametrize(("guarantee", "point"), TABLE, ids=[f"{g.value}-{p}" for g, p in TABLE])
async def test_a_crash_at(kafka: KafkaBroker, guarantee: ProcessingGuarantee, point: FaultPoint) -> None:
    settings = one_partition(kafka, guarantee)
    await ensure_topics(settings, stages=[PROFILER], topics=[topics.PREDICTIONS, topics.LABELS, *_OUTPUTS])
    async with Publisher(settings) as publisher:
        await publish(publisher)
    async with held_at(settings, point) as process, LagReader(settings) as lag:
        said = await asyncio.wait_for(_read_line(process), 30)
        assert said == str(point)
        await wait_for_transaction(settings, is_open=is_inside_transaction(guarantee, point))
        process.kill()
        await process.wait()
        runner = StageRunner(PROFILER, settings, TopicNames(settings), CountingProcessor)
        await runner.start()
        await lag.wait_until_consumed(PROFILER, timeout_seconds=30)
        await runner.stop()
    profiles = await read_all(settings, PROFILES)
    letters = await read_all(settings, topics.DEAD_LETTERS.name)
    if guarantee is EXACTLY_ONCE:
        check_once(profiles, letters)
    else:
        check_at_least_once(profiles, letters, point)


_OUTPUTS = (topics.PROFILES, topics.DEAD_LETTERS)


def one_partition(kafka: KafkaBroker, guarantee: ProcessingGuarantee) -> Settings:
    """One task, batches of a few records, and a name that keeps its membership over a crash."""
    settings = make_settings(
        kafka.bootstrap_servers,
        processing_guarantee=guarantee,
        commit_max_records=BATCH,
        fetch_max_records=BATCH,
        group_instance_id="one",
    )
    return settings.model_copy(update={"topics": settings.topics.model_copy(update={"events_partitions": 1})})


async def publish(publisher: Publisher) -> None:
    for topic in (PREDICTIONS, LABELS):
        values = [b"broken" if topic == PREDICTIONS and i in BROKEN else b"x" for i in range(N_RECORDS)]
        await publisher.publish_many(
            Output(topic=topic, key=b"%d" % i, value=value, partition=0) for i, value in enumerate(values)
        )


@asynccontextmanager
async def held_at(settings: Settings, point: FaultPoint) -> AsyncIterator[asyncio.subprocess.Process]:
    arguments = [sys.executable, "-m", "tests.recovery.fault_worker", settings.model_dump_json(), str(point)]
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def check_once(profiles: list[Record], letters: list[Record]) -> None:
    """Every record was counted once, in a chain of commits, and every broken one is one dead letter."""
    check_chain(profiles)
    seen = seen_offsets(profiles)
    assert seen == Counter({(0, topic, offset): 1 for topic in (PREDICTIONS, LABELS) for offset in range(N_RECORDS)})
    assert Counter(letter_of(letter) for letter in letters) == Counter(dict.fromkeys(map(str, BROKEN), 1))


def letter_of(letter: Record) -> str:
    """The offset of the record that a dead letter holds; all are of one topic and partition."""
    said = why(letter)
    assert said["topic"].endswith(PREDICTIONS)
    return said["offset"]


def check_at_least_once(profiles: list[Record], letters: list[Record], point: FaultPoint) -> None:
    """What is doubled is so as a whole, byte by byte, with the same number; without it everything is there once."""
    by_seq: dict[int, list[Record]] = {}
    for record in profiles:
        by_seq.setdefault(msgspec.json.decode(record.value or b"")["seq"], []).append(record)
    assert all(len({record.value for record in records}) == 1 for records in by_seq.values())
    assert {seq for seq, records in by_seq.items() if len(records) > 1} in doubled_by(point)
    once = [by_seq[seq][0] for seq in sorted(by_seq)]
    n_letters = Counter(letter_of(letter) for letter in letters)
    check_once(once, list({letter_of(letter): letter for letter in letters}.values()))
    sent_unheld = point in {FaultPoint(Moment.AFTER, Step.OUTPUTS), FaultPoint(Moment.BEFORE, Step.CHANGELOG)}
    assert max(n_letters.values()) == 1 or sent_unheld or point.step is Step.OFFSETS
