"""Mutated records through a real worker on Apache Kafka: it stays up, and every record is accounted for."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from brokers.kafka import KafkaBroker
from schemas import topics
from schemas.profiles import Heartbeat, ProfileRecord, Totals
from streams.engine.clients import drop_producer, start_producer
from streams.engine.dead_letters import why
from streams.engine.lag import LagReader
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName
from tests.fuzz import decisions, valid
from tests.fuzz.mutations import Mutator, Raw
from tests.fuzz.profiler import says_watermark
from tests.integration.commands.test_topics_expand import environment
from tests.integration.engine.engine_support import make_settings, read_all

pytestmark = pytest.mark.kafka
P, L = topics.PREDICTIONS.name, topics.LABELS.name
SEED, N_EVENTS, N_OTHERS = 5, 3_000, 250
MIB = 1_048_576


def large() -> Iterable[Raw]:
    """Around our own limit, and up to the broker's, key and headers included."""
    for topic in (P, L):
        for size in (999_999, 1_000_000, 1_000_001, 1_040_000, MIB - 300):
            yield Raw(
                topic, b"large", b'{"prediction_id":"large","model_name":"m","pad":"' + b"x" * (size - 51) + b'"}', 0
            )
        yield Raw(topic, b"k" * 500_000, b"v" * 500_000, 0)
        yield Raw(topic, b"zeros", b"0" * 6_000_000, 0)  # the broker's limit holds for what is compressed
        yield Raw(topic, b"noise", random.Random(SEED).randbytes(MIB - 300), 0)
        yield Raw(topic, None, b"{}", 0, (("h", b"v" * 1_000_000),))


class Sender:
    """Sends raw records, and knows what the broker took and where it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = TopicNames(settings)
        self.sent: dict[tuple[str, int, int], Raw] = {}

    async def send(self, records: Iterable[Raw]) -> None:
        producer = await start_producer(self._settings)
        try:
            futures = []
            for raw in records:
                if raw.key is None and raw.value is None:
                    continue  # no record to a broker
                headers = [(name, value) for name, value in raw.headers if value is not None]
                futures.append(
                    (raw, await producer.send(self._names.in_use(raw.topic), raw.value, raw.key, headers=headers))
                )
            for raw, future in futures:
                written = await future
                self.sent[raw.topic, written.partition, written.offset] = raw
        finally:
            await drop_producer(producer)

    async def refused(self, raw: Raw) -> None:
        producer = await start_producer(self._settings)
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(self._names.in_use(raw.topic), raw.value, raw.key)
        await drop_producer(producer)


async def totals_of(settings: Settings, n_sent: int) -> Counter[str]:
    """Totals of the last heartbeats, once they have all that was sent."""
    deadline = time.monotonic() + 30
    while True:
        beats: dict[int, Heartbeat] = {}
        for record in await read_all(settings, topics.PROFILES.name):
            said: Any = None
            try:
                said = msgspec.msgpack.decode(record.value or b"", type=ProfileRecord)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # ours: garbage
            if isinstance(said, Heartbeat) and dict(record.headers).get("ce_source") == b"plumbline/profiler":
                beats[said.source_partition] = said
        sums: Counter[str] = Counter()
        for beat in beats.values():
            for totals in beat.totals.values():
                sums.update(totals)
        if len(beats) == 2 and sums[Totals.PREDICTIONS] + sums[Totals.LABELS] >= n_sent:
            return sums
        assert time.monotonic() < deadline, (sums, n_sent)


async def test_a_worker_stays_up_and_accounts_for_everything(kafka: KafkaBroker, tmp_path: Path) -> None:
    settings = make_settings(kafka.bootstrap_servers)
    await ensure_topics(settings)
    sender = Sender(settings)
    control = [Raw(topic, b"k", value, 0) for topic, value in valid.control_records()]
    await sender.send(control)
    mutate = Mutator(SEED, max_record_bytes=20_000, strangers=valid.STRANGERS)
    await sender.send([*map(mutate, valid.records(SEED, N_EVENTS)), *large()])
    await sender.refused(Raw(P, b"k", random.Random(SEED).randbytes(MIB + 1), 0))
    await sender.send(decisions.mutated(SEED, decisions.decision_values(), N_OTHERS))
    await sender.send(decisions.mutated(SEED, decisions.profile_values(SEED, 2_000), N_OTHERS))
    garbage = list(decisions.mutated(SEED, decisions.control_values(), N_OTHERS))
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        command = [str(Path(sys.executable).with_name("plumbline")), "worker"]
        process = subprocess.Popen(command, env=environment(settings), stderr=file)
    try:
        async with LagReader(settings) as lag:
            await lag.wait_until_consumed(StageName.PROFILER, timeout_seconds=40)
        await sender.send(garbage)  # while it runs
        letters = Counter[tuple[str, int, int]]()
        for record in await read_all(settings, topics.DEAD_LETTERS.name):
            reasons = why(record)
            letters[reasons["topic"], int(reasons["partition"]), int(reasons["offset"])] += 1
        assert max(letters.values()) == 1
        events = {place: raw for place, raw in sender.sent.items() if place[0] in {P, L}}
        marks = {place for place, raw in events.items() if says_watermark(raw) and place not in letters}
        sums = await totals_of(settings, len(events) - len(marks))
        async with LagReader(settings) as lag:
            for stage in (StageName.EVALUATOR, StageName.GOVERNOR):
                await lag.wait_until_consumed(stage, timeout_seconds=30)
        assert process.poll() is None, log.read_text()[-3_000:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()[-3_000:]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    for topic, whole, parts in (
        (P, Totals.PREDICTIONS, Totals.PREDICTION_OUTCOMES),
        (L, Totals.LABELS, Totals.LABEL_OUTCOMES),
    ):
        assert sums[whole] == sum(place[0] == topic and place not in marks for place in events)
        assert sums[whole] == sum(sums[part] for part in parts)
    dead = sums["predictions_dead"] + sums["labels_dead"]
    assert dead == sum(place[0] in {P, L} for place in letters) > N_EVENTS // 10
    assert {topics.PROFILES.name, topics.EVIDENCE.name, topics.INTERVENTIONS.name} <= {place[0] for place in letters}
    said = log.read_text()
    assert "control_event_refused" in said
    assert "Traceback" not in said
