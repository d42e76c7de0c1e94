"""A broker that does not let us in: said at once, with the setting to look at, and with an exit code of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from secure_support import SecureKafka, environment, worker
from typer.testing import CliRunner

from streams.cli import app
from streams.engine.clients import open_admin
from streams.engine.errors import BrokerRefusedError, BrokerUnavailableError
from streams.engine.loop import new_event_loop
from streams.engine.tls import refresh_certificates, ssl_context
from streams.settings import Settings

pytestmark = pytest.mark.kafka

Kafka = dict[str, Any]
WAIT_SECONDS = 30.0
"""What a client may wait for a broker that is away; a refusal has to come long before."""


def settings(kafka: Kafka, timeout_seconds: float = WAIT_SECONDS) -> Settings:
    return Settings.model_validate({"kafka": {**kafka, "connect_timeout_seconds": timeout_seconds}})


def with_certificate(k: SecureKafka, made: Any) -> Kafka:
    return k.tls(ssl_certfile=str(made.certfile), ssl_keyfile=str(made.keyfile))


CASES: dict[str, tuple[Callable[[SecureKafka], Kafka], tuple[str, ...]]] = {
    "wrong password": (
        lambda k: k.scram(sasl_password="not-it-2718"),
        ("user 'plumbline' with SCRAM-SHA-512", "PLUMBLINE_KAFKA_SASL_PASSWORD_FILE", "invalid credentials"),
    ),
    "unknown user": (
        lambda k: k.scram("SCRAM-SHA-256", sasl_username="nobody"),
        ("user 'nobody' with SCRAM-SHA-256", "PLUMBLINE_KAFKA_SASL_USERNAME"),
    ),
    "mechanism": (lambda k: k.scram("PLAIN"), ("PLUMBLINE_KAFKA_SASL_MECHANISM = 'PLAIN'",)),
    "unknown authority": (
        lambda k: k.tls(ssl_cafile=str(k.stranger.cafile)),
        ("no trusted authority signed", "PLUMBLINE_KAFKA_SSL_CAFILE", "stranger.pem"),
    ),
    "the system's authorities": (lambda k: k.scram(ssl_cafile=None), ("trusted now: the system's authorities",)),
    "no client certificate": (
        lambda k: k.tls(ssl_certfile=None, ssl_keyfile=None),
        ("asks for a client certificate", "PLUMBLINE_KAFKA_SSL_CERTFILE", "PLUMBLINE_KAFKA_SSL_KEYFILE"),
    ),
    "client certificate of a stranger": (
        lambda k: with_certificate(k, k.stranger.issue("strange")),
        ("does not accept the client certificate in PLUMBLINE_KAFKA_SSL_CERTFILE", "strange.crt.pem"),
    ),
    "client certificate out of date": (
        lambda k: with_certificate(k, k.authority.issue("old", expired=True)),
        ("does not accept the client certificate in PLUMBLINE_KAFKA_SSL_CERTFILE", "expected one in date"),
    ),
    "another name": (
        lambda k: k.tls(bootstrap_servers=k.address("TLS").replace("127.0.0.1", "localhost")),
        ("the broker at localhost:", "for another name", "PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS"),
    ),
    "another name in what the cluster says": (
        lambda k: k.scram(bootstrap_servers=k.address("ASTRAY")),
        ("the broker at localhost:", "the address that the cluster gives", "advertised.listeners"),
    ),
    "SASL where none is expected": (
        lambda k: (
            k.scram(bootstrap_servers=k.broker.bootstrap_servers, security_protocol="SASL_PLAINTEXT")
            | {"ssl_cafile": None}
        ),
        ("expects no SASL", "PLUMBLINE_KAFKA_SECURITY_PROTOCOL = 'SASL_PLAINTEXT'"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_names_what_is_wrong_and_the_setting(
    secure_kafka: SecureKafka, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, said = CASES[case]
    kafka = make(secure_kafka)
    for name, value in environment(kafka, PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS=str(WAIT_SECONDS)).items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    for command in (["doctor"], ["topics", "create"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 4, (result.output, result.exception)
        for each in said:
            assert each in result.stderr
        assert "not-it-2718" not in result.output
    with pytest.raises(BrokerRefusedError), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(open_admin(settings(kafka)))  # a worker's loop has TLS of its own
    assert time.monotonic() - started < WAIT_SECONDS


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_user_and_password_let_us_in(secure_kafka: SecureKafka, mechanism: str) -> None:
    await (await open_admin(settings(secure_kafka.scram(mechanism)))).close()


async def test_one_address_that_lets_us_in_is_enough(secure_kafka: SecureKafka) -> None:
    both = f"{secure_kafka.address('TLS').replace('127.0.0.1', 'localhost')},{secure_kafka.address('TLS')}"
    await (await open_admin(settings(secure_kafka.tls(bootstrap_servers=both)))).close()


@pytest.mark.parametrize(
    ("listener", "protocol"), [("TLS", "PLAINTEXT"), ("SCRAM", "PLAINTEXT"), ("SCRAM", "SSL"), (None, "SSL")]
)
async def test_another_protocol_looks_like_a_broker_that_restarts_so_it_is_waited_for(
    secure_kafka: SecureKafka, listener: str | None, protocol: str
) -> None:
    address = secure_kafka.broker.bootstrap_servers if listener is None else secure_kafka.address(listener)
    kafka = secure_kafka.tls() if protocol == "SSL" else {}
    with pytest.raises(BrokerUnavailableError) as raised:
        await open_admin(settings({**kafka, "bootstrap_servers": address}, timeout_seconds=0.5))
    assert f"does PLUMBLINE_KAFKA_SECURITY_PROTOCOL = '{protocol}' fit that port?" in str(raised.value)


def test_a_worker_with_a_wrong_password_ends_with_4(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    variables = environment(secure_kafka.scram(sasl_password="not-it-2718"))
    with worker(tmp_path, variables) as run:
        assert run.process.wait(20) == 4, run.said
        assert "does not let user 'plumbline' with SCRAM-SHA-512 in" in run.said
        assert "not-it-2718" not in run.said


async def test_a_renewed_certificate_reaches_clients_that_are_there(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    mine = secure_kafka.stranger.issue("renewed")
    chosen = settings(with_certificate(secure_kafka, mine))
    context = ssl_context(chosen.kafka)
    with pytest.raises(BrokerRefusedError):
        await open_admin(chosen)
    good = secure_kafka.authority.issue("renewal")
    mine.keyfile.write_bytes(good.keyfile.read_bytes())
    refresh_certificates()  # half way: the old pair stays in use
    mine.certfile.write_bytes(good.certfile.read_bytes())
    refresh_certificates()
    assert ssl_context(chosen.kafka) is context
    await (await open_admin(chosen)).close()
