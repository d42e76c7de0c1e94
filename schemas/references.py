"""Reference: what current data is held against."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from schemas.base import Duration, Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.models import NAME_PATTERN


class Section(Event):
    """A named run of slots in the counts of a reference."""

    name: str
    width: int = Field(ge=1)


class BuiltFrom(Event):
    """Where a reference comes from."""

    kind: str
    """`recording`, `first` (the first events of a deployment) or `profiles`."""
    description: str = ""
    n_predictions: int = 0
    n_labels: int = 0
    start: Timestamp | None = None
    end: Timestamp | None = None
    sha256: str = ""
    """Of the recording, where there is one."""


class SeriesSummary(Event):
    """How much a series varies on the reference beyond independent events."""

    variance_inflation_ratio: float
    n_effective: float


class Reference(Event):
    """Bins and counts per cell (`ml.references.v1`); for quality it never holds training rows."""

    reference_id: str = Field(min_length=1)
    revision: int = Field(default=1, ge=1)
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str = Field(pattern=NAME_PATTERN)
    model_version: str = ""
    dataset_version: str = ""
    built_from: BuiltFrom
    effective_from: Timestamp | None = None
    """First cell that is held against it; at once if not given."""
    cell: Duration
    time_zone: str = "UTC"
    bins: list[dict[str, Any]]
    """Feature bins, in order, as the detectors write them."""
    prediction_bins: dict[str, Any] | None = None
    """Bins of the predicted value (regression)."""
    residual_scale: float | None = None
    """Median absolute residual (regression): the unit of the residual bins."""
    classes: list[str] = Field(default_factory=list)
    segment_values: dict[str, list[str]] = Field(default_factory=dict)
    """Values per segment dimension that are counted one by one."""
    group_values: dict[str, list[str]] = Field(default_factory=dict)
    sections: list[Section] = Field(default_factory=list)
    blocks: str = ""
    """Counts per segment and cell: base64 of zstd of msgpack of BlockColumns; empty while only bins are known."""
    n_cells: int = 0
    series: dict[str, SeriesSummary] = Field(default_factory=dict)
