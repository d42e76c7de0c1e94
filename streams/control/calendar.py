"""Cells, the cell of the week that a cell is held against, and cells that maintenance covers."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.base import from_milliseconds, milliseconds
from schemas.maintenance import Maintenance
from schemas.models import ModelSpec

_WEEK_MS = milliseconds(timedelta(days=7))


def cell_start(timestamp_ms: int, cell_ms: int) -> int:
    """Start of the cell that holds a timestamp: cells are multiples of their length in UTC."""
    return timestamp_ms - timestamp_ms % cell_ms


@lru_cache(maxsize=4096)
def cell_of_week(cell_start_ms: int, cell_ms: int, time_zone: str) -> int:
    """Context of a seasonal reference: number of the cell in the local week, from Monday, 0 to week/cell - 1.

    Local time is taken at the start of the cell and rounded down to a multiple of the cell, so that a change to
    summer time does not shift the contexts.
    """
    local = from_milliseconds(cell_start_ms).astimezone(ZoneInfo(time_zone))
    since_monday = timedelta(days=local.weekday(), hours=local.hour, minutes=local.minute, seconds=local.second)
    return milliseconds(since_monday) // cell_ms


def n_contexts(spec: ModelSpec) -> int:
    """How many cells a week has."""
    return _WEEK_MS // milliseconds(spec.cell)


def maintenance_of(spec: ModelSpec, start_ms: int, end_ms: int) -> Maintenance | None:
    """The entry of the calendar that overlaps a window, the first one if there are several."""
    start, end = from_milliseconds(start_ms), from_milliseconds(end_ms)
    zone = ZoneInfo(spec.time_zone)
    return next((entry for entry in spec.maintenance if _overlaps(entry, start, end, zone)), None)


def _overlaps(entry: Maintenance, start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    step = entry.step
    if step is None:
        return start < entry.starts_at + entry.duration and entry.starts_at < end
    first = entry.starts_at.astimezone(zone).replace(tzinfo=None)
    earliest = start.astimezone(zone).replace(tzinfo=None) - entry.duration - step
    number = max(0, (earliest - first) // step)
    while True:
        # The same hour on the clock of the place, summer or winter.
        begins = (first + number * step).replace(tzinfo=zone).astimezone(start.tzinfo)
        if begins >= end or (entry.until is not None and begins >= entry.until):
            return False
        if start < begins + entry.duration:
            return True
        number += 1
