"""`plumbline incidents`: what has one cause, with its whole timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, Literal

import typer

from schemas import topics
from schemas.base import format_duration
from schemas.incidents import Incident, TimelineEntry
from streams.commands import broker
from streams.commands.console import Column, UsageError, cell, json_line, show
from streams.governor.incidents import cause_in_words
from streams.responders.incident_book import IncidentBook
from streams.settings import Settings

Form = Literal["text", "markdown", "json"]
_COLUMNS: Final[Mapping[str, Column[Incident]]] = {
    "State": lambda each: each.status,
    "Opened": lambda each: each.opened_at,
    "Last change": lambda each: each.updated_at,
    "Cause": lambda each: cause_in_words(each.cause),
    "Models": lambda each: ", ".join(sorted({member.model_name for member in each.members})),
    "Members": lambda each: len(each.members),
    "Incident": lambda each: each.incident_id,
}


async def _read(settings: Settings) -> IncidentBook:
    book = IncidentBook()
    for incident, _ in await broker.collect(settings, topics.INCIDENTS, Incident):
        book.apply(incident)
    return book


async def list_incidents(settings: Settings, *, closed: bool, as_json: bool) -> None:
    """Show open incidents; with `closed` all that the topic keeps."""
    rows = [each for each in (await _read(settings)).all() if closed or each.status == "open"]
    show(rows, _COLUMNS, as_json=as_json, empty="No incident is open.")


async def show_incident(settings: Settings, incident_id: str, *, form: Form) -> None:
    """Show one incident whole, as text, as Markdown for a report, or as JSON."""
    incident = (await _read(settings)).get(incident_id)
    if incident is None:
        msg = f"incident {incident_id!r} is unknown: expected an id that `plumbline incidents list --closed` shows"
        raise UsageError(msg)
    if form == "json":
        typer.echo(json_line(incident))
        return
    for line in markdown(incident) if form == "markdown" else in_words(incident):
        typer.echo(line)


def facts(incident: Incident) -> Iterator[tuple[str, str]]:
    """Name and value of what holds for the incident as a whole."""
    yield "incident", incident.incident_id
    yield "state", incident.status
    yield "began", cell(incident.began_at)
    yield "opened", cell(incident.opened_at)
    yield "closed", cell(incident.closed_at)
    yield "time to detect", _span(incident.seconds_to_detect)
    yield "time to resolve", _span(incident.seconds_to_resolve)


def in_words(incident: Incident) -> Iterator[str]:
    """An incident for a person at a terminal."""
    yield cause_in_words(incident.cause)
    yield from (f"{name}: {value}" for name, value in facts(incident))
    for member in incident.members:
        yield f"{member.kind} {member.id}: {member.environment}/{member.model_name}, {member.status}"
    for entry in incident.timeline:
        yield f"{cell(entry.at)}  {entry.kind:12}  {entry.what}"
        yield from (f"{'':36}{name}: {value}" for name, value in entry.details.items())


def markdown(incident: Incident) -> Iterator[str]:
    """An incident as a report."""
    yield f"# Incident: {cause_in_words(incident.cause)}"
    yield ""
    yield from (f"- **{name}**: {value}" for name, value in facts(incident))
    yield ""
    yield "| Member | Model | State |"
    yield "|---|---|---|"
    for member in incident.members:
        yield f"| {member.kind} `{member.id}` | {member.environment}/{member.model_name} | {member.status} |"
    yield ""
    yield "| When (UTC) | What | |"
    yield "|---|---|---|"
    yield from (f"| {cell(entry.at)} | {entry.kind} | {_escaped(entry.what)} |" for entry in incident.timeline)
    for entry in incident.timeline:
        yield from _rules(entry)


def _rules(entry: TimelineEntry) -> Iterator[str]:
    if not entry.details:
        return
    yield ""
    yield f"## {cell(entry.at)}, {entry.kind}"
    yield ""
    yield from (f"- `{name}`: {value}" for name, value in entry.details.items())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(timedelta(seconds=round(seconds)))
