"""Bytes per event on the broker: what comes in, and what stage 1 writes for it, as compressed on disk."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.session import Recording, Session
from schemas import topics
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes of the topics' logs, by what they are counted per."""

    prediction_bytes: float
    label_bytes: float
    changelog_bytes: float
    """Stage 1's changelog, per prediction with its label; before compaction."""
    deltas_bytes: float
    """Profile deltas, per event; they come per commit, so a slower stream has more of them."""


def measure(session: Session, recording: Recording, settings: Settings) -> Traffic | None:
    """Read what a run has left; None where the broker's folder is not ours to look into."""
    names = TopicNames(settings)
    sizes = [
        session.topic_bytes(topic)
        for topic in (
            recording.predictions,
            recording.labels,
            names.changelog(StageName.PROFILER),
            names.in_use(topics.PROFILES.name),
        )
    ]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    predictions, labels, changelog, deltas = known
    return Traffic(
        prediction_bytes=predictions / recording.n_pairs,
        label_bytes=labels / recording.n_pairs,
        changelog_bytes=changelog / recording.n_pairs,
        deltas_bytes=deltas / recording.n_events,
    )
