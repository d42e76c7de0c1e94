"""CloudEvents 1.0 in the Kafka binding's binary mode: the headers that every event of ours carries."""

from __future__ import annotations

from datetime import datetime

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
TYPE_PREFIX = "plumbline."


def event_type(topic: str) -> str:
    """CloudEvents type of what a topic carries: `ml.alerts.v1` -> `plumbline.alerts.v1`."""
    return TYPE_PREFIX + topic.removeprefix("ml.")


def event_headers(
    *, event_id: str, topic: str, source: str, subject: str, time: datetime | None = None
) -> list[tuple[str, bytes]]:
    """Binary-mode headers of an event of ours.

    Parameters
    ----------
    event_id
        Unique within the source; the same for a resend, so that consumers can deduplicate.
    topic
        Name of the topic in the topic table.
    source
        Which part of Plumbline speaks, such as `plumbline/evaluator`.
    subject
        What it is about: the record's key.
    time
        Event time, aware.
    """
    headers = [
        ("content-type", CONTENT_TYPE),
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", event_id),
        ("ce_type", event_type(topic)),
        ("ce_source", source),
        ("ce_subject", subject),
        ("ce_dataschema", f"urn:plumbline:schema:{topic}"),
    ]
    if time is not None:
        headers.append(("ce_time", time.isoformat().replace("+00:00", "Z")))
    return [(name, value.encode()) for name, value in headers]
