"""What a commit says: a delta per model, a heartbeat, and counts for the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from schemas import topics
from schemas.cloudevents import event_headers
from schemas.identifiers import split_model_key
from schemas.profiles import Heartbeat, ProfileDelta, Watermarks
from streams.engine.processor import EVERY_PARTITION, CommitContext, Output
from streams.profiler.batch import NO_MODEL
from streams.profiler.model import Tally
from streams.profiler.parcels import parcels
from streams.profiler.recording import Overlay
from streams.profiler.samples import feature_kinds
from streams.profiler.staging import ModelChange
from streams.profiler.watermarks import Clock

SOURCE: Final = "plumbline/profiler"
_CONTENT_TYPE: Final = ("content-type", b"application/msgpack")
_encoder: Final = msgspec.msgpack.Encoder()


def deltas(change: ModelChange, context: CommitContext, *, inferred: bool) -> list[Output]:
    """One model's share of a commit, in one delta or in several; without counts it still moves the watermarks.

    All but counts is in the last parcel: whoever has that one has everything.
    """
    key = change.state.key
    environment, model_name = split_model_key(key)
    *rest, last = parcels(change.parts)
    said = [
        ProfileDelta(
            environment=environment,
            model_name=model_name,
            source_partition=context.partition,
            seq=context.seq,
            parcel=parcel,
            watermarks=Watermarks(),
            parts=parts,
            inferred=inferred,
        )
        for parcel, parts in enumerate(rest)
    ]
    said.append(
        ProfileDelta(
            environment=environment,
            model_name=model_name,
            source_partition=context.partition,
            seq=context.seq,
            parcel=len(rest),
            watermarks=change.clock.wire(),
            parts=last,
            offsets={
                topic: (context.previous_positions.get(topic, 0), position)
                for topic, position in context.positions.items()
            },
            samples=change.samples,
            outcomes=change.outcomes,
            totals=change.totals(),
            inferred=inferred,
            feature_kinds=feature_kinds(change.samples),
        )
    )
    return [_delta_output(each, key) for each in said]


def _delta_output(said: ProfileDelta, key: str) -> Output:
    event_id = f"profile-{said.source_partition}-{said.seq}-{key}" + (f"-{said.parcel}" if said.parcel else "")
    value = _encoder.encode(said)
    return Output(topic=topics.PROFILES.name, key=key.encode(), value=value, headers=_headers(event_id, key))


def heartbeat_output(
    said: Mapping[str, tuple[Clock, dict[str, int]]], unattributed: Tally, context: CommitContext, *, n_partitions: int
) -> Output:
    """A sign of life, to every partition.

    Parameters
    ----------
    said
        Clock and totals by model.
    unattributed
        Tally of what belongs to no model.
    context
        The commit.
    n_partitions
        How many source partitions there are.
    """
    totals = {key: of_model for key, (_, of_model) in said.items()}
    beat = Heartbeat(
        source_partition=context.partition,
        n_partitions=n_partitions,
        seq=context.seq,
        now_ms=context.now_ms,
        caught_up=context.caught_up,
        watermarks={key: clock.wire() for key, (clock, _) in said.items()},
        totals={**totals, NO_MODEL: unattributed.totals(predictions_pending=0, labels_pending=0)},
    )
    headers = _headers(f"heartbeat-{context.partition}-{context.seq}", f"partition/{context.partition}")
    return Output(
        topic=topics.PROFILES.name,
        key=None,
        value=_encoder.encode(beat),
        headers=headers,
        partition=EVERY_PARTITION,
    )


def counts(overlay: Overlay, unattributed: Tally) -> dict[str, int]:
    """What this commit settled, for metrics that only grow; what still waits is no count.

    Parameters
    ----------
    overlay
        The commit.
    unattributed
        Tally of what belongs to no model, before it.
    """
    out: dict[str, int] = {}
    for change in overlay.changes:
        before, after = change.state.totals(change.horizons), change.totals()
        for name, value in after.items():
            if not name.endswith("_pending"):
                out[name] = out.get(name, 0) + max(0, value - before[name])
    earlier = msgspec.to_builtins(unattributed)
    for name, value in msgspec.to_builtins(overlay.unattributed).items():
        out[name] = out.get(name, 0) + value - earlier[name]
    return {name: count for name, count in out.items() if count}


def _headers(event_id: str, subject: str) -> list[tuple[str, bytes]]:
    headers = event_headers(event_id=event_id, topic=topics.PROFILES.name, source=SOURCE, subject=subject)
    return [_CONTENT_TYPE if name == "content-type" else (name, value) for name, value in headers]
