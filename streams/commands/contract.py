"""`plumbline schemas`: the generated contract, shown or written."""

from __future__ import annotations

from pathlib import Path

import typer

from schemas import generate
from streams.commands.console import CommandError, UsageError, note


def show_schemas(name: str | None) -> None:
    """Print one file of the contract, or the names of all."""
    files = generate.render()
    if name is None:
        for each in files:
            typer.echo(each.removesuffix(".json"))
        return
    text = files.get(name, files.get(f"{name}.json"))
    if text is None:
        known = ", ".join(each.removesuffix(".json") for each in files)
        msg = f"schema {name!r} is unknown: expected one of {known}"
        raise UsageError(msg)
    typer.echo(text, nl=False)


def write_schemas(folder: Path, *, check: bool) -> None:
    """Write every file into a folder, or only compare."""
    if not check:
        note(f"{len(generate.write(folder))} files changed in {folder}.")
        return
    stale = generate.differences(folder)
    if stale:
        msg = f"{folder} differs from the code in {', '.join(stale)}: write it with `plumbline schemas --write`"
        raise CommandError(msg)
    note(f"{folder} is as the code says.")
