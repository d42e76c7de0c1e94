"""`plumbline apply`: what a file says, held against what is published; only what differs is published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import typer

from schemas import topics
from schemas.identifiers import model_key, stable_id
from schemas.models import ModelSpec
from schemas.monitors import ModelEntry, Monitor, MonitorsFile
from schemas.topics import Topic
from streams.commands import broker
from streams.commands.console import note, show, utc_now
from streams.commands.monitors_file import load_monitors_file
from streams.engine.processor import Output, Record
from streams.settings import Settings

Action = Literal["create", "update", "retire", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one ModelSpec or monitor; `keep` publishes nothing."""

    action: Action
    topic: Topic
    key: str
    event: ModelSpec | Monitor
    held: ModelSpec | Monitor | None = None
    """What is published now."""
    fields: tuple[str, ...] = ()
    """What differs from what is published."""

    def differences(self) -> Iterator[tuple[str, object, object]]:
        """Field by field: name, what is published and what the file says; whatever is not given is None."""
        new = self.event.model_dump(mode="json")
        old = {} if self.held is None else self.held.model_dump(mode="json")
        for name in self.fields if self.held is not None else sorted(self.event.model_fields_set):
            yield name, old.get(name), new[name]


class Published:
    """The newest ModelSpecs and monitors on the control topics, by key."""

    def __init__(self) -> None:
        self.specs: dict[str, ModelSpec] = {}
        self.monitors: dict[str, Monitor] = {}

    def take(self, topic: str, record: Record) -> None:
        """Fold one record."""
        if topic == topics.MODELS.name:
            spec = broker.read_event(ModelSpec, topic, record)
            if spec is not None:
                self.specs[model_key(spec.environment, spec.model_name)] = spec
        else:
            monitor = broker.read_event(Monitor, topic, record)
            if monitor is not None:
                self.monitors[monitor_key(monitor)] = monitor


def monitor_key(monitor: Monitor) -> str:
    """Key of a monitor's records."""
    return f"{model_key(monitor.environment, monitor.model_name)}/{monitor.monitor_id}"


def changes(file: MonitorsFile, published: Published, *, prune: bool = False) -> list[Change]:
    """Compare a file with what is published: pure.

    A monitor that is published for a model of the file, and that the file names no more, is retired. Models that
    the file does not name are left alone, unless `prune` is given: then their monitors are retired too, in the
    environments that the file speaks of.
    """
    found = [change for entry in file.models for change in _of_model(entry, published)]
    if not prune:
        return found
    named = {model_key(entry.environment, entry.model_name) for entry in file.models}
    environments = {entry.environment for entry in file.models}
    for key, held in sorted(published.monitors.items()):
        is_elsewhere = held.environment in environments and model_key(held.environment, held.model_name) not in named
        if is_elsewhere and not held.retired:
            found.append(_retire(key, held))
    return found


def _of_model(entry: ModelEntry, published: Published) -> Iterator[Change]:
    spec, monitors = entry.spec(), entry.owned_monitors()
    key = model_key(spec.environment, spec.model_name)
    yield _change(topics.MODELS, key, spec, published.specs.get(key))
    for monitor in monitors:
        yield _change(topics.MONITORS, monitor_key(monitor), monitor, published.monitors.get(monitor_key(monitor)))
    named = {monitor_key(monitor) for monitor in monitors}
    for held_key, held in sorted(published.monitors.items()):
        is_ours = (held.environment, held.model_name) == (spec.environment, spec.model_name)
        if is_ours and held_key not in named and not held.retired:
            yield _retire(held_key, held)


def _retire(key: str, held: Monitor) -> Change:
    retired = held.model_copy(update={"retired": True, "effective_from": None})
    return Change(action="retire", topic=topics.MONITORS, key=key, event=retired, held=held, fields=("retired",))


def _change(topic: Topic, key: str, wanted: ModelSpec | Monitor, held: ModelSpec | Monitor | None) -> Change:
    if held is None:
        return Change(action="create", topic=topic, key=key, event=wanted)
    new, old = wanted.model_dump(mode="json"), held.model_dump(mode="json")
    fields = tuple(name for name in new if new[name] != old.get(name))
    action: Action = "update" if fields else "keep"
    return Change(action=action, topic=topic, key=key, event=wanted, held=held, fields=fields)


def outputs(found: Iterable[Change], at: datetime) -> list[Output]:
    """Return the records that bring the changes about."""
    return [
        broker.event_output(
            change.topic,
            change.event,
            key=change.key,
            event_id=stable_id("control", change.key, change.event.model_dump(mode="json"), at),
            at=at,
        )
        for change in found
        if change.action != "keep"
    ]


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "Action": lambda row: row["action"],
    "Topic": lambda row: row["topic"],
    "Key": lambda row: row["key"],
    "Differs in": lambda row: ", ".join(row["fields"]),
}


_SIGNS: Mapping[Action, str] = {"create": "+", "update": "~", "retire": "-", "keep": " "}


def diff(found: Iterable[Change]) -> Iterator[str]:
    """Say line by line what changes: `~ ml.monitors.v1 production/a/miss_rate`, and under it field by field."""
    for change in found:
        if change.action == "keep":
            continue
        yield f"{_SIGNS[change.action]} {change.topic.name} {change.key}"
        for name, old, new in change.differences():
            yield f"    {name}: {json.dumps(new)}" if change.held is None else (
                f"    {name}: {json.dumps(old)} -> {json.dumps(new)}"
            )  # fmt: skip


async def apply(
    settings: Settings,
    path: Path,
    *,
    dry_run: bool,
    show_diff: bool,
    prune: bool,
    as_json: bool,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Apply a file; with `dry_run` or `show_diff` only say what would be published."""
    file = load_monitors_file(path)
    published = Published()
    control = [topics.MODELS, topics.MONITORS]
    await broker.scan(settings, control, published.take, merged=True)
    found = changes(file, published, prune=prune)
    if show_diff and not as_json:
        for line in diff(found):
            typer.echo(line)
    else:
        show(
            [_row(change) for change in found],
            _COLUMNS,
            as_json=as_json,
            empty="The file names no model: nothing to do.",
        )
    records = outputs(found, now())
    if dry_run or show_diff:
        note(f"Dry run: {len(records)} records would be published.")
        return
    n_published = await broker.publish(settings, control, records)
    note(f"{n_published} records published; {len(found) - n_published} are in force already.")


def _row(change: Change) -> dict[str, Any]:
    differs = [{"field": name, "published": old, "file": new} for name, old, new in change.differences()]
    return {
        "action": change.action,
        "topic": change.topic.name,
        "key": change.key,
        "fields": list(change.fields),
        "differences": differs if change.action != "keep" else [],
    }
