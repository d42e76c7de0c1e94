"""A broker as a child process: free ports, waiting until it answers, and ending it for certain."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

HOST: Final = "127.0.0.1"
_API_VERSIONS_REQUEST: Final = struct.pack(">hhih", 18, 0, 1, -1)


class BrokerError(RuntimeError):
    """A development broker that cannot be started; the message says what to install or where to look."""


class Broker(Protocol):
    """What the tests, the demo and the benchmarks need of a broker."""

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, host:port."""

    @property
    def supports_transactions(self) -> bool:
        """Whether `exactly_once` is possible on it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def free_port() -> int:
    """Find a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def answers(port: int, *, timeout_seconds: float = 1.0) -> bool:
    """Whether something on the loopback answers Kafka's ApiVersions request."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
            connection.sendall(struct.pack(">i", len(_API_VERSIONS_REQUEST)) + _API_VERSIONS_REQUEST)
            return len(connection.recv(8)) == 8
    except OSError:
        return False


class ChildBroker:
    """A broker that runs as a child of this process; `command` and `prepare` are the subclass's.

    Parameters
    ----------
    folder
        Takes the broker's data and log; created where missing.
    port
        Port on the loopback, or None for a free one. A restart keeps it.
    start_timeout_seconds
        How long `start` waits for the first answer.
    """

    name = "broker"
    supports_transactions = False

    def __init__(self, folder: Path, *, port: int | None = None, start_timeout_seconds: float = 60.0) -> None:
        self.folder = Path(folder)
        self.port = port or free_port()
        self._start_timeout_seconds = start_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, host:port."""
        return f"{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """Where everything that the broker says goes."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def prepare(self) -> None:
        """Make ready what a start needs; called before every start."""

    def command(self) -> list[str]:
        """Return the command line."""
        raise NotImplementedError

    def start(self) -> Self:
        """Start it and wait until it answers."""
        if self.pid is not None:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log_path.open("ab") as log:
            # A session of its own: an interrupt at the terminal reaches us alone, and we stop it in order.
            self._process = subprocess.Popen(  # noqa: S603 - the command is built here, from no foreign text
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop(grace_seconds=1.0)
            raise
        return self

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_seconds
        while not answers(self.port):
            if process.poll() is not None:
                msg = (
                    f"{self.name} ended with code {process.returncode} before it answered;"
                    f" the end of {self.log_path}:\n{self._log_tail()}"
                )
                raise BrokerError(msg)
            if time.monotonic() > deadline:
                msg = (
                    f"{self.name} did not answer on {self.bootstrap_servers} within"
                    f" {self._start_timeout_seconds:g} s; see {self.log_path}"
                )
                raise BrokerError(msg)
            time.sleep(0.05)

    def _log_tail(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])

    def stop(self, *, grace_seconds: float = 10.0) -> None:
        """End it: SIGTERM, then SIGKILL after the grace."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        self._process = None

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Send a signal to the running broker; with SIGKILL also wait for its end."""
        if self._process is None or self._process.poll() is not None:
            msg = f"{self.name} is not running: expected a started broker to send signal {signum} to"
            raise BrokerError(msg)
        self._process.send_signal(signum)
        if signum == signal.SIGKILL:
            self._process.wait()

    def restart(self) -> Self:
        """Stop it if it runs, and start it on the same port and data."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
