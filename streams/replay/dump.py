"""A topic's dump: events as JSON lines, plain or in the envelope of `kcat -J`, read as a worker would read them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.events import DEFAULT_ENVIRONMENT, LabelEvent, PredictionEvent
from streams.engine.errors import ConfigurationError

_PAYLOADS: Final = ("payload", "value")
_TIMES: Final = {topics.PREDICTIONS.name: "prediction_timestamp", topics.LABELS.name: "label_timestamp"}
_RUN_EVENTS: Final = 100_000
_DECODER: Final = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line: its topic, event time (that of the line before where it has none), model and value."""

    topic: str
    at: float
    model: tuple[str, str] | None
    value: bytes


def is_dump(path: Path) -> bool:
    """Whether a JSON lines file holds events, and no rows of columns."""
    if path.suffix.lower() not in {".jsonl", ".ndjson", ".json"}:
        return False
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    try:
        parsed = _payload(json.loads(first))
    except ValueError:
        return False
    return isinstance(parsed, dict) and {"prediction_id", "model_name"} <= parsed.keys()


def _payload(parsed: Any) -> Any:
    """The event in an envelope; a line without one is the event."""
    if not isinstance(parsed, dict) or "prediction_id" in parsed:
        return parsed
    for name in _PAYLOADS:
        if name in parsed:
            inner = parsed[name]
            return json.loads(inner) if isinstance(inner, str) else inner
    return parsed


def _topic(parsed: Any) -> str:
    is_label = isinstance(parsed, dict) and not ({"prediction_timestamp", "features", "model_version"} & parsed.keys())
    return topics.LABELS.name if is_label else topics.PREDICTIONS.name


def _seconds(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None


def read_events(path: Path) -> Iterator[Event]:
    """Read a dump in its own order; what is no event is passed on, for the pipeline to reject.

    Raises
    ------
    ConfigurationError
        Where the file cannot be read.
    """
    at = 0.0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.strip():
                    continue
                value, parsed = line.strip(), None
                try:
                    outer = _DECODER.decode(line)
                    parsed = _payload(outer)
                    value = value if parsed is outer else msgspec.json.encode(parsed)
                except (msgspec.DecodeError, ValueError):
                    pass  # a dead letter, in its turn
                topic, model = _topic(parsed), None
                if isinstance(parsed, dict):
                    at = _seconds(parsed.get(_TIMES[topic])) or at
                    if isinstance(name := parsed.get("model_name"), str):
                        model = (str(parsed.get("environment") or DEFAULT_ENVIRONMENT), name)
                yield Event(topic=topic, at=at, model=model, value=value)
    except OSError as error:
        msg = f"{path} cannot be read: {error}"
        raise ConfigurationError(msg) from error


def key_of(event: Event) -> bytes | None:
    """The key that a producer would have given: the prediction_id."""
    try:
        parsed = _DECODER.decode(event.value)
        return str(parsed["prediction_id"]).encode()
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def sorted_events(files: Sequence[Path], folder: Path) -> Iterator[Event]:
    """Events of several dumps in the order of their times: sorted runs on disk, merged."""
    runs: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)

    def flush(events: list[Event]) -> None:
        run = folder / f"{len(runs):06d}.run"
        with run.open("wb") as out:
            for each in sorted(events, key=lambda event: event.at):
                out.write(msgspec.json.encode([each.topic, each.at, each.model, each.value]) + b"\n")
        runs.append(run)

    pending: list[Event] = []
    for path in files:
        for event in read_events(path):
            pending.append(event)
            if len(pending) >= _RUN_EVENTS:
                flush(pending)
                pending = []
    if pending:
        flush(pending)
    yield from heapq.merge(*map(_run, runs), key=lambda event: event.at)


_RUN: Final = msgspec.json.Decoder(tuple[str, float, tuple[str, str] | None, bytes])


def _run(path: Path) -> Iterator[Event]:
    with path.open("rb") as file:
        for line in file:
            topic, at, model, value = _RUN.decode(line)
            yield Event(topic=topic, at=at, model=model, value=value)


def decoded(events: Sequence[Event]) -> tuple[list[PredictionEvent], list[LabelEvent]]:
    """Events of a reference; what cannot be read is left out, since the pipeline says so of it elsewhere."""
    served, known = [], []
    for event in events:
        try:
            if event.topic == topics.PREDICTIONS.name:
                served.append(msgspec.json.decode(event.value, type=PredictionEvent))
            else:
                known.append(msgspec.json.decode(event.value, type=LabelEvent))
        except msgspec.MsgspecError:
            continue
    return served, known
