"""Brokers for the whole test session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from brokers.kafka import KafkaBroker, missing_tool
from brokers.process import BrokerError
from brokers.tansu import TansuBroker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One Apache Kafka for the session; skipped where its prerequisites are missing, but never in CI."""
    missing = missing_tool()
    if missing is not None:
        reason = f"needs Apache Kafka: `{missing}` is not installed (Java 17 and Maven)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TansuBroker]:
    """One embedded broker for the session."""
    try:
        broker = TansuBroker(tmp_path_factory.mktemp("tansu")).start()
    except BrokerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with broker:
        yield broker
