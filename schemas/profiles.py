"""From stage 1 to stage 2: counts, watermarks and signs of life (`ml.profiles.v1`, msgpack)."""

from __future__ import annotations

from typing import Any

import msgspec

DELTA_TYPE = "plumbline.profiles.v1"


class BlockColumns(msgspec.Struct, frozen=True, array_like=True):
    """Sparse counts of many (version, segment, cell) blocks, as columns of little-endian numbers.

    Block i is (`versions[block_version[i]]`, `segments[block_segment[i]]`, `block_cell[i]`), and holds the entries
    `block_start[i]` to `block_start[i + 1]` of `slots` and `counts`. A slot is a place in the layout of the plan;
    counts are signed, because a revision takes back what it replaces.
    """

    versions: list[str]
    segments: list[str]
    block_version: bytes
    """uint16, per block."""
    block_segment: bytes
    """uint16, per block."""
    block_cell: bytes
    """int64, per block: start of the cell in milliseconds since the epoch."""
    block_start: bytes
    """uint32, per block and one more."""
    slots: bytes
    """uint32, per entry."""
    counts: bytes
    """int64, per entry."""


class DeltaPart(msgspec.Struct, frozen=True, array_like=True):
    """What one plan counted; counts under different plans never add."""

    plan_id: str
    columns: BlockColumns
    late: int = 0
    """Whether these came in time, by the watermarks that their own partition had seen: 0 in time, 1 after the end of
    their cell (inputs), 2 after its maturity. Windows leave out what was late for them; restatements have all."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One of the k smallest hashes: a redacted row for a first reference."""

    hash: int
    """64 bits of the hash of prediction_id: what is sampled depends on neither batches nor partitions."""
    model_version: str
    timestamp_ms: int
    features: dict[str, Any]
    prediction: float | str | None = None
    score: float | None = None


class Outcomes(msgspec.Struct, frozen=True, array_like=True):
    """A matured cell's outcomes, in order of (prediction timestamp, hash): for detectors that read sequences."""

    model_version: str
    cell_ms: int
    errors: bytes
    """uint8, per joined prediction: 1 where it was wrong."""


class Watermarks(msgspec.Struct, frozen=True, array_like=True):
    """Event time, in milliseconds, before which nothing more is expected; None where nothing was seen yet."""

    predictions_ms: int | None = None
    labels_ms: int | None = None


class ProfileDelta(msgspec.Struct, frozen=True, kw_only=True, tag="delta", tag_field="type"):
    """One commit's counts of one model from one source partition."""

    environment: str
    model_name: str
    source_partition: int
    seq: int
    """The commit's number; a delta whose (model, source partition, seq, parcel) was merged already is skipped."""
    parcel: int = 0
    """Counts too large for a record come in several deltas of one seq, numbered from 0; the last has all else."""
    watermarks: Watermarks
    parts: list[DeltaPart] = []
    offsets: dict[str, tuple[int, int]] = {}
    """Per input topic the offsets [from, to) that it was computed from."""
    samples: list[Sample] = []
    outcomes: list[Outcomes] = []
    totals: dict[str, int] = {}
    """Since the beginning, this source's and this model's events by outcome; see `Totals`."""
    inferred: bool = False
    """The model has no published ModelSpec."""
    feature_kinds: dict[str, str] = {}
    """For models without a reference: the features seen, numeric or categorical."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat", tag_field="type"):
    """A source partition is alive; sent to every partition of the profiles topic."""

    source_partition: int
    n_partitions: int
    """How many source partitions there are."""
    seq: int
    now_ms: int
    """The source's wall clock."""
    caught_up: bool
    watermarks: dict[str, Watermarks] = {}
    """Per environment/model."""
    totals: dict[str, dict[str, int]] = {}
    """Per environment/model; the empty key holds what could be attributed to none."""


class Totals:
    """Names of the totals. Of each event exactly one outcome holds at any time.

    predictions = joined + pending + expired + dead + duplicate + late, and
    labels = joined (revisions and retractions among them) + pending + orphan + dead + duplicate + late.
    """

    PREDICTIONS = "predictions"
    PREDICTION_OUTCOMES = tuple(
        f"predictions_{x}" for x in ("joined", "pending", "expired", "dead", "duplicate", "late")
    )
    LABELS = "labels"
    LABEL_OUTCOMES = tuple(f"labels_{x}" for x in ("joined", "pending", "orphan", "dead", "duplicate", "late"))
    REVISED = "labels_revised"
    RETRACTED = "labels_retracted"


ProfileRecord = ProfileDelta | Heartbeat
