from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from decision_samples import NOW
from typer.testing import CliRunner

from schemas.topics import Spread
from streams.cli import app
from streams.commands.doctor import clock, disk, layout
from streams.commands.topics import retention
from streams.engine.topics import TopicDescription


def described(n_partitions: int | None, spread: Spread = Spread.ONE) -> TopicDescription:
    return TopicDescription(
        name="x.ml.alerts.v1",
        table_name="ml.alerts.v1",
        key="environment/model",
        purpose="alerts",
        retention_ms=None,
        spread=spread,
        n_partitions_expected=1,
        n_partitions=n_partitions,
        config={},
    )


@pytest.mark.parametrize(
    ("n_partitions", "spread", "says"),
    [
        (1, Spread.ONE, ""),
        (None, Spread.ONE, "`plumbline topics create`"),
        (3, Spread.ONE, "3 partitions, expected 1: its records must have a single order, so delete the topic"),
        (3, Spread.EVENTS, "3 partitions, expected 1: set PLUMBLINE_TOPICS_EVENTS_PARTITIONS to what is there"),
        (3, Spread.MODELS, "3 partitions, expected 1: set PLUMBLINE_TOPICS_MODELS_PARTITIONS to what is there"),
    ],
)
def test_topics(n_partitions: int | None, spread: Spread, says: str) -> None:
    topic = described(n_partitions, spread)
    (check,) = layout([topic])
    assert says in topic.advice
    assert says in check.do
    assert check.ok is (says == "")


def test_topics_that_are_missing_are_one_line_and_others_a_line_each() -> None:
    found = [(check.ok, check.found) for check in layout([described(n) for n in (None, 1, None, 3)])]
    assert found == [
        (False, "2 of 4 are missing, first x.ml.alerts.v1"),
        (False, "x.ml.alerts.v1 does not fit"),
    ]


def run_doctor(code: int) -> tuple[list[dict[str, Any]], str]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    # An unconfigured log goes to standard output, unlike that of the program.
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")], result.stderr


def test_every_wrong_setting_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_WEB_PORT", "http")
    monkeypatch.setenv("PLUMBLINE_ENGINE_PROCESSING_GUARANTEE", "exactly_twice")
    checks, errors = run_doctor(2)
    assert [(check["name"], check["ok"]) for check in checks] == [("settings", False)] * 2
    assert checks[0]["found"].startswith("PLUMBLINE_ENGINE_PROCESSING_GUARANTEE = 'exactly_twice': expected 'exactly_")
    assert all(check["do"] for check in checks)
    assert errors == "plumbline: not ok: settings\n"


def test_a_broker_that_does_not_answer_has_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS", "0.3")
    monkeypatch.setenv("PLUMBLINE_RESPONDERS_ALERTMANAGER_URL", "http://127.0.0.1:9")
    checks, errors = run_doctor(3)
    found = {check["name"]: check for check in checks}
    assert found["settings"]["ok"]
    assert found["broker"]["found"] == "no answer at 127.0.0.1:9"
    assert "or set PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS" in found["broker"]["do"]
    assert found["alertmanager"]["found"].startswith("no answer: ")
    assert "PLUMBLINE_RESPONDERS_ALERTMANAGER_URL" in found["alertmanager"]["do"]
    assert "'127.0.0.1:9' within 0.3 s" in errors


def test_retention() -> None:
    assert retention(None) == "everything"
    assert retention(7 * 86_400_000) == "7d"


@pytest.mark.parametrize(("free", "ok"), [(5e9, True), (1e9, False)])
def test_disk(free: float, ok: bool) -> None:
    check = disk(Path("/data"), usage=lambda _: SimpleNamespace(free=int(free)))
    assert check.ok is ok
    assert "/data" in check.found


@pytest.mark.parametrize(("seconds", "ok"), [(-3600, True), (4, True), (6, False)])
def test_clock(seconds: int, ok: bool) -> None:
    assert clock(NOW + timedelta(seconds=seconds), NOW).ok is ok
    assert clock(None, NOW).ok
