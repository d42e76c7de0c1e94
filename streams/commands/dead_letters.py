"""`plumbline dead-letters`: what could not be read, why, and the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas import topics
from streams.commands import broker
from streams.commands.console import Column, CommandError, UsageError, note, show
from streams.engine.dead_letters import PROCESSING_ERROR, to_redrive, why
from streams.engine.errors import PublishError, RedriveError, TopicLayoutError
from streams.engine.processor import Output, Record
from streams.engine.publisher import check_output
from streams.engine.topics import TopicNames
from streams.ingest.rejection import Reason
from streams.responders.webhook import FAILED
from streams.settings import Settings

REASONS: Final = frozenset({*(reason.value for reason in Reason), PROCESSING_ERROR, FAILED, "signature"})
"""Every reason that a dead letter can have."""
_TOPICS: Final = tuple(topic.name for topic in topics.TOPICS if topic is not topics.DEAD_LETTERS)
_PLACE: Final = re.compile(r"\d+:\d+")
_COLUMNS: Final[Mapping[str, Column[Mapping[str, Any]]]] = {
    "At": lambda row: row["at"],
    "Reason": lambda row: row["reason"],
    "Stage": lambda row: row["stage"],
    "From": lambda row: f"{row['topic']} {row['partition']}:{row['offset']}",
    "Message": lambda row: row["message"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters; None takes any."""

    reason: str | None = None
    topic: str | None = None
    """The topic that the record came from, by the table's name; what came from a foreign one is chosen by its place."""
    at: str | None = None
    """One letter: `partition:offset` on the dead-letter topic itself."""

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REASONS:
            msg = f"--reason is {self.reason!r}: expected one of {', '.join(sorted(REASONS))}"
            raise UsageError(msg)
        if self.topic is not None and self.topic not in _TOPICS:
            msg = f"--from-topic is {self.topic!r}: expected one of {', '.join(_TOPICS)}"
            raise UsageError(msg)
        if self.at is not None and _PLACE.fullmatch(self.at) is None:
            msg = f"--at is {self.at!r}: expected PARTITION:OFFSET, such as 3:1021, as `dead-letters list` shows it"
            raise UsageError(msg)

    @property
    def is_everything(self) -> bool:
        """Whether nothing was chosen."""
        return self.reason is None and self.topic is None and self.at is None

    def takes(self, record: Record) -> bool:
        """Whether a letter is among them."""
        reasons = why(record)
        return (
            self.reason in {None, reasons.get("reason")}
            and self.topic in {None, reasons.get("topic")}
            and self.at in {None, place(record)}
        )


def place(record: Record) -> str:
    """Where a letter is on the dead-letter topic."""
    return f"{record.partition}:{record.offset}"


async def read(settings: Settings, selection: Selection) -> list[Record]:
    """Return the chosen letters, the oldest first."""
    found: list[Record] = []

    def take(_topic: str, record: Record) -> None:
        if selection.takes(record):
            found.append(record)

    await broker.scan(settings, [topics.DEAD_LETTERS], take)
    return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))


async def list_letters(settings: Settings, selection: Selection, *, limit: int, as_json: bool) -> None:
    """Show the newest of the chosen letters."""
    letters = await read(settings, selection)
    rows = [_row(record) for record in letters[-limit:]]
    show(rows, _COLUMNS, as_json=as_json, empty="No dead letter: every record could be read.")
    if len(rows) < len(letters):
        note(f"The newest {len(rows)} of {len(letters)}; --limit shows more.")


def _row(record: Record) -> dict[str, Any]:
    fields = ("reason", "stage", "topic", "partition", "offset", "timestamp", "message")
    reasons = why(record)
    key = None if record.key is None else record.key.decode("utf-8", "replace")
    return {"at": place(record), "key": key, **{field: reasons.get(field, "") for field in fields}}


def redriven(record: Record, names: TopicNames) -> Output:
    """Return the record that puts a letter back, or say why it must not be put back.

    Raises
    ------
    RedriveError
        Where it was not kept whole, came from a foreign topic, or is a rollback command.
    """
    reasons = why(record)
    if reasons.get("reason") == FAILED:
        msg = (
            f"dead letter {place(record)} is a rollback command: commands come from the governor alone; a worker with"
            " responders delivers it again at its start, as long as it stands approved"
        )
        raise RedriveError(msg)
    output = to_redrive(record)
    try:
        in_use = names.in_use(output.topic)
    except TopicLayoutError as error:
        msg = f"dead letter {place(record)} came from {output.topic!r}, a foreign topic: expected one of ours"
        raise RedriveError(msg) from error
    try:
        check_output(output)
    except PublishError as error:
        msg = (
            f"dead letter {place(record)} cannot go back to {in_use!r}: {error};"
            " the producer has to send it anew, as expected"
        )
        raise RedriveError(msg) from error
    return output


async def redrive(settings: Settings, selection: Selection, *, everything: bool, dry_run: bool) -> None:
    """Put the chosen letters back; they stay on the dead-letter topic, and are read again like new records."""
    if selection.is_everything and not everything:
        msg = "nothing is chosen: expected --reason, --from-topic, --at, or --all"
        raise UsageError(msg)
    if everything and not selection.is_everything:
        msg = "--all excludes --reason, --from-topic and --at: expected it alone"
        raise UsageError(msg)
    outputs: list[Output] = []
    refused: list[str] = []
    for record in await read(settings, selection):
        try:
            outputs.append(redriven(record, TopicNames(settings)))
        except RedriveError as error:
            refused.append(str(error))
    for line in refused:
        note(line)
    if not outputs and not refused and not everything:
        msg = "no dead letter is chosen: `plumbline dead-letters list` shows what there is"
        raise CommandError(msg)
    if dry_run:
        note(f"Dry run: {len(outputs)} records would be put back, {len(refused)} cannot be.")
        return
    targets = {output.topic for output in outputs}
    chosen = [topic for topic in topics.TOPICS if topic.name in targets]
    n_published = await broker.publish(settings, chosen, outputs) if outputs else 0
    note(f"{n_published} records put back.")
    if refused:
        msg = f"{len(refused)} dead letters could not be put back"
        raise CommandError(msg)
