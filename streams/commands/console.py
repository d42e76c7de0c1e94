"""What a command says: rows as a table or as JSON lines, notes and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import typer
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table

from streams.engine.errors import ConfigurationError, EngineError

T = TypeVar("T")
Column = Callable[[T], object]


class CommandError(EngineError):
    """A command could not do what it was asked; exit code 1."""


class UsageError(ConfigurationError):
    """What was asked makes no sense as it was asked; exit code 2."""


def utc_now() -> datetime:
    """Return the wall clock."""
    return datetime.now(UTC)


def show(items: Iterable[T], columns: Mapping[str, Column[T]], *, as_json: bool, empty: str) -> None:
    """Show items: each whole as a line of JSON, or all in a table.

    Parameters
    ----------
    items
        Events, or mappings.
    columns
        Heading to what is shown of an item.
    as_json
        Which of the two.
    empty
        The sentence for a table without rows.
    """
    rows = list(items)
    if as_json:
        for item in rows:
            typer.echo(json_line(item))
        return
    if not rows:
        note(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for item in rows:
        table.add_row(*(cell(of(item)) for of in columns.values()))
    console().print(table)


def console() -> Console:
    """Return the console of standard output; where that is no terminal, lines are not cut to its width."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)


def json_line(item: object) -> str:
    """Return an event or a mapping as one line of JSON."""
    if isinstance(item, BaseModel):
        return item.model_dump_json(by_alias=True)
    return json.dumps(item, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def cell(value: object) -> str:
    """Return a value as text for a table."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def note(text: str) -> None:
    """Say something to the person, beside the result."""
    typer.echo(text, err=True)


def parse_time(text: str | None, *, option: str) -> datetime | None:
    """Read RFC 3339 with a zone; a usage error names the option."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{option} is {text!r}: expected a time with a zone, such as 2026-01-31T08:00:00Z"
        raise UsageError(msg)
    return moment.astimezone(UTC)


def parse_pairs(texts: Iterable[str], *, option: str) -> dict[str, str]:
    """Read `name=value` options."""
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator and value):
            msg = f"{option} is {text!r}: expected name=value"
            raise UsageError(msg)
        pairs[name] = value
    return pairs


def parse_numbers(texts: Iterable[str], *, option: str) -> dict[str, float]:
    """Read `name=number` options."""
    numbers = {}
    for name, text in parse_pairs(texts, option=option).items():
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            msg = f"{option} is '{name}={text}': expected a finite number behind ="
            raise UsageError(msg)
        numbers[name] = number
    return numbers
