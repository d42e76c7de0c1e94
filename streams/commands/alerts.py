"""`plumbline alerts`: what is out of true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import typer

from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.base import from_milliseconds
from schemas.incidents import Incident, Intervention
from schemas.monitors import Severity
from streams.commands import broker
from streams.commands.console import Column, UsageError, cell, json_line, show, utc_now
from streams.engine.processor import Record
from streams.responders.alert_book import AlertBook
from streams.responders.incident_book import IncidentBook
from streams.responders.word_book import Said, WordBook
from streams.settings import Settings


def _of_alert(column: Column[Alert]) -> Callable[[tuple[Alert, Said | None, Said | None]], object]:
    return lambda row: column(row[0])


_Row = tuple[Alert, Said | None, Said | None]
"""An alert, who has seen it, and who has frozen its model."""
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
_LIST_COLUMNS: Final[Mapping[str, Column[_Row]]] = {
    **{heading: _of_alert(column) for heading, column in _COLUMNS.items()},
    "Seen by": lambda row: row[1],
    "Frozen by": lambda row: row[2],
}
_TAIL_COLUMNS: Final[Mapping[str, Column[Alert]]] = {"Said": lambda each: each.updated_at, **_COLUMNS}


def is_wanted(alert: Alert, *, model: str | None, severity: Severity | None) -> bool:
    """Whether an alert passes the filters."""
    labels = alert.labels
    return model in {None, labels.get("model_name")} and severity in {None, labels.get("severity")}


async def list_alerts(
    settings: Settings, *, model: str | None, severity: Severity | None, ended: bool, as_json: bool
) -> None:
    """Show the alerts in force; with `ended` also those that have ended, as long as the topic keeps them."""
    book, words, _ = await read_alerts(settings)
    now = utc_now()
    booked = book.all() if ended else book.in_force(now)
    alerts = [each.alert for each in booked if is_wanted(each.alert, model=model, severity=severity)]
    none = "No alert is in force."
    if as_json:
        show(alerts, {}, as_json=True, empty=none)
    else:
        rows = [(alert, words.ack_of(alert), words.freeze_of(alert, now)) for alert in alerts]
        show(rows, _LIST_COLUMNS, as_json=False, empty=none)


async def show_alert(settings: Settings, fingerprint: str, *, as_json: bool) -> None:
    """Show everything that the newest record of an alert says, and what people have said of it."""
    book, words, incidents = await read_alerts(settings)
    booked = book.get(fingerprint)
    if booked is None:
        msg = f"alert {fingerprint!r} is unknown: expected a fingerprint that `plumbline alerts list --ended` shows"
        raise UsageError(msg)
    if as_json:
        show([booked.alert], {}, as_json=True, empty="")
        return
    now = utc_now()
    for line in in_words(booked.alert, ack=words.ack_of(booked.alert), freeze=words.freeze_of(booked.alert, now)):
        typer.echo(line)
    incident = incidents.of_alert(fingerprint)
    if incident is not None:
        typer.echo(f"incident: {incident.incident_id} ({incident.status}, {len(incident.members)} members)")


def in_words(alert: Alert, *, ack: Said | None, freeze: Said | None) -> Iterator[str]:
    """An alert for a person: what, since when, on which evidence, what moved, what was in force, who has said what."""
    yield alert.annotations.get("summary", alert.labels.get("alertname", ""))
    yield f"{alert.status.value} since {cell(alert.starts_at)}, last said {cell(alert.updated_at)}"
    yield from (alert.annotations[name] for name in ("description", "runbook_url") if name in alert.annotations)
    for title, series in (("carried by", alert.evidence.series), ("has moved", alert.evidence.discoveries)):
        for line in series:
            where = " ".join(part for part in (line.monitor_id, line.feature, line.segment) if part)
            held = "" if line.reference_value is None else f", reference {cell(line.reference_value)}"
            yield f"{title}: {where}: {cell(line.value)}{held} ({line.share_ratio:.0%} of the statistic)"
    cause = alert.explanation
    yield f"cause: {cause.attribution}" + (f" ({cause.rule}: {cause.why})" if cause.rule else "")
    yield from (f"  {each.name}: {each.summary}" for each in alert.explanation.top_features)
    yield from (f"{name}: {value}" for name, value in alert.lineage.model_dump().items() if value)
    yield f"seen by: {'nobody' if ack is None else f'{ack} ({cell(ack.at)})'}"
    if freeze is not None:
        yield f"rollbacks frozen by {freeze}, until {cell(freeze.until)}"


async def read_alerts(settings: Settings) -> tuple[AlertBook, WordBook, IncidentBook]:
    """Fold every alert, what people have said, and what belongs together."""
    book, words, incidents = AlertBook(), WordBook(), IncidentBook()

    def take(topic: str, record: Record) -> None:
        if topic == topics.ALERTS.name:
            alert = broker.read_event(Alert, topic, record)
            if alert is not None:
                book.apply(alert, from_milliseconds(record.timestamp))
        elif topic == topics.INCIDENTS.name:
            incident = broker.read_event(Incident, topic, record)
            if incident is not None:
                incidents.apply(incident)
        else:
            said = broker.read_event(Intervention, topic, record)
            if said is not None:
                words.apply(said)

    await broker.scan(settings, [topics.ALERTS, topics.INTERVENTIONS, topics.INCIDENTS], take)
    return book, words, incidents


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
