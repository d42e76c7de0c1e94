"""The development brokers: started, restarted, and missed with clear words."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers import BrokerError, ExistingBroker, open_broker
from brokers.kafka import KafkaBroker
from brokers.process import answers
from brokers.tansu import TansuBroker


def test_the_embedded_broker_starts_restarts_and_ends(tmp_path: Path) -> None:
    with TansuBroker(tmp_path) as broker:
        address = broker.bootstrap_servers
        assert answers(broker.port)
        first = broker.pid
        broker.kill()
        assert not answers(broker.port)
        broker.restart()
        assert answers(broker.port)
        assert broker.bootstrap_servers == address
        assert broker.pid != first
    assert not answers(broker.port)
    assert broker.pid is None


def test_a_broker_is_chosen_by_its_kind(tmp_path: Path) -> None:
    assert isinstance(open_broker("tansu", tmp_path), TansuBroker)
    assert isinstance(open_broker("kafka", tmp_path), KafkaBroker)
    with open_broker("kafka.example:9092", tmp_path) as broker:
        assert broker == ExistingBroker(bootstrap_servers="kafka.example:9092")
    with pytest.raises(BrokerError, match="'redpanda': expected tansu, kafka, or host:port"):
        open_broker("redpanda", tmp_path)


def test_a_missing_java_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"`java` was not found on PATH.*openjdk-17"):
        KafkaBroker(tmp_path).start()


def test_a_broker_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    class Broken(TansuBroker):
        def command(self) -> list[str]:
            return [super().command()[0], "--no-such-option"]

    with pytest.raises(BrokerError, match=r"ended with code 2 before it answered.*(?s:.)*no-such-option"):
        Broken(tmp_path).start()
