"""Files that are not what they should be: refused before a connection is tried, as a matter of configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from streams.engine.errors import ConfigurationError
from streams.engine.tls import ssl_context
from streams.settings import KafkaSettings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    authority = Authority(folder, "authority")
    mine, other = authority.issue("mine"), authority.issue("other")
    locked = authority.issue("locked", password="open-3141")
    (folder / "none.pem").write_text("no certificate\n")
    return {
        "ca": authority.cafile,
        "cert": mine.certfile,
        "key": mine.keyfile,
        "both": mine.both(folder / "both.pem"),
        "other": other.keyfile,
        "locked_cert": locked.certfile,
        "locked": locked.keyfile,
        "junk": folder / "none.pem",
        "missing": folder / "missing.pem",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ssl_cafile": "missing"}, "PLUMBLINE_KAFKA_SSL_CAFILE = '{missing}': expected certificates in PEM"),
        ({"ssl_cafile": "junk"}, "PLUMBLINE_KAFKA_SSL_CAFILE = '{junk}': expected certificates in PEM"),
        ({"ssl_certfile": "missing"}, "PLUMBLINE_KAFKA_SSL_CERTFILE = '{missing}': expected a file in PEM"),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "missing"},
            "PLUMBLINE_KAFKA_SSL_KEYFILE = '{missing}': expected a file in PEM",
        ),
        (
            {"ssl_certfile": "cert"},
            "PLUMBLINE_KAFKA_SSL_CERTFILE = '{cert}': expected a certificate in PEM, and its key",
        ),
        (
            {"ssl_certfile": "cert", "ssl_keyfile": "other"},
            "PLUMBLINE_KAFKA_SSL_KEYFILE = '{other}': expected the key of the certificate in ssl_certfile",
        ),
        (
            {"ssl_certfile": "locked_cert", "ssl_keyfile": "locked"},
            "the key in '{locked}' is encrypted: expected its password in PLUMBLINE_KAFKA_SSL_KEY_PASSWORD",
        ),
        (
            {"ssl_certfile": "locked_cert", "ssl_keyfile": "locked", "ssl_key_password": "wrong-2718"},
            "PLUMBLINE_KAFKA_SSL_KEY_PASSWORD = '(not shown)': expected the password of the key in '{locked}'",
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be(files: dict[str, Path], given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ssl_context(_settings(files, given))
    assert said.format(**files) in str(raised.value)
    assert "wrong-2718" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"ssl_cafile": "ca"},
        {"ssl_certfile": "both"},
        {"ssl_certfile": "cert", "ssl_keyfile": "key"},
        {"ssl_certfile": "locked_cert", "ssl_keyfile": "locked", "ssl_key_password": "open-3141"},
    ],
)
def test_files_that_fit(files: dict[str, Path], given: dict[str, str]) -> None:
    settings = _settings(files, given)
    assert ssl_context(settings) is ssl_context(settings)


def _settings(files: dict[str, Path], given: dict[str, str]) -> KafkaSettings:
    fields: dict[str, Any] = {
        name: value if name == "ssl_key_password" else str(files[value]) for name, value in given.items()
    }
    return KafkaSettings.model_validate({"security_protocol": "SSL", **fields})
