"""At least once on the embedded broker: the commit record is the commit, and it is forwarded after a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from engine_support import (
    LABELS,
    PREDICTIONS,
    PROFILES,
    CountingProcessor,
    check_chain,
    make_settings,
    read_all,
    seen_offsets,
)

from brokers.tansu import TansuBroker
from schemas import topics
from streams.engine.commit import TailCommitter
from streams.engine.dead_letters import to_redrive, why
from streams.engine.errors import GuaranteeUnsupportedError, ProcessingError, PublishError
from streams.engine.follower import Follower
from streams.engine.lag import LagReader
from streams.engine.processor import EVERY_PARTITION, Output, Record
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName

PROFILER = StageName.PROFILER


async def make_settings_and_topics(tansu: TansuBroker, **engine: Any) -> Settings:
    engine = {"processing_guarantee": "at_least_once", "session_timeout_seconds": 1.0, **engine}
    settings = make_settings(tansu.bootstrap_servers, **engine)
    await ensure_topics(settings)
    return settings


def make_runner(settings: Settings, trouble: Any = None) -> StageRunner:
    return StageRunner(PROFILER, settings, TopicNames(settings), lambda p: CountingProcessor(p, trouble))


async def publish(settings: Settings, values: list[bytes]) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish_many(
            Output(topic=PREDICTIONS, key=b"%d" % i, value=value, partition=0) for i, value in enumerate(values)
        )


async def run_until_consumed(settings: Settings, runner: StageRunner) -> None:
    async with LagReader(settings) as lag:
        await runner.start()
        try:
            consumed = asyncio.ensure_future(lag.wait_until_consumed(PROFILER, timeout_seconds=20))
            ended = asyncio.ensure_future(runner.wait())
            await asyncio.wait({consumed, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if ended.done() and not ended.cancelled():
                consumed.cancel()
                await ended
            await consumed
        finally:
            await runner.stop()


async def test_a_commit_that_was_not_forwarded_is_forwarded_by_the_next_owner(
    tansu: TansuBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await make_settings_and_topics(tansu)
    await publish(settings, [b"x"] * 100)
    committed = asyncio.Event()

    async def crash(*_: Any) -> None:
        committed.set()
        raise KafkaError("injected: ends between the commit and its forwarding")

    with monkeypatch.context() as broken:
        broken.setattr(TailCommitter, "forward", crash)
        runner = make_runner(settings)
        await runner.start()
        await asyncio.wait_for(committed.wait(), 10)
        await runner.stop()
    assert await read_all(settings, PROFILES) == []

    await run_until_consumed(settings, make_runner(settings))
    profiles = await read_all(settings, PROFILES)
    check_chain(profiles)
    seen = seen_offsets(profiles)
    assert len(seen) == 100
    assert set(seen.values()) == {1}


async def test_a_second_writer_is_noticed(tansu: TansuBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = await make_settings_and_topics(tansu)
    names = TopicNames(settings)
    await publish(settings, [b"x"] * 10)
    runner = make_runner(settings)
    async with LagReader(settings) as lag, Publisher(settings) as publisher:
        await runner.start()
        await lag.wait_until_consumed(PROFILER)
        # A frozen owner that wakes: a record on the changelog between two of ours.
        producer = publisher._started()
        await producer.send_and_wait(names.changelog(PROFILER), key=b"state/other", value=b"\x001", partition=0)
        monkeypatch.setattr(CountingProcessor, "restore", _restore_ours)
        await publisher.publish(Output(topic=PREDICTIONS, key=b"k", value=b"y", partition=0))
        await lag.wait_until_consumed(PROFILER)
    await runner.stop()
    profiles = await read_all(settings, PROFILES)
    assert set(seen_offsets(profiles)) == {(0, PREDICTIONS, offset) for offset in range(11)}


def _restore_ours(self: CountingProcessor, key: str, value: bytes | None) -> None:
    if key == "total":
        self.total = int(value or b"0")


async def test_exactly_once_is_refused_with_the_setting_to_change(tansu: TansuBroker) -> None:
    settings = await make_settings_and_topics(tansu, processing_guarantee="exactly_once")
    runner = make_runner(settings)
    await runner.start()
    with pytest.raises(GuaranteeUnsupportedError, match="PROCESSING_GUARANTEE=at_least_once"):
        await asyncio.wait_for(runner.wait(), 10)
    await runner.stop()


def trouble(_topic: str, record: Record) -> None:
    if record.value == b"poison":
        msg = "not foreseen"
        raise LookupError(msg)


async def test_a_poison_record_stops_the_worker_and_is_named(tansu: TansuBroker) -> None:
    settings = await make_settings_and_topics(tansu)
    await publish(settings, [b"x", b"poison"])
    with pytest.raises(ProcessingError, match=rf"LookupError: not foreseen at topic {PREDICTIONS}, partition 0"):
        await run_until_consumed(settings, make_runner(settings, trouble))


async def test_a_poison_record_is_found_and_set_aside(tansu: TansuBroker) -> None:
    settings = await make_settings_and_topics(tansu, on_processing_error="dead_letter")
    values = [b"x"] * 50
    values[33], values[40] = b"poison", b"broken"
    await publish(settings, values)
    await run_until_consumed(settings, make_runner(settings, trouble))
    letters = await read_all(settings, topics.DEAD_LETTERS.name)
    found = {why(letter)["offset"]: why(letter)["reason"] for letter in letters}
    assert found == {"33": "processing_error", "40": "malformed"}
    seen = seen_offsets(await read_all(settings, PROFILES))
    assert set(seen) == {(0, PREDICTIONS, offset) for offset in range(50) if offset != 33}
    back = [to_redrive(letter) for letter in letters]
    assert {output.value for output in back} == {b"poison", b"broken"}


async def test_a_follower_reads_what_was_there_in_order_and_goes_on(tansu: TansuBroker) -> None:
    settings = await make_settings_and_topics(tansu)
    seen: list[tuple[str, bytes | None]] = []
    arrived = asyncio.Event()

    def note(topic: str, record: Record) -> None:
        seen.append((topic, record.value))
        if record.value == b"last":
            arrived.set()

    async with Publisher(settings) as publisher:
        await publisher.publish(Output(topic=topics.MONITORS.name, key=b"k", value=b"1"))
        await publisher.publish(Output(topic=topics.MODELS.name, key=b"k", value=b"2"))
        followed = [topics.MODELS.name, topics.MONITORS.name]
        follower = Follower(settings, TopicNames(settings), topics=followed, on_record=note, merged=True)
        await follower.start()
        await follower.caught_up()
        assert sorted(seen) == [(topics.MODELS.name, b"2"), (topics.MONITORS.name, b"1")]
        await publisher.publish(Output(topic=topics.MODELS.name, key=b"k", value=b"last"))
        await asyncio.wait_for(arrived.wait(), 5)
        await follower.stop()


async def test_an_error_of_who_follows_ends_the_follower_loudly(tansu: TansuBroker) -> None:
    settings = await make_settings_and_topics(tansu)

    def refuse(_topic: str, _record: Record) -> None:
        msg = "cannot be used"
        raise ValueError(msg)

    async with Publisher(settings) as publisher:
        await publisher.publish(Output(topic=topics.MODELS.name, key=b"k", value=b"1"))
    follower = Follower(settings, TopicNames(settings), topics=[topics.MODELS.name], on_record=refuse)
    await follower.start()
    with pytest.raises(ValueError, match="cannot be used"):
        await follower.caught_up()
    await follower.stop()


async def test_the_publisher_keeps_order_reaches_every_partition_and_refuses_what_cannot_be(
    tansu: TansuBroker,
) -> None:
    settings = await make_settings_and_topics(tansu)
    async with Publisher(settings) as publisher:
        n = await publisher.publish_many(
            Output(topic=LABELS, key=b"k", value=b"%05d" % i, headers=(("h", b"1"),)) for i in range(5_000)
        )
        assert n == 5_000
        assert (
            await publisher.publish_many([Output(topic=LABELS, key=b"w", value=b"w", partition=EVERY_PARTITION)]) == 2
        )
        with pytest.raises(PublishError, match="neither key nor value"):
            await publisher.publish(Output(topic=LABELS, key=None, value=None))
        with pytest.raises(PublishError, match="2000000 bytes: expected at most"):
            await publisher.publish(Output(topic=LABELS, key=None, value=b"x" * 2_000_000))
        with pytest.raises(PublishError, match="partition 9: expected 0 to 1"):
            await publisher.publish(Output(topic=LABELS, key=None, value=b"x", partition=9))
    records = await read_all(settings, LABELS)
    values = [record.value for record in records if record.key == b"k"]
    assert values == [b"%05d" % i for i in range(5_000)]
    assert {record.partition for record in records if record.key == b"w"} == {0, 1}
    assert {record.headers for record in records if record.key == b"k"} == {(("h", b"1"),)}
