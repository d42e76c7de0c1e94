"""`schemas`, `config`, `version`: what it is."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.groups import app
from streams.commands.configuration import load_settings
from streams.commands.console import UsageError
from streams.commands.options import Json


@app.command(epilog="Example: plumbline schemas ml.predictions.v1")
def schemas(
    name: Annotated[
        str | None, typer.Argument(help="A topic, monitors-file, or asyncapi.yaml; none lists all.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write all files into this folder.")] = None,
    check: Annotated[Path | None, typer.Option(help="Compare this folder with the code.")] = None,
) -> None:
    """Print the JSON Schemas and the AsyncAPI document, or write them."""
    from streams.commands.contract import show_schemas, write_schemas  # noqa: PLC0415

    if sum(each is not None for each in (name, write, check)) > 1:
        msg = "NAME, --write and --check exclude each other: expected one of them"
        raise UsageError(msg)
    if write is not None or check is not None:
        write_schemas(write or check or Path(), check=check is not None)
    else:
        show_schemas(name)


@app.command(epilog="Example: plumbline config --json")
def config(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference of all settings, as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Show the settings in force, without secrets."""
    from streams.commands.configuration import print_markdown, show_config  # noqa: PLC0415

    if markdown:
        print_markdown()
    else:
        show_config(load_settings(), as_json=as_json)


@app.command(epilog="Example: plumbline version")
def version() -> None:
    """Print the version."""
    try:
        typer.echo(metadata.version("plumbline-monitor"))
    except metadata.PackageNotFoundError:
        typer.echo("0.0.0")


def _say_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def shared(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Watches machine-learning models in production."""
