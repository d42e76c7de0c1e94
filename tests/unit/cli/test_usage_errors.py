"""What is wrong with a call is said at once, with exit code 2: before any broker is asked, let alone waited for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app

PREDICTION = {"prediction_id": "p", "model_name": "m", "model_version": "1", "prediction_timestamp": 1_767_225_600}
PUBLISH = ("deployments", "publish", "--model", "m", "--version", "1")
VALIDATE = ("validations", "publish", "--model", "m", "--version", "1", "--suite", "s", "--passed")
BUILD = ("references", "build", "--model", "m")
TIMES = ("--start", "2026-01-01T00:00:00Z", "--end", "2026-02-01T00:00:00Z")


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS", "0.05")
    (tmp_path / "p.jsonl").write_text(json.dumps(PREDICTION) + "\n")
    (tmp_path / "bad.jsonl").write_text("{\n")
    (tmp_path / "m.yaml").write_text("models: [{name: m}]\n")
    (tmp_path / "bad.yaml").write_text("models: [{nam: m}]\n")


def call(arguments: tuple[str, ...], code: int) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("worker", "--stage", "judge"),
            "--stage is 'judge': expected one of 'profiler', 'evaluator', 'governor', 'responders'",
        ),
        (("apply", "-f", "none.yaml"), "none.yaml cannot be read"),
        (("apply", "-f", "bad.yaml"), "bad.yaml:1: models[0].nam is no known key"),
        (("alerts", "list", "--severity", "loud"), "plumbline: --severity is 'loud': expected one of 'page', 'ticket'"),
        (("alerts", "tail", "--severity", "loud"), "plumbline: --severity is 'loud': expected one of 'page', 'ticket'"),
        (("alerts", "list", "--model", "a b"), "--model is 'a b': expected a letter or digit, then"),
        (("rollbacks", "list", "--state", "gone"), "--state is 'gone': expected one of 'refused', 'requested', "),
        (("rollbacks", "list", "--model", "*"), "--model is '*': expected a letter or digit"),
        (("rollbacks", "approve", "id", "--actor", " "), "--actor is empty: expected a text"),
        (("rollbacks", "reject", "", "--actor", "ada"), "ROLLBACK_ID is empty: expected a text"),
        (("deployments", "list", "--model", "/"), "--model is '/': expected a letter or digit"),
        (("deployments", "publish", "--model", "m"), "--version is missing: expected the version that is deployed"),
        (("deployments", "publish", "--model", "", "--version", "1"), "--model is '': expected a letter or digit"),
        ((*PUBLISH, "--environment", "a/b"), "--environment is 'a/b': expected a letter or digit"),
        ((*PUBLISH, "--role", "boss"), "--role is 'boss': expected one of 'champion', 'challenger', 'shadow'"),
        ((*PUBLISH, "--state", "away"), "--state is 'away': expected one of 'active', 'retired'"),
        ((*PUBLISH, "--traffic", "2"), "--traffic is '2': expected less than or equal to 1"),
        ((*PUBLISH, "--generation", "0"), "--generation is '0': expected greater than or equal to 1"),
        ((*PUBLISH, "--at", "yesterday"), "--at is 'yesterday': expected a time with a zone"),
        ((*PUBLISH, "--at", "2026-01-01T00:00"), "--at is '2026-01-01T00:00': expected a time with a zone"),
        ((*PUBLISH, "--feature-source", "a"), "--feature-source is 'a': expected name=value"),
        ((*PUBLISH, "--id", " "), "--id is empty: expected a text"),
        ((*VALIDATE, "--fairness", "gap=big"), "--fairness is 'gap=big': expected a finite number"),
        ((*VALIDATE, "--robustness", "gap=nan"), "--robustness is 'gap=nan': expected a finite number"),
        ((*VALIDATE, "--at", "now"), "--at is 'now': expected a time with a zone"),
        ((*VALIDATE, "--suite", ""), "--suite is empty: expected a text"),
        (BUILD, "nothing to build from: expected --predictions FILE, or --from-topics"),
        ((*BUILD, "--from-topics"), "--start or --end is missing: expected both with --from-topics"),
        ((*BUILD, "--from-topics", *TIMES, "--labels", "p.jsonl"), "--labels and --from-topics exclude each other"),
        ((*BUILD, "--from-topics", "--start", TIMES[3], "--end", TIMES[1]), "expected a time after --start"),
        ((*BUILD, "--from-topics", *TIMES, "--monitors", "none.yaml"), "none.yaml cannot be read"),
        ((*BUILD, "--predictions", "none.jsonl"), "none.jsonl cannot be read"),
        ((*BUILD, "--predictions", "bad.jsonl"), "bad.jsonl:1: "),
        ((*BUILD, "--predictions", "p.jsonl", "--labels", "bad.jsonl"), "bad.jsonl:1: "),
        ((*BUILD, "--predictions", "p.jsonl", "--output", "away/r.json"), "--output is 'away/r.json': expected a file"),
        (("references", "build", "--model", "x", "--predictions", "p.jsonl", "--monitors", "m.yaml"), "'production/x'"),
        (("references", "list", "--model", "a b"), "--model is 'a b': expected a letter or digit"),
        (("dead-letters", "list", "--reason", "bored"), "--reason is 'bored': expected one of "),
        (("dead-letters", "list", "--from-topic", "ml.label.v1"), "--from-topic is 'ml.label.v1': expected one of ml."),
        (("dead-letters", "list", "--limit", "0"), "--limit is '0': expected greater than or equal to 1"),
        (("dead-letters", "list", "--limit", "few"), "--limit is 'few': expected a valid integer"),
        (("dead-letters", "redrive"), "nothing is chosen: expected --reason, --from-topic, --at, or --all"),
        (("dead-letters", "redrive", "--at", "7"), "--at is '7': expected PARTITION:OFFSET, such as 3:1021"),
        (("dead-letters", "redrive", "--all", "--at", "0:7"), "--all excludes --reason, --from-topic and --at"),
        (("schemas", "ml.nothing.v1"), "schema 'ml.nothing.v1' is unknown: expected one of "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_call_is_refused_before_a_broker_is_asked(arguments: tuple[str, ...], says: str) -> None:
    assert says in call(arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "-f", "m.yaml"), PUBLISH, VALIDATE, (*BUILD, "--predictions", "p.jsonl"),
        (*BUILD, "--from-topics", *TIMES, "--monitors", "m.yaml"), ("deployments", "list"), ("references", "list"),
        ("alerts", "tail"), ("incidents", "list"), ("rollbacks", "approve", "id", "--actor", "ada"),
        ("dead-letters", "list"), ("dead-letters", "redrive", "--all"), ("topics", "create"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_right_call_then_misses_the_broker(arguments: tuple[str, ...]) -> None:
    assert "no broker answered" in call(arguments, code=3)


@pytest.mark.parametrize("command", [("topics",), ("alerts", "list"), ("worker",), ("config",)], ids=" ".join)
def test_an_unknown_topic_among_the_overrides_is_refused_at_start(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_TOPICS_OVERRIDES", '{"ml.prediction.v1": "scores"}')
    says = call(command, code=2)
    assert "PLUMBLINE_TOPICS_OVERRIDES = {'ml.prediction.v1': 'scores'}: 'ml.prediction.v1' (for 'scores')" in says
    assert "expected one of ml.predictions.v1, ml.labels.v1, " in says
