"""The Plumbline worker as a child process: started, waited for, and ended by its own pid."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from demo.errors import DemoError

_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.1


class Worker:
    """`with Worker(environment, port=…, log=…) as worker`: all stages in one process.

    Parameters
    ----------
    environment
        Its whole environment; the settings are in it as `PLUMBLINE_…`.
    port
        Where its pages are.
    log
        Takes everything it says.
    """

    def __init__(self, environment: Mapping[str, str], *, port: int, log: Path) -> None:
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> Self:
        """Start it and wait until its stages have their partitions."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            # A session of its own: an interrupt at the terminal reaches the demo alone, which ends it in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker"],
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                msg = f"the worker is not ready after {_READY_SECONDS:g} s at {self.url}/readyz; see {self._log}"
                raise DemoError(msg)
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def check(self) -> None:
        """Raise where it has ended."""
        code = None if self._process is None else self._process.poll()
        if self._process is None or code is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
            msg = f"the worker has ended with code {code}; the end of {self._log}:\n{tail}"
            raise DemoError(msg)

    def kill(self) -> None:
        """End it as a machine that loses power would, and start another."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self.start()

    def wait(self) -> int:
        """Wait until it ends by itself."""
        return 0 if self._process is None else self._process.wait()

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
