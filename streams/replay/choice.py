"""`--reference`: the first rows, a range of time, or a file; and what is left to be replayed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow.compute as pc
from pydantic import ValidationError

from schemas.events import LabelEvent, PredictionEvent
from schemas.identifiers import stable_id
from schemas.models import ModelSpec
from schemas.references import Reference
from streams.engine.errors import ConfigurationError
from streams.engine.processor import ListRecord
from streams.ingest.arrow import json_records
from streams.replay.recording import Recording, Slice
from streams.replay.references import build_reference
from streams.replay.source import LABEL_TIME, TIME

_EXPECTED: Final = "first:N, FROM..TO (dates, or times with a zone), or a file"
MINIMUM_ROWS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What current data is held against; all empty for the first events of the model, as its policy has it."""

    first: int = 0
    start: datetime | None = None
    end: datetime | None = None
    file: Path | None = None

    @classmethod
    def parse(cls, text: str | None, *, time_zone: str = "UTC") -> Choice:
        """Read the option.

        Raises
        ------
        ConfigurationError
            Where it is none of the three.
        """
        if text is None:
            return cls()
        if text.startswith("first:"):
            number = text.removeprefix("first:").replace("_", "")
            if not number.isdecimal() or int(number) < MINIMUM_ROWS:
                msg = f"--reference is {text!r}: expected first:N with N of at least {MINIMUM_ROWS}"
                raise ConfigurationError(msg)
            return cls(first=int(number))
        if ".." in text and not Path(text).exists():
            start, end = (_moment(part, text, time_zone) for part in text.split("..", 1))
            if start >= end:
                msg = f"--reference is {text!r}: expected FROM before TO"
                raise ConfigurationError(msg)
            return cls(start=start, end=end)
        if not Path(text).is_file():
            msg = f"--reference is {text!r}: expected {_EXPECTED}"
            raise ConfigurationError(msg)
        return cls(file=Path(text))

    def range(self, recording: Recording) -> tuple[float, float] | None:
        """The times [start, end) of the recording that make the reference; None where it is not of the recording.

        Raises
        ------
        ConfigurationError
            Where nothing would be left to replay, or nothing lies in the range.
        """
        first, last = recording.span
        if self.first:
            start, end = recording.first_rows(self.first)
        elif self.start is not None and self.end is not None:
            start, end = self.start.timestamp(), self.end.timestamp()
        else:
            return None
        span = f"{_shown(first)} to {_shown(last)}"
        if end <= first or start > last:
            msg = f"--reference is {_shown(start)}..{_shown(end)}: expected a part of the recording, {span}"
            raise ConfigurationError(msg)
        if start <= first and end > last:
            msg = f"--reference takes all {recording.predictions.n_rows} rows of {span}: expected some to be replayed"
            raise ConfigurationError(msg)
        return start, end


def _moment(text: str, whole: str, zone: str) -> datetime:
    try:
        at = datetime.fromisoformat(text) if len(text) > 10 else datetime.combine(date.fromisoformat(text), time())
    except ValueError:
        msg = f"--reference is {whole!r}: expected {_EXPECTED}"
        raise ConfigurationError(msg) from None
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=ZoneInfo("UTC")).isoformat(timespec="seconds")


def build_from(recording: Recording, spec: ModelSpec, start: float, end: float) -> Reference:
    """Build a reference from a part of a recording.

    Raises
    ------
    ConfigurationError
        Where there are too few rows, or some cannot be read.
    """
    served, known = recording.between(start, end)
    if served.num_rows < MINIMUM_ROWS:
        msg = f"--reference has {served.num_rows} rows: expected at least {MINIMUM_ROWS}"
        raise ConfigurationError(msg)
    try:
        predictions = _events(served, PredictionEvent)
        labels = [] if known is None else _events(known, LabelEvent)
        id_ = stable_id("replay", spec.model_name, start, end, served.num_rows)
        return build_reference(spec, predictions, labels, reference_id=id_)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"--reference cannot be built from rows of the recording: {error}"
        raise ConfigurationError(msg) from error


def _events(table: Any, kind: type[Any]) -> list[Any]:
    wire = table.drop_columns([name for name in (TIME, LABEL_TIME) if name in table.column_names])
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(record.value or b"") for record in json_records(ListRecord(topic=""), wire)]


def read_reference(path: Path, spec: ModelSpec) -> Reference:
    """Read what `plumbline references build --output` wrote.

    Raises
    ------
    ConfigurationError
        Where it is no reference, or another model's.
    """
    try:
        reference = Reference.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"--reference {path} is no reference as `plumbline references build --output` writes it: {error}"
        raise ConfigurationError(msg) from error
    if reference.model_name != spec.model_name:
        msg = f"--reference {path} is of model {reference.model_name!r}: expected {spec.model_name!r}"
        raise ConfigurationError(msg)
    return reference.model_copy(update={"effective_from": None, "environment": spec.environment})


def without(part: Slice, start: float, end: float) -> Slice:
    """A slice less the predictions of [start, end); their labels stay, find none, and count nowhere but as orphans."""
    served = part.predictions
    if served is None:
        return part
    times = np.asarray(served.column(TIME))
    if times[-1] < start or times[0] >= end:
        return part
    column = served.column(TIME)
    kept = served.filter(pc.or_(pc.less(column, start), pc.greater_equal(column, end)))
    return Slice(predictions=kept if kept.num_rows else None, labels=part.labels)
