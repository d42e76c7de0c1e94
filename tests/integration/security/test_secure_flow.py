"""Commands and a worker over TLS with a client certificate and over SCRAM, and what they say of their secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition
from decision_samples import alert, command
from secure_support import (
    PASSWORD,
    Outside,
    SecureKafka,
    environment,
    plumbline,
    settings_of,
    wait_until,
    worker,
)

from schemas import topics
from schemas.base import Event
from schemas.profiles import ProfileDelta, ProfileRecord
from streams.engine.changelog import unpack
from streams.engine.clients import make_reader, start_reader
from streams.engine.ends import end_offsets
from streams.engine.follower import Follower
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames
from streams.settings import Settings
from streams.stages import STAGES

pytestmark = pytest.mark.kafka

SECRETS = {
    "KAFKA_SASL_PASSWORD": PASSWORD,
    "KAFKA_SSL_KEY_PASSWORD": "key-to-the-key-1618",
    "GOVERNOR_SIGNING_KEY": "sign-here-2236",
    "RESPONDERS_WEBHOOK_SECRET": "hook-and-sinker-1732",
}
IN_ADDRESSES = ("gate-keeper-2449", "token-of-esteem-2645")
PATIENCE_SECONDS = 30.0


def commands_work(variables: dict[str, str]) -> str:
    said = ""
    for arguments in (("topics", "create"), ("doctor",)):
        done = plumbline(*arguments, variables=variables)
        said += done.stdout + done.stderr
        assert done.returncode == 0, said
    return said


async def prediction_and_label_become_a_delta(settings: Settings) -> None:
    now = time.time()
    common = {"prediction_id": "p1", "model_name": "m"}
    prediction = {**common, "model_version": "1", "prediction_timestamp": now - 1, "prediction_label": 1}
    label = {**common, "label_timestamp": now, "actual_label": 1}
    joined = asyncio.Event()
    decoder: msgspec.msgpack.Decoder[ProfileRecord] = msgspec.msgpack.Decoder(ProfileRecord)

    def take(_topic: str, record: Record) -> None:
        said = decoder.decode(record.value or b"")
        if isinstance(said, ProfileDelta) and said.totals.get("predictions_joined") == 1:
            joined.set()

    follower = Follower(settings, TopicNames(settings), topics=[topics.PROFILES.name], on_record=take)
    await follower.start()
    try:
        async with Publisher(settings) as publisher:
            for topic, event in ((topics.PREDICTIONS, prediction), (topics.LABELS, label)):
                value = json.dumps(event).encode()
                await publisher.publish(Output(topic=topic.name, key=b"p1", value=value, headers=[]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await joined.wait()
    finally:
        await follower.stop()


async def publish(settings: Settings, topic: topics.Topic, event: Event) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish(Output(topic=topic.name, key=b"k", value=event.to_bytes(), headers=[]))


async def everything_written(settings: Settings) -> str:
    """All keys, values and headers of all topics and changelogs of one application."""
    names = TopicNames(settings)
    changelogs = {names.changelog(stage): names.n_partitions(STAGES[stage].spread) for stage in STAGES}
    tables = {names.in_use(topic.name): names.n_partitions(topic.spread) for topic in topics.TOPICS}
    partitions = [TopicPartition(name, p) for name, n in {**tables, **changelogs}.items() for p in range(n)]
    reader = make_reader(settings, max_record_bytes=1 << 24)
    await start_reader(reader, settings)
    found: list[bytes] = []
    n_from_changelogs = 0
    try:
        ends = await end_offsets(reader, partitions, settings)
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not all([await reader.position(each) >= ends[each] for each in partitions]):
                for partition, records in (await reader.getmany(timeout_ms=100)).items():
                    for record in records:
                        value = record.value or b""
                        if partition.topic in changelogs:
                            n_from_changelogs += 1
                            value = unpack(value) if value else value
                        found += [record.key or b"", value, *(text for _, text in record.headers)]
    finally:
        await reader.stop()
    assert n_from_changelogs, "the changelogs were read"
    return b"\n".join(found).decode("latin-1")


def assert_no_secret(text: str, where: str) -> None:
    for secret in (*SECRETS.values(), *IN_ADDRESSES):
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert form not in text, f"{where} holds {form}"


def secretive(kafka: SecureKafka, outside: Outside, folder: Path) -> dict[str, str]:
    """Every secret there is, each from a file, and everything that talks switched to its loudest."""
    client = kafka.authority.issue("locked", password=SECRETS["KAFKA_SSL_KEY_PASSWORD"])
    variables = {}
    for name, secret in SECRETS.items():
        path = folder / name.lower()
        path.write_text(f"{secret}\n")
        variables[f"PLUMBLINE_{name}_FILE"] = str(path)
    user, token = IN_ADDRESSES
    address = f"http://plumbline:{user}@127.0.0.1:{outside.port}"
    certificate = {"ssl_certfile": client.certfile, "ssl_keyfile": client.keyfile}
    return environment(
        kafka.scram(sasl_password=None, **certificate),
        PLUMBLINE_RESPONDERS_WEBHOOK_URL=f"{address}/hook?token={token}",
        PLUMBLINE_RESPONDERS_ALERTMANAGER_URL=address,
        PLUMBLINE_LOG_LEVEL="debug",
        **variables,
    )


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.stop()


@contextmanager
def another_certificate(kafka: SecureKafka) -> Iterator[None]:
    """The broker comes back with a certificate that none of its clients trusts."""
    assert kafka.broker.security is not None
    keystore = kafka.broker.security.keystore
    kept = keystore.read_bytes()
    kafka.stranger.issue("impostor", addresses=("127.0.0.1",)).both(keystore)
    try:
        kafka.broker.restart()
        yield
    finally:
        keystore.write_bytes(kept)
        kafka.broker.restart()


async def test_over_tls_with_a_client_certificate(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    variables = environment(secure_kafka.tls())
    commands_work(variables)
    with worker(tmp_path, variables) as run:
        run.wait_until_ready()
        await prediction_and_label_become_a_delta(settings_of(variables))
        assert run.end() == 0, run.said
        assert "Traceback" not in run.said


async def test_over_scram_where_no_secret_shows_and_a_worker_does_not_outlive_its_welcome(
    secure_kafka: SecureKafka, outside: Outside, tmp_path: Path
) -> None:
    variables = secretive(secure_kafka, outside, tmp_path)
    settings = settings_of(variables)
    said = commands_work(variables)
    said += plumbline("config", variables=variables).stdout
    assert "(set)" in said
    with worker(tmp_path, variables) as run:
        run.wait_until_ready()
        await prediction_and_label_become_a_delta(settings)
        soon = datetime.now(UTC) + timedelta(hours=1)
        await publish(settings, topics.ROLLBACKS, command(expires_at=soon))
        await publish(settings, topics.ALERTS, alert(updated_at=datetime.now(UTC)))
        for path in ("/hook", "/api/v2/alerts"):
            wait_until(lambda path=path: path in outside.requests, lambda: run.said)
        wait_until(lambda: "webhook_failed" in run.said, lambda: run.said)
        for path in ("/", "/metrics", "/healthz", "/readyz"):
            status, page = run.get(path)
            assert status == 200, page
            assert_no_secret(page, path)
        assert_no_secret(await everything_written(settings), "a topic")
        with another_certificate(secure_kafka):
            refused = plumbline("doctor", variables=variables)
            assert refused.returncode == 4, refused.stderr
            wait_until(lambda: run.process.poll() is not None, lambda: run.said)
        assert run.process.returncode == 4, run.said
        assert "shows a certificate that no trusted authority signed" in run.said
        assert_no_secret(run.said, "the log")
    assert_no_secret(said + refused.stdout + refused.stderr, "a command")
