"""What the pydantic events share: strictness, time and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    WithJsonSchema,
)


class FieldError(ValueError):
    """A value that does not go with others of the same entry.

    Parameters
    ----------
    *location
        The field as a person writes it, from where the error is raised: names, and indexes of lists.
    expected
        What is wrong with it, and what was expected.
    """

    def __init__(self, *location: int | str, expected: str) -> None:
        super().__init__(f"{'.'.join(map(str, location))}: {expected}")
        self.location = location
        self.expected = expected


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*$")


def parse_duration(value: Any) -> timedelta:
    """Read `90s`, `6h`, `14d` (units ms, s, m, h, d, w), or a timedelta as it is.

    Raises
    ------
    ValueError
        For anything else, or where the duration is negative.
    """
    if isinstance(value, timedelta):
        duration = value
    else:
        match = _DURATION.match(value) if isinstance(value, str) else None
        if match is None and isinstance(value, str) and _DURATION.match(value.strip().removeprefix("-")):
            msg = f"{value!r} is negative: expected a duration of zero or more"
            raise ValueError(msg)
        if match is None:
            msg = f"{value!r} is no duration: expected a number and a unit of ms, s, m, h, d, w, such as 6h"
            raise ValueError(msg)
        duration = _seconds(value, float(match[1]) * _UNITS[match[2]])
    if duration < timedelta(0):
        msg = f"{value!r} is negative: expected a duration of zero or more"
        raise ValueError(msg)
    return duration


def _seconds(value: Any, seconds: float) -> timedelta:
    if not seconds <= _LONGEST_SECONDS:
        msg = f"{str(value)[:60]!r} is too long: expected at most a hundred years"
        raise ValueError(msg)
    return timedelta(seconds=seconds)


_LONGEST_SECONDS = 100 * 366 * 86_400


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit that divides it: `6h`, not `360m`."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit in ("w", "d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if unit != "w" and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def milliseconds(value: timedelta | datetime) -> int:
    """Milliseconds of a duration, or since the epoch of an aware datetime."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    return (value - _EPOCH) // timedelta(milliseconds=1)


def from_milliseconds(value: int) -> datetime:
    """The UTC datetime of a number of milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=int(value))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["6h"]}),
]
"""A duration, written as a number and a unit."""


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        msg = f"{value.isoformat()} is no time in UTC: expected one of the years 1 to 9999"
        raise ValueError(msg) from None


Timestamp = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A point in event time with a zone, kept in UTC; RFC 3339 on the wire."""


class Event(BaseModel):
    """An event: frozen; unknown fields of a newer minor are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, populate_by_name=True)

    def to_bytes(self) -> bytes:
        """The value on the wire: compact JSON."""
        return self.model_dump_json(by_alias=True).encode()


class Config(BaseModel):
    """What a person writes: frozen; an unknown field is a mistake and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)

    def to_bytes(self) -> bytes:
        """The value on the wire: compact JSON."""
        return self.model_dump_json(by_alias=True).encode()
