"""`plumbline topics`: the topics as they should be and as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from schemas.base import format_duration
from streams.commands.console import Column, CommandError, note, show
from streams.engine.topics import TopicDescription, describe_topics, ensure_topics
from streams.settings import Settings


def _partitions(topic: TopicDescription) -> str:
    return str(topic.n_partitions_expected if topic.n_partitions is None else topic.n_partitions)


_COLUMNS: Final[Mapping[str, Column[TopicDescription]]] = {
    "Topic": lambda each: each.name,
    "Key": lambda each: each.key,
    "Partitions": _partitions,
    "Retention": lambda each: retention(each.retention_ms),
    "Purpose": lambda each: each.purpose,
    "State": lambda each: each.advice or "ok",
}


def retention(retention_ms: int | None) -> str:
    """Say how long a topic keeps its records."""
    return "everything" if retention_ms is None else format_duration(timedelta(milliseconds=retention_ms))


async def list_topics(settings: Settings, *, as_json: bool) -> None:
    """Show every topic; a `CommandError` where one is missing or laid out otherwise."""
    described = await describe_topics(settings)
    if as_json:
        show([{**asdict(each), "advice": each.advice} for each in described], {}, as_json=True, empty="")
    else:
        show(described, _COLUMNS, as_json=False, empty="")
    wrong = [each for each in described if each.advice]
    if wrong:
        msg = f"{len(wrong)} of {len(described)} topics are not as they should be"
        raise CommandError(msg)


async def create_topics(settings: Settings) -> None:
    """Create what is missing; what is there is left alone."""
    created = await ensure_topics(settings)
    for name in created:
        note(f"created {name}")
    note(f"{len(created)} topics created." if created else "Every topic is there already.")
