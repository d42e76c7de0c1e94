"""Failures by name, and what each of them comes to.

Topics that change are in `test_layout_changes`, a coordinator that moves to another broker in `test_coordinator_moves`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from brokers.kafka import KafkaBroker
from schemas import topics
from streams import telemetry
from streams.engine.dead_letters import why
from streams.engine.errors import ProcessingError
from streams.engine.lag import LagReader
from streams.engine.processor import CommitContext, Output, Record, Staged
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.steps import FaultPoint, Moment, Step
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName, WebSettings
from streams.worker import BEAT_LIMIT_SECONDS, Site
from tests.integration.engine.engine_support import (
    PREDICTIONS,
    PROFILES,
    CountingProcessor,
    check_chain,
    make_settings,
    read_all,
    seen_offsets,
)
from tests.recovery.transactions import wait_for_transaction

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
ROOT = Path(__file__).resolve().parents[2]
PROFILER = StageName.PROFILER
_TOPICS = (topics.PREDICTIONS, topics.LABELS, topics.PROFILES, topics.DEAD_LETTERS)


@asynccontextmanager
async def application(kafka: KafkaBroker, values: list[bytes], **engine: object) -> AsyncIterator[Settings]:
    """An application of one partition, with some predictions to be read."""
    settings = make_settings(kafka.bootstrap_servers, **engine)
    settings = settings.model_copy(update={"topics": settings.topics.model_copy(update={"events_partitions": 1})})
    await ensure_topics(settings, stages=[PROFILER], topics=_TOPICS)
    async with Publisher(settings) as publisher:
        await publisher.publish_many(
            Output(topic=PREDICTIONS, key=b"%d" % i, value=value, partition=0) for i, value in enumerate(values)
        )
    yield settings


async def consumed(settings: Settings) -> None:
    async with LagReader(settings) as lag:
        await lag.wait_until_consumed(PROFILER, timeout_seconds=40)


async def check(settings: Settings, *, n_records: int, without: frozenset[int] = frozenset()) -> None:
    """Every record was counted once."""
    profiles = await read_all(settings, PROFILES)
    check_chain(profiles)
    expected = {(0, PREDICTIONS, offset): 1 for offset in range(n_records) if offset not in without}
    assert seen_offsets(profiles) == expected


async def until(condition: Callable[[], bool], *, timeout_seconds: float = 20.0) -> None:
    """Wait for a condition of this process; polled, with a deadline."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.8, 1.6], ids=["over the poll interval", "over the session too"])
async def test_a_processor_that_is_too_slow_loses_its_partition_and_no_record(
    kafka: KafkaBroker, tmp_path: Path, seconds: float
) -> None:
    """It gets on by a batch every time, and the group lets it in again."""
    engine = {"max_poll_interval_seconds": 0.5, "session_timeout_seconds": 1.2, "fetch_max_records": 10}
    said = tmp_path / "said"
    async with application(kafka, [b"x"] * 40, **engine, commit_max_records=20) as settings:
        arguments = [sys.executable, "-m", "tests.recovery.slow_worker", settings.model_dump_json(), str(seconds)]
        with said.open("wb") as log:
            process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stderr=log)
        try:
            await consumed(settings)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await check(settings, n_records=40)
        assert said.read_text().count("partitions_assigned") > 1, said.read_text()


async def test_a_transaction_that_times_out_is_made_anew(kafka: KafkaBroker) -> None:
    async with application(kafka, [b"x"] * 50, transaction_timeout_seconds=1.0) as settings:
        waited = asyncio.Event()

        async def dawdle(point: FaultPoint) -> None:
            if point == FaultPoint(Moment.BEFORE, Step.COMMIT) and not waited.is_set():
                await wait_for_transaction(settings, is_open=True)
                await _until_aborted(settings)
                waited.set()

        losses = telemetry.TASK_LOSSES.labels(stage="profiler", reason="ProducerFenced")
        before = losses._value.get()
        runner = StageRunner(PROFILER, settings, TopicNames(settings), CountingProcessor, on_step=dawdle)
        await runner.start()
        await consumed(settings)
        await runner.stop()
        assert waited.is_set()
        assert losses._value.get() == before + 1
        await check(settings, n_records=50)


async def _until_aborted(settings: Settings) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await wait_for_transaction(settings, is_open=False)
            except AssertionError:
                await asyncio.sleep(0.05)
            else:
                return


class Poisoned(CountingProcessor):
    """Cannot stand one of its records, and notices only when the batch is closed."""

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        if 33 in self._offsets.get(PREDICTIONS, []):
            msg = "not foreseen"
            raise LookupError(msg)
        return super().stage(context, heartbeat=heartbeat)


async def test_a_poison_record_stops_the_stage_and_is_named(kafka: KafkaBroker) -> None:
    async with application(kafka, [b"x"] * 50) as settings:
        runner = StageRunner(PROFILER, settings, TopicNames(settings), Poisoned)
        await runner.start()
        with pytest.raises(ProcessingError, match=rf"LookupError: not foreseen at topic {PREDICTIONS}, partition 0"):
            await asyncio.wait_for(runner.wait(), 20)
        await runner.stop()


async def test_a_poison_record_becomes_the_one_dead_letter(kafka: KafkaBroker) -> None:
    async with application(kafka, [b"x"] * 50, on_processing_error="dead_letter") as settings:
        runner = StageRunner(PROFILER, settings, TopicNames(settings), Poisoned)
        await runner.start()
        await consumed(settings)
        await runner.stop()
        await check(settings, n_records=50, without=frozenset({33}))
        letters: list[Record] = await read_all(settings, topics.DEAD_LETTERS.name)
        assert [(why(letter)["offset"], why(letter)["reason"]) for letter in letters] == [("33", "processing_error")]


async def test_a_task_that_stands_still_turns_healthz_red(kafka: KafkaBroker) -> None:
    """With the same clock a stage that turns is green: the beat of the slowest task is what counts."""
    frozen = asyncio.Event()
    skipped_seconds = 0.0

    async def freeze(point: FaultPoint) -> None:
        if point == FaultPoint(Moment.BEFORE, Step.APPLY):
            frozen.set()
            await asyncio.Event().wait()

    async with application(kafka, [b"x"] * 50) as settings:
        names = TopicNames(settings)
        runner = StageRunner(PROFILER, settings, names, CountingProcessor, on_step=freeze)
        site = Site(WebSettings(port=0), [runner], str, monotonic=lambda: time.monotonic() + skipped_seconds)
        await runner.start()
        await runner.wait_until_ready()
        site.started_stages = True
        await asyncio.wait_for(frozen.wait(), 20)
        skipped_seconds = BEAT_LIMIT_SECONDS - 2.0
        assert site.stuck() == []
        await until(lambda: bool(site.stuck()), timeout_seconds=4.0)
        assert site.stuck()[0].startswith("stage profiler: no loop has turned for 1")
        await runner.stop()
