"""The alert lifecycle: a pure function of the alert so far, what the window says, and event time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from schemas.alerts import AlertStatus, Resolution


class Condition(Enum):
    """What a closed window says about an alert's condition."""

    BREACH = "breach"
    """A threshold is passed, or a detector raised an alarm."""
    BETWEEN = "between"
    """Between the set and the clear level: nothing changes."""
    CLEAR = "clear"
    """Below the clear level, or no new alarm of a detector."""
    RECOVERED = "recovered"
    """The mirrored test is sure that the condition is gone."""
    NO_DATA = "no_data"
    """Too little to say anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How patient a monitor is, in milliseconds of event time."""

    for_ms: int
    keep_firing_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """An alert's life so far; None stands for an alert that is not there."""

    status: AlertStatus
    since_ms: int
    """When the condition began to hold."""
    starts_at_ms: int
    last_alarm_ms: int
    resolution: Resolution | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more follows."""
        return self.status is AlertStatus.RESOLVED


def advance(life: Life | None, condition: Condition, now_ms: int, terms: Terms) -> Life | None:
    """Take one window into an alert's life.

    Parameters
    ----------
    life
        The life so far; None where there is no alert.
    condition
        What the window says.
    now_ms
        End of the window, event time.
    terms
        The monitor's patience.

    Returns
    -------
    Life or None
        The life after the window. A pending alert whose condition ceases was never raised: None.
    """
    if life is None or life.is_over:
        return _begin(now_ms, terms) if condition is Condition.BREACH else None
    if life.status is AlertStatus.PENDING:
        return _advance_pending(life, condition, now_ms, terms)
    return _advance_raised(life, condition, now_ms, terms)


def supersede(life: Life, reason: Resolution) -> Life:
    """End an alert for a reason that lies outside the data."""
    return _replace(life, status=AlertStatus.RESOLVED, resolution=reason)


def _begin(now_ms: int, terms: Terms) -> Life:
    status = AlertStatus.PENDING if terms.for_ms else AlertStatus.FIRING
    return Life(status=status, since_ms=now_ms, starts_at_ms=now_ms, last_alarm_ms=now_ms)


def _advance_pending(life: Life, condition: Condition, now_ms: int, terms: Terms) -> Life | None:
    if condition in {Condition.CLEAR, Condition.BETWEEN, Condition.RECOVERED}:
        return None
    if condition is Condition.NO_DATA:
        return life
    held = now_ms - life.since_ms >= terms.for_ms
    status = AlertStatus.FIRING if held else AlertStatus.PENDING
    starts = now_ms if held else life.starts_at_ms
    return _replace(life, status=status, starts_at_ms=starts, last_alarm_ms=now_ms)


def _advance_raised(life: Life, condition: Condition, now_ms: int, terms: Terms) -> Life:
    """A firing alert, or one whose data ceased: it stays raised until the data says otherwise."""
    if condition is Condition.BREACH:
        return _replace(life, status=AlertStatus.FIRING, last_alarm_ms=now_ms)
    if condition is Condition.NO_DATA:
        return _replace(life, status=AlertStatus.NO_DATA)
    is_quiet = condition is Condition.CLEAR and now_ms - life.last_alarm_ms >= terms.keep_firing_ms
    if is_quiet or condition is Condition.RECOVERED:
        return _replace(life, status=AlertStatus.RESOLVED, resolution=Resolution.RECOVERED)
    return _replace(life, status=AlertStatus.FIRING)


def _replace(
    life: Life,
    *,
    status: AlertStatus,
    starts_at_ms: int | None = None,
    last_alarm_ms: int | None = None,
    resolution: Resolution | None = None,
) -> Life:
    return Life(
        status=status,
        since_ms=life.since_ms,
        starts_at_ms=life.starts_at_ms if starts_at_ms is None else starts_at_ms,
        last_alarm_ms=life.last_alarm_ms if last_alarm_ms is None else last_alarm_ms,
        resolution=resolution,
    )
