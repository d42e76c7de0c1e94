"""Development brokers on the loopback: for `make kafka`, the demo, the tests and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from brokers.process import Broker, BrokerError

__all__ = ["Broker", "BrokerError", "ExistingBroker", "open_broker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingBroker:
    """A broker that somebody else runs: nothing is started, nothing is stopped."""

    bootstrap_servers: str
    supports_transactions: bool = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def open_broker(kind: str, folder: Path) -> Broker:
    """Make a broker by its kind; enter it to start it.

    Parameters
    ----------
    kind
        `tansu` (embedded, in memory, no transactions), `kafka` (Apache Kafka through Maven), or the `host:port`
        of one that runs already.
    folder
        Takes data and log of a broker that is started here.
    """
    # Imported here: who asks for one kind need not have the other's prerequisites.
    from brokers.kafka import KafkaBroker  # noqa: PLC0415
    from brokers.tansu import TansuBroker  # noqa: PLC0415

    if kind == "tansu":
        return TansuBroker(folder)
    if kind == "kafka":
        return KafkaBroker(folder)
    host, separator, port = kind.rpartition(":")
    if separator and host and port.isdigit():
        return ExistingBroker(bootstrap_servers=kind)
    msg = f"broker is {kind!r}: expected tansu, kafka, or host:port"
    raise BrokerError(msg)
