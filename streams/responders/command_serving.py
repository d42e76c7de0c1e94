"""A ServingSide: two programs of yours, one that says which version serves, and one that switches.

No shell: each argument is its own, and placeholders are filled in within one argument. What is filled in comes from
events, so it may not look like an option.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from schemas.rollbacks import RollbackCommand
from streams.responders.mlflow_alias import ServingError

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:@/-]{0,255}")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
"""A bare word in braces; JSON and jsonpath have none."""
_SHOWN_CHARS: Final = 500
PLACEHOLDERS: Final = (
    "environment", "model_name", "from_version", "to_version", "deployment_id", "generation", "rollback_id",
)  # fmt: skip


def filled(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Fill placeholders in.

    Parameters
    ----------
    argv
        Arguments with `{model_name}` and the like.
    values
        What they stand for.

    Raises
    ------
    ServingError
        Where a placeholder is unknown, or a value could be taken for something else by a program.
    """
    return [_PLACEHOLDER.sub(lambda match: _value(match[1], values), argument) for argument in argv]


def _value(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        msg = f"{{{name}}} is no placeholder: expected one of {', '.join(values)}"
        raise ServingError(msg)
    if not _SAFE.fullmatch(values[name]):
        msg = f"{name} = {values[name][:60]!r}: expected letters, digits and . _ + : @ / -, the first a letter or digit"
        raise ServingError(msg)
    return values[name]


class CommandServing:
    """Runs programs.

    Parameters
    ----------
    read, switch
        Their arguments, the program first. `read` prints the version that serves, alone on the first line of its
        standard output; nothing means that it cannot be told. `{environment}` and `{model_name}` are filled in for
        both, the other `PLACEHOLDERS` for `switch`. Both end with 0, or have failed.
    timeout_seconds
        Of one run; it is killed then.
    environment
        Names of the variables that the programs get; no other is passed on.
    """

    def __init__(
        self, read: Sequence[str], switch: Sequence[str], *, timeout_seconds: float, environment: Sequence[str] = ()
    ) -> None:
        self._read = tuple(read)
        self._switch = tuple(switch)
        self._timeout_seconds = timeout_seconds
        self._environment = {name: os.environ[name] for name in environment if name in os.environ}

    async def current_version(self, environment: str, model_name: str) -> str | None:
        """Run `read`."""
        values = {"environment": environment, "model_name": model_name}
        lines = (await self._run(filled(self._read, values))).strip().splitlines()
        return lines[0].strip() if lines else None

    async def switch(self, command: RollbackCommand) -> None:
        """Run `switch`."""
        values = {name: str(getattr(command, name)) for name in PLACEHOLDERS}
        await self._run(filled(self._switch, values))

    def event_time(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    async def _run(self, argv: Sequence[str]) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            msg = f"{argv[0]!r} cannot be run: {error.strerror}"
            raise ServingError(msg) from error
        try:
            async with asyncio.timeout(self._timeout_seconds):
                out, err = await process.communicate()
        except TimeoutError as error:
            msg = f"{argv[0]!r} took longer than {self._timeout_seconds:g} s and was killed"
            raise ServingError(msg) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = err.decode(errors="replace").strip()[-_SHOWN_CHARS:]
            msg = f"{argv[0]!r} ended with {process.returncode}: {said}"
            raise ServingError(msg)
        return out.decode(errors="replace")
