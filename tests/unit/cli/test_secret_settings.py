"""Secrets: from the environment or from files, and in no error."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from streams.cli import app
from streams.commands.configuration import load_settings, settings_table
from streams.commands.console import UsageError
from streams.settings import Settings

SASL = {
    "PLUMBLINE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "PLUMBLINE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "PLUMBLINE_KAFKA_SASL_USERNAME": "ada",
}
SECRETS = [each for each in settings_table() if each.is_secret]


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refused(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> str:
    set_all(monkeypatch, variables)
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert "sesame" not in "".join(traceback.format_exception(raised.value)), "a trace shows what was given"
    return str(raised.value)


def test_every_secret_may_come_from_a_file() -> None:
    names = {each.variable for each in settings_table()}
    assert {f"{each.variable}_FILE" for each in SECRETS} <= names
    assert {each.name for each in SECRETS} == {
        "sasl_password", "ssl_key_password", "webhook_secret", "alert_webhook_secret", "signing_key", "mlflow_token",
    }  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS, ids=lambda each: each.name)
def test_a_secret_comes_from_its_file(secret: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("  open sesame \n")
    more = {**SASL, "PLUMBLINE_KAFKA_SSL_CERTFILE": "client.pem", "PLUMBLINE_KAFKA_SASL_PASSWORD": "other"}
    if secret.name == "sasl_password":
        del more["PLUMBLINE_KAFKA_SASL_PASSWORD"]
    set_all(monkeypatch, {**more, f"{secret.variable}_FILE": str(path)})
    held = getattr(getattr(load_settings(), secret.group), secret.name)
    assert held == SecretStr("  open sesame "), "line ends alone are left out"
    shown = CliRunner().invoke(app, ["config", "--json"]).stdout
    assert "sesame" not in shown
    rows = {row["variable"]: row["value"] for row in map(json.loads, shown.splitlines())}
    assert rows[secret.variable] == "(set)"
    assert rows[f"{secret.variable}_FILE"] == str(path)


def test_a_file_that_holds_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variable = "PLUMBLINE_KAFKA_SASL_PASSWORD_FILE"
    missing = refused(monkeypatch, {**SASL, variable: str(tmp_path / "missing")})
    assert missing.startswith(f"{variable} = ")
    assert "expected a file that can be read (No such file or directory)" in missing
    (tmp_path / "empty").write_text("\n")
    assert "it is empty" in refused(monkeypatch, {variable: str(tmp_path / "empty")})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "expected text in UTF-8" in refused(monkeypatch, {variable: str(tmp_path / "binary")})


def test_a_secret_comes_from_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame")
    variables = {
        "PLUMBLINE_GOVERNOR_SIGNING_KEY": "sesame",
        "PLUMBLINE_GOVERNOR_SIGNING_KEY_FILE": str(tmp_path / "secret"),
    }
    said = refused(monkeypatch, variables)
    assert said == "PLUMBLINE_GOVERNOR_SIGNING_KEY and signing_key_file are both set: expected one of them"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SECURITY_PROTOCOL": "SASL_SSL"},
            "SASL_MECHANISM is missing: expected wherever security_protocol is SASL_SSL",
        ),
        ({"SASL_PASSWORD": "sesame"}, "SASL_PASSWORD is set, but security_protocol is PLAINTEXT"),
        ({"SSL_CAFILE": "ca.pem"}, "SSL_CAFILE is set, but security_protocol is PLAINTEXT"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_KEYFILE": "k.pem"}, "SSL_CERTFILE is missing: expected the certificate"),
        ({"BOOTSTRAP_SERVERS": "kafka"}, "BOOTSTRAP_SERVERS = 'kafka': expected host:port"),
        # A name that is mistyped may be a secret's.
        ({"SASL_PASSWROD": "sesame"}, "SASL_PASSWROD is no setting: expected PLUMBLINE_KAFKA_SASL_PASSWORD"),
        ({"SASL_PASSWORD": ""}, "SASL_PASSWORD = (not shown)"),
    ],
)
def test_what_does_not_fit_together(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    given = {f"PLUMBLINE_KAFKA_{name}": value for name, value in variables.items()}
    assert f"PLUMBLINE_KAFKA_{said}" in refused(monkeypatch, given)


def test_an_address_with_a_password_is_shown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sesame" not in refused(monkeypatch, {"PLUMBLINE_RESPONDERS_WEBHOOK_URL": "http://u:sesame@ci/?t=sesame"})
    assert "sesame" not in refused(monkeypatch, {"PLUMBLINE_WEB_PORT": "http://u:sesame@ci/"})
    assert "sesame" not in refused(monkeypatch, {"PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS": "u:sesame@kafka:9092"})


def test_a_trace_of_wrong_settings_holds_no_input() -> None:
    given = {"sasl_password": "".join(("ses", "ame")), "connect_timeout_seconds": -1}  # not as a line of the trace
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"kafka": given})
    assert "sesame" not in "".join(traceback.format_exception(raised.value))
