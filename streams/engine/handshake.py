"""Whether a broker lets us in, asked with a connection of its own.

aiokafka logs why a connection failed and raises the same error for a broker that is away and for one that refuses
us; some of its loops then try for ever. A refusal does not go away by itself, so it is told apart here, by the type
of what the handshake raised, and ends a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.engine.errors import BrokerRefusedError
from streams.engine.tls import ssl_context
from streams.settings import KafkaSettings

_MOST_BROKERS: Final = 3
"""Brokers of the cluster that are asked besides the bootstrap servers: one that is misconfigured is rarely alone."""
_ANSWER_SECONDS: Final = 5.0
"""For a connection and for each request on it, so that one dead address does not use up the time of the others."""
_CLOSE_SECONDS: Final = 1.0
_X509_OTHER_NAME: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_X509_OUT_OF_DATE: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
_CERTIFICATE_ALERTS: Final = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
)


def credentials(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments by which a client shows who it is; `ConfigurationError` where a file is not in order."""
    arguments: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol in {"SSL", "SASL_SSL"}:
        arguments["ssl_context"] = ssl_context(settings)
    if settings.sasl_mechanism is not None:
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        password = settings.sasl_password
        arguments["sasl_plain_password"] = None if password is None else password.get_secret_value()
    return arguments


async def greet(settings: KafkaSettings) -> None:
    """Return if the cluster lets us in: a bootstrap server, and the brokers that it names.

    Raises
    ------
    BrokerRefusedError
        Where no bootstrap server lets us in and one refuses us, or where a broker of the cluster refuses us.
    KafkaError, OSError, TimeoutError
        Where nobody answers.
    """
    failures: list[Exception] = []
    for host, port, _ in collect_hosts(settings.bootstrap_servers, randomize=False):
        try:
            advertised = await _greet_one(settings, host, port)
        except (BrokerRefusedError, KafkaError, OSError, TimeoutError) as error:
            failures.append(error)
            continue
        await _greet_others(settings, [each for each in advertised[:_MOST_BROKERS] if each != (host, port)])
        return
    raise next((each for each in failures if isinstance(each, BrokerRefusedError)), failures[-1])


async def _greet_others(settings: KafkaSettings, addresses: Sequence[tuple[str, int]]) -> None:
    greetings = (_greet_one(settings, host, port, advertised=True) for host, port in addresses)
    for found in await asyncio.gather(*greetings, return_exceptions=True):
        # One broker of many may be away.
        if isinstance(found, BaseException) and not isinstance(found, KafkaError | OSError):
            raise found


async def check_refusal(settings: KafkaSettings, *, timeout_seconds: float) -> None:
    """Raise `BrokerRefusedError` if that is why a client failed; return where it is anything else."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            await greet(settings)


async def _greet_one(
    settings: KafkaSettings, host: str, port: int, *, advertised: bool = False
) -> list[tuple[str, int]]:
    """Shake hands, and return the brokers of the cluster."""
    where = f"the broker at {host}:{port}"
    if advertised:
        where += " (the address that the cluster gives for it)"
    try:
        connected = await create_conn(
            host,
            port,
            client_id="plumbline-handshake",
            request_timeout_ms=round(_ANSWER_SECONDS * 1000),
            **credentials(settings),
        )
        try:
            # Only now does a broker show that it wants SASL, and under TLS 1.3 that it wants a certificate.
            answer = await connected.send(MetadataRequest([]))
        finally:
            await asyncio.wait({connected.close()}, timeout=_CLOSE_SECONDS)
    except (KafkaError, OSError, ValueError) as error:
        why = next(filter(None, (_refusal(each, settings) for each in _causes(error))), None)
        if why is None:
            raise
        msg = f"{where} {why}"
        raise BrokerRefusedError(msg) from error
    return [(each[1], each[2]) for each in answer.brokers]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _refusal(error: BaseException, settings: KafkaSettings) -> str | None:
    """Return what a broker does not like and which setting says so; None where it is no refusal."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrust(error, settings)
    if isinstance(error, ssl.SSLError):
        return _tls_refusal(error.reason or str(error), settings)
    if settings.sasl_mechanism is not None:
        return _sasl_refusal(error, settings)
    return None


def _sasl_refusal(error: BaseException, settings: KafkaSettings) -> str | None:
    user = f"user {settings.sasl_username!r} with {settings.sasl_mechanism}"
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"does not let {user} in: check PLUMBLINE_KAFKA_SASL_USERNAME and PLUMBLINE_KAFKA_SASL_PASSWORD"
            f" (or PLUMBLINE_KAFKA_SASL_PASSWORD_FILE). It says: {_words(error)}"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return (
            f"does not take PLUMBLINE_KAFKA_SASL_MECHANISM = {settings.sasl_mechanism!r}: expected one of its"
            " sasl.enabled.mechanisms"
        )
    if isinstance(error, IllegalSaslStateError):
        return f"expects no SASL here: check PLUMBLINE_KAFKA_SECURITY_PROTOCOL = {settings.security_protocol!r}"
    if isinstance(error, ValueError):
        return f"did not prove that it knows {user}: it is not the broker that it should be ({error})"
    return None


def _words(error: BaseException) -> str:
    return " ".join(str(each) for each in error.args) or type(error).__name__


def _distrust(error: ssl.SSLCertVerificationError, settings: KafkaSettings) -> str:
    said = error.verify_message
    if error.verify_code in _X509_OTHER_NAME:
        return (
            f"shows a certificate for another name ({said}): expected PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS, and the"
            " brokers' advertised.listeners, to use a name that the certificate holds"
        )
    if error.verify_code in _X509_OUT_OF_DATE:
        return f"shows a certificate that is out of date ({said}): renew it on the broker, or set the clock here"
    trusted = "the system's authorities" if settings.ssl_cafile is None else f"{str(settings.ssl_cafile)!r}"
    return (
        f"shows a certificate that no trusted authority signed ({said}): expected PLUMBLINE_KAFKA_SSL_CAFILE to hold"
        f" the authority of the broker's certificate; trusted now: {trusted}"
    )


def _tls_refusal(reason: str, settings: KafkaSettings) -> str:
    if reason in _NO_TLS:
        return f"does not speak TLS: check PLUMBLINE_KAFKA_SECURITY_PROTOCOL = {settings.security_protocol!r}"
    if reason.endswith(_CERTIFICATE_ALERTS):
        if settings.ssl_certfile is None:
            return (
                "asks for a client certificate: expected PLUMBLINE_KAFKA_SSL_CERTFILE, and PLUMBLINE_KAFKA_SSL_KEYFILE"
                f" with its key ({reason})"
            )
        return (
            f"does not accept the client certificate in PLUMBLINE_KAFKA_SSL_CERTFILE = {str(settings.ssl_certfile)!r}:"
            f" expected one in date, of an authority that the broker trusts ({reason})"
        )
    return f"and this client found no common TLS ({reason}): see PLUMBLINE_KAFKA_SECURITY_PROTOCOL and the SSL settings"
