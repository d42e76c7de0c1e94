"""`plumbline alerts` and `plumbline incidents`: what is out of true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import typer

from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.base import from_milliseconds
from schemas.incidents import Incident
from schemas.monitors import Severity
from streams.commands import broker
from streams.commands.console import Column, cell, json_line, show, utc_now
from streams.engine.processor import Record
from streams.governor.incidents import cause_in_words
from streams.responders.alert_book import AlertBook
from streams.settings import Settings

_COLUMNS: Final[Mapping[str, Column[Alert]]] = {
    "State": lambda each: each.status.value,
    "Severity": lambda each: each.labels.get("severity"),
    "Model": lambda each: each.labels.get("model_name"),
    "Version": lambda each: each.labels.get("model_version"),
    "Since": lambda each: each.starts_at,
    "Until": lambda each: each.ends_at,
    "Summary": lambda each: each.annotations.get("summary", each.labels.get("alertname")),
    "Fingerprint": lambda each: each.fingerprint,
}
_TAIL_COLUMNS: Final[Mapping[str, Column[Alert]]] = {"Said": lambda each: each.updated_at, **_COLUMNS}
_INCIDENT_COLUMNS: Final[Mapping[str, Column[Incident]]] = {
    "State": lambda each: each.status,
    "Opened": lambda each: each.opened_at,
    "Last change": lambda each: each.updated_at,
    "Cause": lambda each: cause_in_words(each.cause),
    "Models": lambda each: ", ".join(sorted({member.model_name for member in each.members})),
    "Members": lambda each: len(each.members),
    "Incident": lambda each: each.incident_id,
}


def is_wanted(alert: Alert, *, model: str | None, severity: Severity | None) -> bool:
    """Whether an alert passes the filters."""
    labels = alert.labels
    return model in {None, labels.get("model_name")} and severity in {None, labels.get("severity")}


async def list_alerts(
    settings: Settings, *, model: str | None, severity: Severity | None, ended: bool, as_json: bool
) -> None:
    """Show the alerts in force; with `ended` also those that have ended, as long as the topic keeps them."""
    book = AlertBook()

    def take(topic: str, record: Record) -> None:
        alert = broker.read_event(Alert, topic, record)
        if alert is not None:
            book.apply(alert, from_milliseconds(record.timestamp))

    await broker.scan(settings, [topics.ALERTS], take)
    booked = book.all() if ended else book.in_force(utc_now())
    rows = [each.alert for each in booked if is_wanted(each.alert, model=model, severity=severity)]
    show(rows, _COLUMNS, as_json=as_json, empty="No alert is in force.")


async def tail_alerts(
    settings: Settings, *, model: str | None, severity: Severity | None, repeated: bool, as_json: bool
) -> None:
    """Show alerts as their state changes, until interrupted; with `repeated` also those that only go on."""
    states: dict[str, AlertStatus] = {}
    if not as_json:
        typer.echo("  ".join(_TAIL_COLUMNS))

    def take(topic: str, record: Record) -> None:
        alert = broker.read_event(Alert, topic, record)
        if alert is None or not is_wanted(alert, model=model, severity=severity):
            return
        before = states.get(alert.alert_id, alert.previous_status)
        states[alert.alert_id] = alert.status
        if alert.status is not before or repeated:
            typer.echo(json_line(alert) if as_json else "  ".join(cell(of(alert)) for of in _TAIL_COLUMNS.values()))

    await broker.follow(settings, topics.ALERTS, take)


async def list_incidents(settings: Settings, *, closed: bool, as_json: bool) -> None:
    """Show open incidents; with `closed` all that the topic keeps."""
    found = await broker.collect(settings, topics.INCIDENTS, Incident)
    newest: dict[str, Incident] = {}
    for incident, _ in found:
        held = newest.get(incident.incident_id)
        if held is None or incident.sequence >= held.sequence:
            newest[incident.incident_id] = incident
    rows = [each for each in newest.values() if closed or each.status == "open"]
    rows.sort(key=lambda each: each.opened_at)
    show(rows, _INCIDENT_COLUMNS, as_json=as_json, empty="No incident is open.")
