"""A person's word on alerts and models: ack, freeze, clear-quarantine, upstream changes; all of them events."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from schemas import topics
from schemas.base import parse_duration
from schemas.identifiers import model_key, stable_id
from schemas.incidents import Intervention
from streams.commands import broker
from streams.commands.alerts import read_alerts
from streams.commands.console import UsageError, note, parse_time, utc_now
from streams.settings import Settings

Kind = Literal["approve", "reject", "ack", "freeze", "clear_quarantine", "upstream_change", "drill"]


def word(
    kind: Kind,
    *,
    environment: str,
    model_name: str,
    subject: str,
    actor: str,
    comment: str,
    at: datetime,
    until: datetime | None = None,
) -> Intervention:
    """Make an intervention; its id hangs on who says what of what, and when."""
    return Intervention(
        intervention_id=stable_id("intervention", kind, model_key(environment, model_name), subject, actor, at),
        environment=environment,
        model_name=model_name,
        kind=kind,
        subject=subject,
        actor=actor,
        comment=comment,
        at=at,
        until=until,
    )


async def publish_word(settings: Settings, event: Intervention) -> None:
    """Publish what a person says; signed where `governor.signing_key` is set."""
    key = settings.governor.signing_key
    output = broker.event_output(
        topics.INTERVENTIONS,
        event,
        key=model_key(event.environment, event.model_name),
        event_id=event.intervention_id,
        at=event.at,
        signing_key=None if key is None else key.get_secret_value(),
    )
    await broker.publish(settings, [topics.INTERVENTIONS], [output])


def end_of(text: str, now: datetime) -> datetime:
    """Read an end: a time such as 2026-06-12T00:00Z, or how long from now, such as 6h.

    Raises
    ------
    UsageError
        If it is neither, or lies before now.
    """
    try:
        end = now + parse_duration(text)
    except ValueError:
        end = parse_time(text, option="--until") or now
    if end <= now:
        msg = f"--until is {text!r}, which is past: expected a time to come, or a duration such as 6h"
        raise UsageError(msg)
    return end


async def freeze(
    settings: Settings, *, environment: str, model: str, end: str | None, actor: str, comment: str
) -> None:
    """Stop automatic rollbacks of a model until `end`, or let them go on where there is none."""
    now = utc_now()
    last = now if end is None else end_of(end, now)
    event = word(
        "freeze", environment=environment, model_name=model, subject="", actor=actor, comment=comment, at=now,
        until=last,
    )  # fmt: skip
    await publish_word(settings, event)
    said = (
        "ended the freeze" if end is None else f"froze automatic rollbacks until {last.isoformat(timespec='seconds')}"
    )
    note(f"{model}: {said}. It stands in the alert, and each refusal says `frozen`.")


async def acknowledge(settings: Settings, fingerprint: str, *, actor: str, comment: str) -> None:
    """Say that a person has seen an alert."""
    book, _, _ = await read_alerts(settings)
    booked = book.get(fingerprint)
    if booked is None:
        msg = f"alert {fingerprint!r} is unknown: expected a fingerprint that `plumbline alerts list` shows"
        raise UsageError(msg)
    labels = booked.alert.labels
    event = word(
        "ack", environment=labels["environment"], model_name=labels["model_name"], subject=fingerprint, actor=actor,
        comment=comment, at=utc_now(),
    )  # fmt: skip
    await publish_word(settings, event)
    note(f"Acknowledged {fingerprint}; `plumbline alerts list` shows it. It changes no rollback, and silences nothing.")


async def clear_quarantine(
    settings: Settings, *, environment: str, model: str, version: str, actor: str, comment: str
) -> None:
    """Let a version that was rolled back be deployed, and rolled back to, again."""
    event = word(
        "clear_quarantine", environment=environment, model_name=model, subject=version, actor=actor, comment=comment,
        at=utc_now(),
    )  # fmt: skip
    await publish_word(settings, event)
    note(f"Cleared {model} {version}: it may be deployed, and be the target of a rollback, again.")


async def announce_change(
    settings: Settings, *, environment: str, model: str, source: str, end: str | None, actor: str, comment: str
) -> None:
    """Say that something upstream changes: until then what is seen may have that cause, and a person decides."""
    now = utc_now()
    event = word(
        "upstream_change", environment=environment, model_name=model, subject=source, actor=actor, comment=comment,
        at=now, until=None if end is None else end_of(end, now),
    )  # fmt: skip
    await publish_word(settings, event)
    note(f"Announced a change of {source} to {model}: a rollback within that time needs a person's approval.")
