"""Worker processes: started, killed, frozen and thawed by their pids, and started again where one ends by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).resolve().parents[3]
READY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05
_END_SECONDS: Final = 12.0
_SUPERVISE_SECONDS: Final = 0.1
_BACK_OFF_SECONDS: Final = 0.5
_CONFIGURATION: Final = 2


class ChaosError(AssertionError):
    """Something happened that no fault of the plan explains."""


@dataclass(slots=True)
class WorkerProcess:
    """One process of `plumbline worker`, and what it said."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    is_ending: bool = False
    """Its end was asked for."""
    _read: int = 0
    _lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Everything it said so far, as far as it is JSON."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new.rpartition(b"\n")[0]
        self._read += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                self._lines.append(said)
        return self._lines

    def said(self, event: str) -> Iterator[dict[str, Any]]:
        """Its log lines of one event."""
        return (line for line in self.lines if line.get("event") == event)

    @property
    def is_running(self) -> bool:
        """Whether the process lives, frozen or not."""
        return self.process.poll() is None

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Stage and partition of every task that it says it has."""
        assigned: dict[str, list[int]] = {}
        for line in self.said("partitions_assigned"):
            assigned[line["stage"]] = line["partitions"]
        return [(stage, partition) for stage, partitions in assigned.items() for partition in partitions]

    def signal(self, signum: int) -> None:
        """Send a signal."""
        self.process.send_signal(signum)

    def kill(self) -> None:
        """End it as a machine that loses power would."""
        self.is_ending = True
        self.process.kill()
        self.process.wait()

    async def is_ready(self, client: httpx.AsyncClient) -> bool:
        """Whether its stages have their partitions."""
        site = next(self.said("site_ready"), None)
        if site is None or not self.is_running:
            return False
        try:
            answer = await client.get(f"{site['address']}readyz", timeout=2.0)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    async def end(self) -> int:
        """End it by SIGTERM, and return its exit code; SIGKILL after a grace that no worker should need."""
        self.is_ending = True
        if self.is_running:
            self.signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while self.is_running and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        if self.is_running:
            self.kill()
        return int(self.process.wait())


class Cluster:
    """Workers by name; one that ends by itself is started again, as a supervisor would.

    Parameters
    ----------
    environment
        Settings of every worker, as `PLUMBLINE_…`.
    static
        Names of those that have a `group_instance_id`.
    folder
        Takes their logs.
    """

    def __init__(self, environment: Mapping[str, str], *, static: frozenset[str], folder: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLUMBLINE_")}
        self._environment = {**inherited, **environment}
        self._static = static
        self._folder = folder
        self._client = httpx.AsyncClient()
        self._supervisor: asyncio.Task[None] | None = None
        self.workers: dict[str, WorkerProcess] = {}
        self.all: list[WorkerProcess] = []
        self.exits: list[tuple[str, int]] = []
        """Ends that nobody asked for: name and exit code."""

    def start(self, name: str) -> WorkerProcess:
        """Start a worker under a name."""
        environment = dict(self._environment)
        if name in self._static:
            environment["PLUMBLINE_ENGINE_GROUP_INSTANCE_ID"] = name
        path = self._folder / f"{name}-{len(self.all):03d}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker"],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        worker = self.workers[name] = WorkerProcess(name, process, path)
        self.all.append(worker)
        return worker

    def supervise(self) -> None:
        """Begin to start again what ends by itself."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def _supervise(self) -> None:
        while True:
            for name, worker in list(self.workers.items()):
                if worker.is_running or worker.is_ending:
                    continue
                code = int(worker.process.wait())
                self.exits.append((name, code))
                if code == _CONFIGURATION:
                    msg = f"{name} ended with code 2: expected none that asks for a person; see {worker.log}"
                    raise ChaosError(msg)
                await asyncio.sleep(_BACK_OFF_SECONDS)
                self.start(name)
            await asyncio.sleep(_SUPERVISE_SECONDS)

    def check(self) -> None:
        """Raise what ended the supervisor."""
        if self._supervisor is not None and self._supervisor.done() and not self._supervisor.cancelled():
            self._supervisor.result()

    async def ready(self, name: str) -> WorkerProcess:
        """Wait until a worker (whichever process it is by then) has its partitions."""
        await self.until(lambda: self._is_ready(name), what=f"{name} is ready", timeout_seconds=READY_SECONDS)
        return self.workers[name]

    async def _is_ready(self, name: str) -> bool:
        worker = self.workers.get(name)
        return worker is not None and await worker.is_ready(self._client)

    async def until(self, condition: Callable[[], Any], *, what: str, timeout_seconds: float) -> None:
        """Wait for a condition (also one to be awaited), with a deadline."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            self.check()
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return
            if time.monotonic() > deadline:
                msg = f"waited {timeout_seconds:g} s in vain until {what}; logs: {self._folder}"
                raise ChaosError(msg)
            await asyncio.sleep(_POLL_SECONDS)

    async def leave(self, name: str) -> int:
        """End a worker in order, for good."""
        return await self.workers.pop(name).end()

    async def close(self) -> dict[str, int]:
        """End every worker in order; returns their exit codes."""
        if self._supervisor is not None:
            self._supervisor.cancel()
        codes = await asyncio.gather(*(worker.end() for worker in self.workers.values()))
        await self._client.aclose()
        return dict(zip(self.workers, codes, strict=True))

    def kill_all(self) -> None:
        """End every process that was started here, by its pid."""
        for worker in self.all:
            if worker.is_running:
                worker.kill()
