"""The tables of docs/statistics.md: printed by the command that measures them, and put there with `--write`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PAGE: Final = Path("docs/statistics.md")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column to the left, the others to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def put(name: str, table: str, page: Path = PAGE) -> None:
    """Replace what stands between the page's markers `name:begin` and `name:end`.

    Raises
    ------
    ValueError
        If the page does not have both markers once.
    """
    text = page.read_text()
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page}: expected {begin} and {end} once each")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    page.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text))


def show(tables: dict[str, str], *, write: bool) -> None:
    """Print tables, and put them into the page if asked to."""
    for name, table in tables.items():
        print(f"\n{name}\n\n{table}", flush=True)
        if write:
            put(name, table)


def wants_writing(description: str, arguments: Sequence[str] | None = None) -> bool:
    """Whether `--write` was given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE}")
    return bool(parser.parse_args(arguments).write)
