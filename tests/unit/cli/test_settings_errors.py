"""Settings that cannot be read: each is named, with its value and what was expected."""

import pytest

from streams.commands.configuration import load_settings
from streams.commands.console import UsageError


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PLUMBLINE_TOPICS_OVERRIDES", "{a", "PLUMBLINE_TOPICS_OVERRIDES = '{a': expected an object in JSON"),
        ("PLUMBLINE_INGEST_REDACT", "name", "PLUMBLINE_INGEST_REDACT = 'name': expected an array in JSON"),
        ("PLUMBLINE_KAFK_BOOTSTRAP_SERVERS", "a:1", "expected PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS"),
        ("PLUMBLINE_WEB_PORT", "many", "PLUMBLINE_WEB_PORT = 'many'"),
    ],
)
def test_what_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert said in str(raised.value)
