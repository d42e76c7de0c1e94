"""One broker with encrypted listeners for all of these tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from secure_support import PASSWORD, USER, SecureKafka

from brokers.kafka import KafkaBroker, missing_tool
from brokers.security import Listener, Security

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "responders"))


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    missing = missing_tool()
    if missing is not None:
        reason = f"needs Apache Kafka: `{missing}` is not installed (Java 17 and Maven)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("secure-kafka")
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    security = Security(
        keystore=authority.issue("broker", addresses=("127.0.0.1",)).both(folder / "keystore.pem"),
        authorities=authority.cafile,
        users={USER: PASSWORD},
        listeners={
            "TLS": Listener(protocol="SSL"),
            "SCRAM": Listener(protocol="SASL_SSL"),
            # Found under an address that its certificate holds, and advertised under a name that it does not.
            "ASTRAY": Listener(protocol="SASL_SSL", advertised_host="localhost"),
        },
    )
    with KafkaBroker(folder / "broker", security=security) as broker:
        yield SecureKafka(broker, authority, stranger, authority.issue("client"), folder)
