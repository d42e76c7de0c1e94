"""What a handshake raises, as a refusal or as nothing of the kind. The rest is tested on a broker."""

from __future__ import annotations

import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError

from streams.engine.handshake import _refusal
from streams.settings import KafkaSettings

SCRAM = KafkaSettings.model_validate(
    {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "ada",
        "sasl_password": "sesame",
    }
)


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] text that nobody reads")
    error.reason = reason
    return error


def unverified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "text that nobody reads")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (tls_error("WRONG_VERSION_NUMBER"), "does not speak TLS"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "found no common TLS (TLSV1_ALERT_PROTOCOL_VERSION)"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "asks for a client certificate"),
        (unverified(10, "certificate has expired"), "out of date (certificate has expired)"),
        (unverified(18, "self-signed certificate"), "no trusted authority signed (self-signed certificate)"),
        (ValueError("Server sent wrong signature!"), "did not prove that it knows user 'ada'"),
    ],
)
def test_a_refusal(error: Exception, said: str) -> None:
    assert said in (_refusal(error, SCRAM) or "")


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), KafkaConnectionError(), RequestTimedOutError()],
)
def test_an_absence(error: Exception) -> None:
    assert _refusal(error, SCRAM) is None
