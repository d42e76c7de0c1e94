"""Predictions and labels as they were recorded: from JSON lines files, or from the topics between two times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from schemas import topics
from schemas.base import from_milliseconds
from schemas.events import WATERMARK_TYPE, EventTime, LabelEvent, PredictionEvent
from streams.commands import broker
from streams.commands.console import UsageError
from streams.engine.processor import Record
from streams.settings import Settings

T = TypeVar("T", PredictionEvent, LabelEvent)
_PREDICTION = msgspec.json.Decoder(PredictionEvent)
_LABEL = msgspec.json.Decoder(LabelEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which events of a recording are taken."""

    environment: str
    model_name: str
    model_version: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def takes(self, event: PredictionEvent | LabelEvent) -> bool:
        """Whether an event is of the chosen model, and a prediction of the chosen version and time."""
        if (event.environment, event.model_name) != (self.environment, self.model_name):
            return False
        if isinstance(event, LabelEvent):
            return True
        at = event_time(event.prediction_timestamp)
        return (
            self.model_version in {None, event.model_version}
            and (self.start is None or at >= self.start)
            and (self.end is None or at < self.end)
        )


@dataclass(slots=True)
class Recording:
    """What was recorded; of the labels only those whose prediction was taken count."""

    predictions: list[PredictionEvent] = field(default_factory=list)
    labels: list[LabelEvent] = field(default_factory=list)
    n_unreadable: int = 0

    def settle(self) -> Recording:
        """Drop labels of predictions that were not taken."""
        ids = {event.prediction_id for event in self.predictions}
        self.labels = [label for label in self.labels if label.prediction_id in ids]
        return self


def event_time(value: EventTime) -> datetime:
    """Event time as an aware datetime."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            msg = f"{value.isoformat()} has no zone: expected seconds since the epoch, or RFC 3339 with a zone"
            raise ValueError(msg)
        return value
    return from_milliseconds(round(value * 1000))


def read_files(predictions: Iterable[Path], labels: Iterable[Path], choice: Choice) -> Recording:
    """Read JSON lines; a line that cannot be read is a usage error with file and number."""
    found = Recording()
    for path in predictions:
        found.predictions += filter(choice.takes, _lines(path, _PREDICTION))
    for path in labels:
        found.labels += filter(choice.takes, _lines(path, _LABEL))
    return found.settle()


def _lines(path: Path, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007 - the error names it
                if line.strip():
                    event = decoder.decode(line)
                    if isinstance(event, PredictionEvent):
                        event_time(event.prediction_timestamp)
                    yield event
    except (msgspec.DecodeError, ValueError) as error:
        msg = f"{path}:{number}: {error}"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error}"
        raise UsageError(msg) from error


async def read_topics(settings: Settings, choice: Choice) -> Recording:
    """Read what the topics hold up to now; what cannot be read is counted, watermarks are passed over."""
    found = Recording()
    await broker.scan(settings, [topics.PREDICTIONS, topics.LABELS], taker(found, choice))
    return found.settle()


def taker(found: Recording, choice: Choice) -> Callable[[str, Record], None]:
    """Return what folds records into a recording: plain JSON or CloudEvents in binary mode."""

    def take(topic: str, record: Record) -> None:
        if record.value is None or is_watermark(record):
            return
        try:
            if topic == topics.PREDICTIONS.name:
                prediction = _PREDICTION.decode(record.value)
                if choice.takes(prediction):
                    found.predictions.append(prediction)
            else:
                label = _LABEL.decode(record.value)
                if choice.takes(label):
                    found.labels.append(label)
        except (msgspec.DecodeError, ValueError):
            found.n_unreadable += 1

    return take


def is_watermark(record: Record) -> bool:
    """Whether a record says that nothing before a time will follow; then it is no event."""
    names = {"ce_type", "ce-type"}
    return any(name.lower() in names and value == WATERMARK_TYPE.encode() for name, value in record.headers)
