"""Programs under measurement as child processes: started, listened to, read off, and ended by their pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.measuring import Usage, usage

ROOT: Final = Path(__file__).resolve().parents[1]
FIRST: Final = "bench: first record"
"""What a program says when it has its first record in hand."""
DONE: Final = "bench: done"
"""What a program says when it has nothing more to do; it then waits to be ended."""
_LINE_BYTES: Final = 1 << 20


class ChildError(RuntimeError):
    """A program that ended or fell silent before it said what was expected."""


class Child:
    """A program under measurement; `async with Child(command) as child: await child.said("ready")`.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        Added to ours.
    folder
        Where it runs; the checkout by default.
    grace_seconds
        Between SIGTERM and SIGKILL, at its end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        grace_seconds: float = 8.0,
    ) -> None:
        self._command = list(command)
        self._grace_seconds = grace_seconds
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **(environment or {})}
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: list[tuple[Callable[[str], bool], asyncio.Future[Usage | None]]] = []
        self._tail: deque[str] = deque(maxlen=30)

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            msg = f"{self._command[0]} is not started: expected `async with` first"
            raise ChildError(msg)
        return self._process.pid

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=self._folder,
            limit=_LINE_BYTES,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or self._reading is None:
            return
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signum)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._grace_seconds)
        self._reading.cancel()
        await asyncio.wait({self._reading})

    def listen(self, *parts: str) -> asyncio.Future[Usage | None]:
        """Return a future of the meters at the moment when a line with all of some parts comes."""
        found: asyncio.Future[Usage | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lambda line: all(part in line for part in parts), found))
        return found

    async def heard(self, found: asyncio.Future[Usage | None], timeout_seconds: float) -> Usage:
        """Wait for what `listen` returned.

        Raises
        ------
        ChildError
            Where the program ends first, or the time is over; with the last lines it said.
        """
        try:
            reading = await asyncio.wait_for(found, timeout_seconds)
        except TimeoutError:
            reading = None
        if reading is None:
            code = None if self._process is None else self._process.returncode
            msg = (
                f"{' '.join(self._command)} did not say what was expected within {timeout_seconds:g} s"
                f" (exit code {code}); its last lines:\n" + self.tail
            )
            raise ChildError(msg)
        return reading

    async def interrupt(self) -> None:
        """Send SIGINT, and wait for its end: some programs write what they found only then."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            await asyncio.wait_for(self._process.wait(), self._grace_seconds)

    @property
    def tail(self) -> str:
        """The last lines that it said."""
        return "\n".join(self._tail)

    def check(self) -> None:
        """Raise where it has ended."""
        if self._process is not None and self._process.returncode is not None:
            msg = f"{' '.join(self._command)} ended with code {self._process.returncode}:\n{self.tail}"
            raise ChildError(msg)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        async for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._tail.append(line)
            for wanted, found in self._waiting:
                if not found.done() and wanted(line):
                    found.set_result(usage(process.pid))
        for _, found in self._waiting:
            if not found.done():
                found.set_result(None)
