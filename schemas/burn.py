"""Burn rates in monitors.yaml: an objective for a ratio, and the windows over which its error budget may burn."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Self

from pydantic import Field, model_validator

from schemas.base import Config, Duration, FieldError


class BurnWindows(Config):
    """A long and a short window, and the burn rate that both must exceed."""

    factor: float = Field(gt=0, allow_inf_nan=False)
    """Burn rate; 1 uses up the error budget exactly in its period."""
    long: Duration
    short: Duration

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not timedelta(0) < self.short < self.long:
            raise FieldError("short", expected="no part of the long window: expected more than 0 and less than `long`")
        return self


_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PAGE_WINDOWS: Final = (
    BurnWindows(factor=14.4, long=_HOUR, short=5 * _MINUTE),
    BurnWindows(factor=6.0, long=6 * _HOUR, short=30 * _MINUTE),
)
TICKET_WINDOWS: Final = (
    BurnWindows(factor=3.0, long=_DAY, short=2 * _HOUR),
    BurnWindows(factor=1.0, long=3 * _DAY, short=6 * _HOUR),
)


class BurnRate(Config):
    """For `detector: burn_rate`: how much of a ratio may be bad, and how fast that may be used up."""

    objective: float = Field(gt=0, lt=1)
    """Share of events that must be good: .99 leaves one in a hundred."""
    period: Duration = timedelta(days=30)
    """What the error budget is for."""
    windows: tuple[BurnWindows, ...] = ()
    """By default those of the severity: 14.4 over 1h and 5m, 6 over 6h and 30m for a page; 3 over 1d and 2h, 1 over 3d
    and 6h for a ticket."""

    @model_validator(mode="after")
    def _within_the_period(self) -> Self:
        for index, pair in enumerate(self.windows):
            if pair.long > self.period:
                raise FieldError("windows", index, "long", expected="longer than the period: expected at most `period`")
        return self
