"""Encrypted listeners of the development broker: who it says it is, and whom it lets in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from brokers.process import HOST, free_port

_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A further address of the broker, encrypted.

    Attributes
    ----------
    protocol
        `SSL` asks for a client certificate; `SASL_SSL` for a user and a password.
    port
        On the loopback.
    advertised_host
        The name under which clients are sent to it, once they have found the broker.
    """

    protocol: Literal["SSL", "SASL_SSL"]
    port: int = field(default_factory=free_port)
    advertised_host: str = HOST

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, host:port."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who is let in on the encrypted listeners, and who the broker says it is.

    Attributes
    ----------
    keystore
        The broker's key (PKCS #8, not encrypted) and its certificate with the chain, in one PEM file.
    authorities
        Certificates in PEM of those who may sign a client's.
    users
        Password by name, for SCRAM-SHA-256 and SCRAM-SHA-512. They are stored when the data folder is formatted, and
        passed on a command line there: not for passwords that matter.
    listeners
        By name; names are upper case.
    """

    keystore: Path
    authorities: Path
    users: Mapping[str, str]
    listeners: Mapping[str, Listener]

    def config(self) -> str:
        """Return the lines of the broker's configuration."""
        lines = [
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={self.keystore.resolve()}",
            "ssl.truststore.type=PEM",
            f"ssl.truststore.location={self.authorities.resolve()}",
            f"sasl.enabled.mechanisms={','.join(_MECHANISMS)}",
        ]
        for name, listener in self.listeners.items():
            prefix = f"listener.name.{name.lower()}"
            lines.append(f"{prefix}.ssl.client.auth={'required' if listener.protocol == 'SSL' else 'none'}")
            if listener.protocol == "SASL_SSL":
                module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                lines += [f"{prefix}.{each.lower()}.sasl.jaas.config={module}" for each in _MECHANISMS]
        return "\n".join(lines) + "\n"

    def format_options(self) -> list[str]:
        """Return the options by which formatting stores the users."""
        return [
            option
            for name, password in self.users.items()
            for mechanism in _MECHANISMS
            for option in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]
