"""Options that several commands take, and the checks that need no broker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from schemas.models import NAME_PATTERN
from schemas.monitors import Severity
from streams.commands.console import UsageError


def check_name(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse what cannot be the name of a model or an environment, before anything is asked of the broker."""
    if value is not None and re.fullmatch(NAME_PATTERN, value) is None:
        expected = "a letter or digit, then letters, digits, '.', '_' or '-', 128 in all at most"
        msg = f"{written(parameter.opts)} is {value!r}: expected {expected}"
        raise UsageError(msg)
    return value


def check_word(parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an empty text where one says who or what."""
    if value is not None and not value.strip():
        msg = f"{written(parameter.opts)} is empty: expected a text"
        raise UsageError(msg)
    return value


def written(names: Sequence[str]) -> str:
    """Return a parameter as a person writes it: `--model`, or `ROLLBACK_ID` for an argument."""
    return names[0] if names[0].startswith("-") else names[0].upper()


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
Model = Annotated[str, typer.Option("--model", callback=check_name, help="Name of the model.")]
AnyModel = Annotated[str | None, typer.Option("--model", callback=check_name, help="Only this model.")]
Environment = Annotated[str, typer.Option("--environment", callback=check_name, help="Where it serves.")]
OfSeverity = Annotated[Severity | None, typer.Option("--severity", help="Only those that page, or only tickets.")]
Actor = Annotated[str, typer.Option("--actor", callback=check_word, help="Who says so; goes into the audit.")]
RollbackId = Annotated[str, typer.Argument(callback=check_word, help="As `plumbline rollbacks list` shows it.")]
Fingerprint = Annotated[str, typer.Argument(callback=check_word, help="As `plumbline alerts list` shows it.")]
Comment = Annotated[str, typer.Option("--comment", help="Why; goes into the audit.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only dead letters with this reason, such as not_json.")]
FromTopic = Annotated[str | None, typer.Option("--from-topic", help="Only those that came from this topic.")]
At = Annotated[str | None, typer.Option("--at", help="Only the one at PARTITION:OFFSET of the dead-letter topic.")]
