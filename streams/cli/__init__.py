"""`plumbline …`: the command line. It parses; what a command does is in `streams.commands`.

The bodies are imported where they are called: `plumbline --help` need not load Kafka, numpy and the rest.

Exit codes: 0 done, 1 it failed, 2 wrong usage or configuration, 3 no broker answered, 4 a broker refused us.
"""

from __future__ import annotations

from streams import logs
from streams.cli import announcements, contract, decisions, operations, recorded  # noqa: F401 - they add their commands
from streams.cli.groups import app
from streams.settings import LogSettings

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; a worker sets its own logging up."""
    logs.configure(LogSettings(level="error"))
    app(prog_name="plumbline")
