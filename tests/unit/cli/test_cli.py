from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from decision_samples import MINUTE, NOW, alert, command, record
from typer.testing import CliRunner

from schemas import topics
from schemas.alerts import AlertStatus
from schemas.deployments import DeploymentEvent
from schemas.identifiers import model_key
from schemas.incidents import Intervention
from schemas.rollbacks import RollbackState
from schemas.topics import Topic
from streams.cli import app
from streams.commands import broker, configuration
from streams.commands.console import utc_now
from streams.engine.errors import BrokerUnavailableError
from streams.engine.processor import ListRecord, Output, Record
from streams.responders.signatures import is_authentic

ROOT = Path(__file__).resolve().parents[3]


class Shelf:
    """A broker's worth of records, for commands that only read and publish."""

    def __init__(self) -> None:
        self.records: list[ListRecord] = []
        self.published: list[Output] = []

    async def scan(
        self, _settings: Any, topics_: Sequence[Topic], take: Callable[[str, Record], None], *, merged: bool = False
    ) -> None:
        del merged
        for each in self.records:
            if each.topic in {topic.name for topic in topics_}:
                take(each.topic, each)

    async def follow(self, settings: Any, topic: Topic, on_record: Callable[[str, Record], None]) -> None:
        await self.scan(settings, [topic], on_record)

    async def publish(self, _settings: Any, _topics: Sequence[Topic], outputs: Iterable[Output]) -> int:
        found = list(outputs)
        self.published += found
        self.records += [ListRecord(topic=o.topic, key=o.key, value=o.value, headers=o.headers) for o in found]
        return len(found)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(broker, "scan", made.scan)
    monkeypatch.setattr(broker, "follow", made.follow)
    monkeypatch.setattr(broker, "publish", made.publish)
    return made


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, each in (group or typer.main.get_command(app)).commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name)


def groups() -> list[tuple[str, ...]]:
    return sorted({path[:-1] for path in commands() if path[:-1]})


@pytest.mark.parametrize("path", [(), *groups(), *commands()], ids=" ".join)
def test_every_command_has_a_sentence_and_an_example(path: tuple[str, ...]) -> None:
    text = re.sub(r"\s+", " ", run(*path, "--help").output)
    assert re.search(rf"Example: {' '.join(('plumbline', *path))}\b", text)
    assert re.search(r"Usage: .*\[(OPTIONS|ARGS)\].* [A-Z][^.]+\. (Arguments|Options):", text)


def test_the_version_is_a_command_and_an_option() -> None:
    assert run("--version").stdout == run("version").stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").stdout)


def test_without_a_command_there_is_help() -> None:
    assert "doctor" in CliRunner().invoke(app, []).output
    run("no-such-command", code=2)


@pytest.mark.parametrize("arguments", [["alerts", "list"], ["topics"], ["rollbacks", "list"], ["doctor"]])
def test_no_broker_is_one_line_and_exit_code_3(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS", "0.3")
    errors = run(*arguments, code=BrokerUnavailableError.exit_code).stderr.splitlines()
    assert [line for line in errors if line.startswith("plumbline:")] == errors
    assert len(errors) == 1
    assert "'127.0.0.1:9' within 0.3 s" in errors[0]


def test_a_wrong_setting_names_variable_value_and_expectation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_WEB_PORT", "http")
    monkeypatch.setenv("PLUMBLINE_RESPONDERS_WEBHOOK_URL", "https://user:secret@ci.example/hook")
    errors = run("config", code=2).stderr
    assert "plumbline: PLUMBLINE_WEB_PORT = 'http': expected a valid integer" in errors
    assert "plumbline: PLUMBLINE_RESPONDERS_WEBHOOK_SECRET is missing: expected a key" in errors
    assert "user:secret" not in errors


def test_config_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_RESPONDERS_WEBHOOK_URL", "https://user:sesame@ci.example/hook?token=sesame")
    monkeypatch.setenv("PLUMBLINE_RESPONDERS_WEBHOOK_SECRET", "sesame")
    monkeypatch.setenv("PLUMBLINE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("PLUMBLINE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("PLUMBLINE_KAFKA_SASL_USERNAME", "ada")
    monkeypatch.setenv("PLUMBLINE_KAFKA_SASL_PASSWORD", "sesame")
    rows = {row["setting"]: row for row in map(json.loads, run("config", "--json").stdout.splitlines())}
    assert "sesame" not in json.dumps(rows)
    assert rows["responders.webhook_url"]["value"] == "https://ci.example/hook"
    assert rows["kafka.sasl_password"] == {
        "setting": "kafka.sasl_password",
        "value": "(set)",
        "is_default": False,
        "variable": "PLUMBLINE_KAFKA_SASL_PASSWORD",
    }
    assert "sesame" not in run("config").output


def test_the_configuration_reference_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_WEB_PORT", "1")
    committed = (ROOT / "docs" / "configuration.md").read_text()
    assert run("config", "--markdown").stdout == committed, (
        "write it with `plumbline config --markdown > docs/configuration.md`"
    )
    assert {setting.variable for setting in configuration.settings_table()} <= set(re.findall(r"`(\w+)`", committed))


def test_alerts_list_and_filters(shelf: Shelf) -> None:
    given = [alert(), alert(name="cost", labels={**alert().labels, "severity": "ticket"}), alert(name="old")]
    given.append(alert(AlertStatus.RESOLVED, name="old", sequence=2))
    shelf.records = [record(topics.ALERTS.name, each, at=utc_now()) for each in given]

    def names(*arguments: str) -> list[str]:
        lines = run("alerts", "list", "--json", *arguments).stdout.splitlines()
        return [json.loads(line)["fingerprint"] for line in lines]

    assert names() == ["fp-cost", "fp-miss"]
    assert names("--severity", "page") == ["fp-miss"]
    assert names("--model", "other") == []
    assert "fp-old" in names("--ended")
    assert "miss is out of true" in run("alerts", "list").stdout
    assert run("alerts", "list", "--model", "other").stderr == "No alert is in force.\n"


def test_a_record_that_cannot_be_read_is_left_out_and_said(shelf: Shelf) -> None:
    shelf.records = [ListRecord(topic=topics.ALERTS.name, offset=7, value=b"{}")]
    shelf.records.append(record(topics.ALERTS.name, alert(), at=utc_now()))
    result = run("alerts", "list", "--json")
    assert len(result.stdout.splitlines()) == 1
    assert "left out: ml.alerts.v1, partition 0, offset 7: alert_id" in result.stderr


def test_approve_publishes_a_signed_intervention(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_GOVERNOR_SIGNING_KEY", "sesame")
    shelf.records = [record(topics.ROLLBACKS.name, command(RollbackState.REQUESTED))]
    run("rollbacks", "approve", "rollback-1", "--actor", "ada", "--comment", "seen")
    (output,) = shelf.published
    event = Intervention.model_validate_json(output.value or b"")
    assert (event.kind, event.subject, event.actor, event.comment) == ("approve", "rollback-1", "ada", "seen")
    assert output.key == b"production/flight-delay"
    headers = {name: value.decode() for name, value in output.headers}
    assert is_authentic("sesame", output.value or b"", headers)


@pytest.mark.parametrize(
    ("rollback_id", "state", "actor", "code", "says"),
    [
        ("unknown", RollbackState.REQUESTED, "ada", 2, "rollback 'unknown' is unknown: expected an id"),
        ("rollback-1", RollbackState.EXPIRED, "ada", 1, "'rollback-1' is expired: expected requested, to reject it"),
        ("rollback-1", RollbackState.REQUESTED, " ", 2, "--actor is empty: expected a text"),
        ("", RollbackState.REQUESTED, "ada", 2, "ROLLBACK_ID is empty: expected a text"),
    ],
)
def test_an_intervention_that_makes_no_sense(
    shelf: Shelf, rollback_id: str, state: RollbackState, actor: str, code: int, says: str
) -> None:
    shelf.records = [record(topics.ROLLBACKS.name, command(state))]
    assert says in run("rollbacks", "reject", rollback_id, "--actor", actor, code=code).stderr
    assert shelf.published == []


def test_rollbacks_list_takes_a_state(shelf: Shelf) -> None:
    shelf.records = [record(topics.ROLLBACKS.name, command(RollbackState.REQUESTED))]
    assert len(run("rollbacks", "list", "--state", "requested", "--json").stdout.splitlines()) == 1
    assert run("rollbacks", "list", "--state", "expired", "--json").stdout == ""
    assert "None of the rollbacks and refusals so far" in run("rollbacks", "list", "--state", "expired").stderr
    shelf.records = []
    assert "No rollback was requested or refused so far" in run("rollbacks", "list", "--state", "expired").stderr


def test_alerts_tail_shows_new_states_and_on_demand_what_goes_on(shelf: Shelf) -> None:
    firing, no_data = AlertStatus.FIRING, AlertStatus.NO_DATA
    of_old = [alert(name="old", previous_status=firing, sequence=7), alert(AlertStatus.RESOLVED, name="old")]
    of_new = [
        alert(),
        alert(previous_status=firing, sequence=2, updated_at=NOW + MINUTE),
        alert(no_data, previous_status=firing, sequence=3),
    ]
    shelf.records = [record(topics.ALERTS.name, each) for each in (*of_old, *of_new)]
    header, *lines = run("alerts", "tail").stdout.splitlines()
    assert header.startswith("Said  State  Severity")
    assert [line.split("  ")[1] for line in lines] == ["resolved", "firing", "no_data"]
    everything = run("alerts", "tail", "--all").stdout.splitlines()[1:]
    assert len(everything) == len(set(everything)) == 5
    assert [json.loads(line)["sequence"] for line in run("alerts", "tail", "--json").stdout.splitlines()] == [1, 1, 3]


def test_deployments_count_generations_and_can_be_changed(shelf: Shelf) -> None:
    run("deployments", "publish", "--model", "m", "--version", "1", "--at", "2026-01-01T00:00:00Z")
    run("deployments", "publish", "--model", "m", "--version", "2", "--id", "mine", "--feature-source", "a=warehouse")
    run("deployments", "publish", "--model", "m", "--id", "mine", "--state", "retired")
    rows = [json.loads(line) for line in run("deployments", "list", "--json").stdout.splitlines()]
    assert [(row["model_version"], row["generation"], row["state"]) for row in rows] == [
        ("1", 1, "active"),
        ("2", 2, "retired"),
    ]
    assert rows[1]["feature_sources"] == {"a": "warehouse"}
    assert "Published deployment mine" in run("deployments", "publish", "--model", "m", "--id", "mine").stderr
    assert shelf.published[2].key == f"{model_key('production', 'm')}/mine".encode()
    assert DeploymentEvent.model_validate(rows[0]).deployed_at.year == 2026


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "m"], "--version is missing"),
        (["--model", "m", "--id", "unheard-of"], "--version is missing"),
    ],
)
def test_a_deployment_that_is_not_whole_is_refused(shelf: Shelf, arguments: list[str], says: str) -> None:
    assert says in run("deployments", "publish", *arguments, code=2).stderr
    assert shelf.published == []


def test_deployments_list_says_who_was_replaced_and_by_whom(shelf: Shelf) -> None:
    for model, version, day in (("m", "v1", 1), ("m", "v2", 5), ("n", "w", 3)):
        at = f"2026-01-0{day}T00:00:00Z"
        published = run("deployments", "publish", "--model", model, "--version", version, "--id", "id", "--at", at)
        assert "Published new deployment" in published.stderr or version == "v2"
    run("deployments", "publish", "--model", "m", "--version", "v3", "--id", "x", "--at", "2026-01-09T00:00:00Z")
    lines = [line for line in run("deployments", "list").stdout.splitlines() if "production" in line]
    assert ["replaced by v3" in line for line in lines] == [True, False, False]
    assert ["100%" in line for line in lines] == [False, True, True]
    (only,) = [line for line in run("deployments", "list", "--model", "n").stdout.splitlines() if "production" in line]
    assert "active" in only


def test_validations(shelf: Shelf) -> None:
    arguments = ["--model", "m", "--version", "1", "--suite", "offline", "--failed", "--fairness", "gap=0.02"]
    run("validations", "publish", *arguments)
    assert shelf.published[0].key == b"production/m/1/offline"
    event = json.loads(shelf.published[0].value or b"")
    assert (event["passed"], event["fairness"]) == (False, {"gap": 0.02})
    assert "expected a finite number" in run("validations", "publish", *arguments[:-1], "gap=big", code=2).stderr


def letter(offset: int, *, reason: str = "not_json", **more: str) -> ListRecord:
    fields = {"reason": reason, "message": "no JSON", "topic": "ml.predictions.v1", "partition": "1", "offset": "9"}
    headers = [(f"plumbline_dlq_{name}", text.encode()) for name, text in {**fields, **more}.items()]
    return ListRecord(
        topic=topics.DEAD_LETTERS.name, offset=offset, key=b"p1", value=b"{", headers=[("x", b"y"), *headers]
    )


def test_dead_letters_go_back_untouched(shelf: Shelf) -> None:
    shelf.records = [letter(0), letter(1, reason="too_many_models")]
    rows = [json.loads(line) for line in run("dead-letters", "list", "--json").stdout.splitlines()]
    assert [(row["at"], row["reason"], row["topic"], row["key"]) for row in rows] == [
        ("0:0", "not_json", "ml.predictions.v1", "p1"),
        ("0:1", "too_many_models", "ml.predictions.v1", "p1"),
    ]
    assert "1 records would be put back" in run("dead-letters", "redrive", "--at", "0:1", "--dry-run").stderr
    assert shelf.published == []
    run("dead-letters", "redrive", "--reason", "too_many_models")
    (output,) = shelf.published
    assert (output.topic, output.key, output.value, list(output.headers)) == (
        "ml.predictions.v1", b"p1", b"{", [("x", b"y")],
    )  # fmt: skip


def test_what_must_not_be_put_back(shelf: Shelf) -> None:
    shelf.records = [letter(0, reason="webhook_failed", topic="ml.rollbacks.v1"), letter(1, topic="foreign"), letter(2)]
    errors = run("dead-letters", "redrive", "--all", code=1).stderr
    assert "dead letter 0:0 is a rollback command" in errors
    assert "dead letter 0:1 came from 'foreign', a foreign topic" in errors
    assert len(shelf.published) == 1
    assert "nothing is chosen" in run("dead-letters", "redrive", code=2).stderr


def test_a_letter_too_large_for_its_topic_is_known_before_and_the_rest_goes_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUMBLINE_TOPICS_PREFIX", "eu.")
    large = ListRecord(
        topic=topics.DEAD_LETTERS.name, value=b"x" * 2_000_000, headers=letter(0, reason="too_large").headers
    )
    shelf.records = [large, letter(1, reason="too_large")]
    dry = run("dead-letters", "redrive", "--reason", "too_large", "--dry-run").stderr
    assert "Dry run: 1 records would be put back, 1 cannot be." in dry
    assert "dead letter 0:0 cannot go back to 'eu.ml.predictions.v1': " in dry
    assert "2000000 bytes: expected at most 1048320" in dry
    assert "max.message.bytes" in dry
    assert "1 records put back." in run("dead-letters", "redrive", "--reason", "too_large", code=1).stderr
    assert [len(output.value or b"") for output in shelf.published] == [1]


def test_a_letter_that_is_not_there_is_not_put_back(shelf: Shelf) -> None:
    shelf.records = [letter(0)]
    assert "no dead letter is chosen" in run("dead-letters", "redrive", "--at", "99:1", code=1).stderr
    assert shelf.published == []


def test_apply_dry_run_publishes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "monitors.yaml"
    path.write_text("models: [{name: m, monitors: [{signal: miss_rate}]}]")
    assert "2 records would be published" in run("apply", "-f", str(path), "--dry-run").stderr
    assert shelf.published == []
    shown = run("apply", "-f", str(path), "--diff")
    assert "+ ml.monitors.v1 production/m/miss_rate" in shown.stdout
    assert "2 records would be published" in shown.stderr
    assert shelf.published == []
    assert "2 records published" in run("apply", "-f", str(path)).stderr
    assert run("apply", "-f", str(path), "--diff", "--prune").stdout == ""
    assert "0 records published; 2 are in force already" in run("apply", "-f", str(path)).stderr
    path.write_text("models: [{name: m, monitors: [{signal: miss_rate, min_samples: -1}]}]")
    assert (
        f"plumbline: {path}:1: models[0].monitors[0].min_samples = -1" in run("apply", "-f", str(path), code=2).stderr
    )


def test_schemas_are_printed_written_and_compared(tmp_path: Path) -> None:
    assert "ml.predictions.v1" in run("schemas").stdout.splitlines()
    assert json.loads(run("schemas", "ml.alerts.v1").stdout)["title"] == "Alert"
    assert run("schemas", "asyncapi.yaml").stdout.startswith("# Generated")
    assert "schema 'x' is unknown" in run("schemas", "x", code=2).stderr
    run("schemas", "--write", str(tmp_path))
    run("schemas", "--check", str(tmp_path))
    (tmp_path / "ml.alerts.v1.json").unlink()
    assert "differs from the code in ml.alerts.v1.json" in run("schemas", "--check", str(tmp_path), code=1).stderr
    run("schemas", "x", "--check", str(tmp_path), code=2)


def test_worker_hands_over_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    import streams.app

    seen: list[Any] = []
    monkeypatch.setattr(streams.app, "run_worker", lambda _settings, stages: seen.append(stages) or 3)
    run("worker", "--stage", "governor", "--stage", "responders", code=3)
    run("worker", code=3)
    assert [len(stages) for stages in seen] == [2, 4]
    run("worker", "--stage", "nothing", code=2)


def test_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("version").stdout)
