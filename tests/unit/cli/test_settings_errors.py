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
        (
            "PLUMBLINE_TOPICS_OVERRIDES",
            '{"ml.label.v1": "truth"}',
            "PLUMBLINE_TOPICS_OVERRIDES = {'ml.label.v1': 'truth'}: 'ml.label.v1' (for 'truth') is no topic:"
            " expected one of ml.predictions.v1, ml.labels.v1, ",
        ),
        (
            "PLUMBLINE_RESPONDERS_ALERTMANAGER_URL",
            "alertmanager://ada:sesame@am:9093",
            "PLUMBLINE_RESPONDERS_ALERTMANAGER_URL = 'alertmanager://am:9093': expected http://host:port",
        ),
        ("PLUMBLINE_RESPONDERS_WEBHOOK_URL", "", "PLUMBLINE_RESPONDERS_WEBHOOK_URL = '': expected http://host:port"),
        ("PLUMBLINE_TOPICS_PREFIX", "a b", "PLUMBLINE_TOPICS_PREFIX = 'a b': expected letters, digits"),
        ("PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS", "kafka", "= 'kafka': expected host:port"),
        ("PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS", "a:1,b:99999", "= 'a:1,b:99999': expected host:port"),
        ("PLUMBLINE_KAFKA_SSL_CAFILE", "/none.pem", "is set, but security_protocol is PLAINTEXT"),
        ("PLUMBLINE_KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "SASL_MECHANISM is missing: expected wherever"),
    ],
)
def test_what_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as raised:
        load_settings()
    assert said in str(raised.value)
