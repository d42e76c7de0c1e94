"""Event time of a model: watermarks of its source partitions, and which of them may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.profiles import Heartbeat, ProfileDelta, Watermarks
from streams.evaluator.state import ModelState, SourceState


class EventTime(NamedTuple):
    """Before these times, in milliseconds, nothing more is expected."""

    predictions_ms: int
    outcomes_ms: int
    """The smaller of the predictions' and the labels' watermark."""


def advance(source: SourceState, marks: Watermarks) -> bool:
    """Move a source's watermarks forward, never back; True where one of them moved."""
    before = (source.predictions_ms, source.labels_ms)
    source.predictions_ms = _later(source.predictions_ms, marks.predictions_ms)
    source.labels_ms = _later(source.labels_ms, marks.labels_ms)
    return (source.predictions_ms, source.labels_ms) != before


def _later(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return max(one, other)


def hear_delta(state: ModelState, delta: ProfileDelta) -> bool:
    """Take a delta's watermarks; False where it was merged already."""
    source = state.sources.setdefault(delta.source_partition, SourceState())
    if (delta.seq, delta.parcel) <= (source.seq, source.parcel):
        return False
    source.seq, source.parcel = delta.seq, delta.parcel
    source.idle_since_ms = None
    advance(source, delta.watermarks)
    if delta.totals:
        state.totals[delta.source_partition] = dict(delta.totals)
    return True


def hear_heartbeat(state: ModelState, heartbeat: Heartbeat, key: str) -> None:
    """Take a sign of life: watermarks, totals, and since when the source has had nothing new."""
    state.n_sources = heartbeat.n_partitions
    source = state.sources.setdefault(heartbeat.source_partition, SourceState())
    moved = advance(source, heartbeat.watermarks.get(key, Watermarks()))
    source.heard_ms = heartbeat.now_ms
    if moved or not heartbeat.caught_up:
        source.idle_since_ms = None
    elif source.idle_since_ms is None:
        source.idle_since_ms = heartbeat.now_ms
    if key in heartbeat.totals:
        state.totals[heartbeat.source_partition] = dict(heartbeat.totals[key])


def event_time(sources: Mapping[int, SourceState], n_sources: int, idle_after_ms: int) -> EventTime | None:
    """Event time of a model.

    A source that was never heard of, or is silent, holds time back: it may be restoring. One that says itself that it
    is caught up and has had nothing new for long is left out.

    Parameters
    ----------
    sources
        By partition.
    n_sources
        How many there are.
    idle_after_ms
        Wall clock after which a source that is caught up counts as idle.

    Returns
    -------
    EventTime or None
        None while a source holds it back altogether.
    """
    if len(sources) < n_sources:
        return None
    moving = [s for s in sources.values() if not _is_idle(s, idle_after_ms)] or list(sources.values())
    predictions = [s.predictions_ms for s in moving]
    labels = [s.labels_ms for s in moving]
    known = [p for p in predictions if p is not None]
    if len(known) < len(predictions) or not known:
        return None
    known_labels = [value for value in labels if value is not None]
    labels_ms = min(known_labels) if len(known_labels) == len(labels) else _NEVER
    return EventTime(min(known), min(*known, labels_ms))


def _is_idle(source: SourceState, idle_after_ms: int) -> bool:
    return source.idle_since_ms is not None and source.heard_ms - source.idle_since_ms >= idle_after_ms


_NEVER = -(2**62)
