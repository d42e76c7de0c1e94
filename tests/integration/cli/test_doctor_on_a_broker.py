"""`plumbline doctor` on a real broker: before the topics are there, when they fit, and when they do not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from typer.testing import CliRunner

from brokers.tansu import TansuBroker
from streams.cli import app


@pytest.fixture(autouse=True)
def _environment(tansu: TansuBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    run = uuid.uuid4().hex[:8]
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": tansu.bootstrap_servers,
        "ENGINE_PROCESSING_GUARANTEE": "at_least_once",
        "ENGINE_APPLICATION_ID": run,
        "TOPICS_PREFIX": f"{run}.",
        "TOPICS_EVENTS_PARTITIONS": "2",
        "TOPICS_MODELS_PARTITIONS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"PLUMBLINE_{name}", value)


def doctor(code: int) -> dict[str, list[dict[str, Any]]]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in result.stdout.splitlines():
        if line.startswith("{"):
            check = json.loads(line)
            assert check["ok"] or check["do"], check
            found.setdefault(check["name"], []).append(check)
    return found


def test_each_line_is_ok_or_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (missing,) = doctor(1)["topics"]
    assert missing["found"].startswith("21 of 21 are missing, first ")
    assert missing["do"].startswith("`plumbline topics create`")

    assert CliRunner().invoke(app, ["topics", "create"]).exit_code == 0
    checks = doctor(0)
    assert checks["topics"][0]["found"] == "21 topics are as they should be"
    assert set(checks) == {"settings", "disk", "broker", "guarantee", "topics", "clock"}

    monkeypatch.setenv("PLUMBLINE_TOPICS_EVENTS_PARTITIONS", "5")
    wrong = doctor(1)["topics"]
    assert {check["found"].split(".", 1)[1] for check in wrong if "changelog" not in check["found"]} == {
        "ml.predictions.v1 does not fit", "ml.labels.v1 does not fit", "ml.dead-letters.v1 does not fit",
    }  # fmt: skip
    assert all(
        check["do"].startswith("2 partitions, expected 5: set PLUMBLINE_TOPICS_EVENTS_PARTITIONS") for check in wrong
    )


def test_a_guarantee_that_the_broker_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_ENGINE_PROCESSING_GUARANTEE", "exactly_once")
    (check,) = doctor(1)["guarantee"]
    assert not check["ok"]
    assert "exactly_once is not supported" in check["found"]
    assert "set PLUMBLINE_ENGINE_PROCESSING_GUARANTEE=at_least_once" in check["do"]
