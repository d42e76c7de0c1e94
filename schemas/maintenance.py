"""Maintenance: hours in which a model is not judged, once or again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Config, Duration, FieldError, Timestamp, format_duration

_STEPS: Final = {"day": timedelta(days=1), "week": timedelta(days=7)}


class Maintenance(Config):
    """One entry of a model's maintenance calendar.

    Cells that overlap it are counted and published, and not judged: no detector is fed, no alert begins, and what
    came in them is no evidence for a rollback.
    """

    starts_at: Timestamp
    """The first time; later ones are at the same hour in the model's time zone."""
    duration: Duration
    every: Literal["once", "day", "week"] = "once"
    until: Timestamp | None = None
    """Nothing begins from then on; without it a repeated one goes on for good."""
    comment: str = Field(default="", max_length=200)
    """Shown with every window that it covers."""

    @property
    def step(self) -> timedelta | None:
        """Time between two of them; None where there is only one."""
        return _STEPS.get(self.every)

    @model_validator(mode="after")
    def _ends_before_the_next(self) -> Self:
        if self.duration <= timedelta(0):
            raise FieldError("duration", expected="is nothing: expected a length such as 2h")
        if self.step is not None and self.duration >= self.step:
            told = f"{format_duration(self.duration)} leaves no time in a {self.every}"
            raise FieldError("duration", expected=f"{told}: expected less than {format_duration(self.step)}")
        if self.until is not None and self.until <= self.starts_at:
            raise FieldError("until", expected="lies before it begins: expected a time after starts_at")
        return self
