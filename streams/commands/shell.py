"""What every command has in common: its example, and how an error ends it."""

from __future__ import annotations

from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from streams.commands.console import UsageError, note
from streams.commands.options import written
from streams.engine.errors import EngineError


class Commands(TyperGroup):
    """Ends with the exit code of an error, and says the error in one line or a few, without a trace."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            _end(error)
        except typer.BadParameter as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            _end(UsageError(_wrong_value(error, error.__cause__)))


def _end(error: EngineError) -> NoReturn:
    for line in str(error).splitlines():
        note(f"plumbline: {line}")
    raise typer.Exit(error.exit_code) from error


def _wrong_value(error: typer.BadParameter, cause: ValidationError) -> str:
    """Say of an option, as of everything else, its name, its value and what was expected."""
    first = cause.errors(include_url=False)[0]
    given = first["input"]
    said = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    name = written(error.param.opts) if error.param is not None else "value"
    return f"{name} is {given!r}: {said.replace(f'{given!r} is not one of', 'expected one of').removesuffix('.')}"


def command_group(text: str, example: str, **options: Any) -> typer.Typer:
    """Return a group of commands with a sentence and an example."""
    shared: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
    return typer.Typer(help=text, epilog=f"Example: plumbline {example}", **shared, **options)
