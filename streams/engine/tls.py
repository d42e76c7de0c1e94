"""The TLS side of a connection: which authorities are trusted, and which certificate is shown.

One context for each set of settings serves every client of the process, so that a certificate that was renewed on
disk reaches them all: a client keeps its context for life, and would show an expired certificate at its next
reconnection.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NoReturn

import structlog

from streams.engine.errors import ConfigurationError
from streams.settings import KafkaSettings

log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class _Context:
    """A context, and the files as they were when it was made."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._stamp = _stamp(settings)
        self.context = _new_context(settings)

    def refresh(self) -> bool:
        """Read the files again where they have changed; whether they had.

        Authorities are added: one that is trusted already stays so until the process ends.
        """
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            return False
        _new_context(self._settings)  # files that do not fit together must not spoil the one in use
        if self._settings.ssl_cafile is not None:
            self.context.load_verify_locations(self._settings.ssl_cafile)
        if self._settings.ssl_certfile is not None:
            _load_certificate(self.context, self._settings, self._settings.ssl_certfile)
        self._stamp = stamp
        return True


def _new_context(settings: KafkaSettings) -> ssl.SSLContext:
    cafile = settings.ssl_cafile
    try:
        # With a file of authorities these alone are trusted, without one the system's.
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
    except OSError as error:  # ssl.SSLError among them
        _refuse("ssl_cafile", cafile, "certificates in PEM", error)
    if settings.ssl_certfile is not None:
        _load_certificate(context, settings, settings.ssl_certfile)
    return context


def _load_certificate(context: ssl.SSLContext, settings: KafkaSettings, certfile: Path) -> None:
    for name, path in (("ssl_certfile", certfile), ("ssl_keyfile", settings.ssl_keyfile)):
        if path is not None and not path.is_file():
            _refuse(name, path, "a file in PEM", None)
    keyfile = certfile if settings.ssl_keyfile is None else settings.ssl_keyfile

    def password() -> str:
        # Without this OpenSSL would ask on the terminal, and a worker would wait for an answer.
        if settings.ssl_key_password is None:
            msg = (
                f"the key in {str(keyfile)!r} is encrypted: expected its password in PLUMBLINE_KAFKA_SSL_KEY_PASSWORD"
                " or PLUMBLINE_KAFKA_SSL_KEY_PASSWORD_FILE"
            )
            raise ConfigurationError(msg)
        return settings.ssl_key_password.get_secret_value()

    try:
        context.load_cert_chain(certfile, settings.ssl_keyfile, password)
    except OSError as error:  # ssl.SSLError among them
        reason = getattr(error, "reason", None)
        if reason == "KEY_VALUES_MISMATCH":
            _refuse("ssl_keyfile", keyfile, f"the key of the certificate in ssl_certfile = {str(certfile)!r}", error)
        if settings.ssl_key_password is not None and reason != "NO_START_LINE":
            _refuse("ssl_key_password", "(not shown)", f"the password of the key in {str(keyfile)!r}", error)
        _refuse("ssl_certfile", certfile, "a certificate in PEM, and its key there or in ssl_keyfile", error)


def _refuse(name: str, value: object, expected: str, error: Exception | None) -> NoReturn:
    why = "there is no such file" if error is None else getattr(error, "reason", None) or error
    msg = f"PLUMBLINE_KAFKA_{name.upper()} = {str(value)!r}: expected {expected} ({why})"
    raise ConfigurationError(msg) from error


def _stamp(settings: KafkaSettings) -> _Stamp:
    found = []
    for path in (settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile):
        try:
            stat = None if path is None else path.stat()
        except OSError:
            stat = None
        found.append((0, 0, 0) if stat is None else (stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)


_CONTEXTS: Final[dict[tuple[object, ...], _Context]] = {}


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return the context of these settings.

    Raises
    ------
    ConfigurationError
        Where a file is not what it should be. Once a context is made, such files are said instead: somebody may be
        replacing them at this moment, and the context goes on with what it had.
    """
    password = settings.ssl_key_password
    key = (
        settings.ssl_cafile,
        settings.ssl_certfile,
        settings.ssl_keyfile,
        None if password is None else password.get_secret_value(),
    )
    made = _CONTEXTS.get(key)
    if made is None:
        made = _CONTEXTS[key] = _Context(settings)
    else:
        _renew(made)
    return made.context


def refresh_certificates() -> None:
    """Read files again that have changed, for every context of this process."""
    for made in _CONTEXTS.values():
        _renew(made)


def _renew(made: _Context) -> None:
    try:
        if made.refresh():
            log.info("certificates_renewed")
    except ConfigurationError as error:
        log.warning("certificates_not_renewed", error=str(error))
