"""The careful way of the join, for ids with more than one prediction or label: one id at a time, in order.

All predictions of one id that come within the revision horizon are a family (a shadow's version, a retry) and share
one label. A later prediction under the same id starts a new family.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from streams.profiler.model import NO_REVISION, TIMELY_OPEN
from streams.profiler.watermarks import Horizons


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says, and the watermark it found."""

    timestamp: int
    arrival: int
    actual: float
    revision: int


class Fate(StrEnum):
    """What became of a label."""

    JOINED = "joined"
    REVISED = "revised"
    DUPLICATE = "duplicate"
    WAITS = "waits"


@dataclass(slots=True)
class Family:
    """Predictions that share one label.

    `old` are slots of the table, `new` places in the batch. `applied` are the labels taken in this batch, in order.
    """

    anchor: int
    arrival: int
    standing: Label | None = None
    timely: int = TIMELY_OPEN
    """The label that stood when the cell matured, as far as it is known before this batch."""
    versions: set[int] = field(default_factory=set)
    old: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    applied: list[Label] = field(default_factory=list)

    def takes_prediction(self, arrival: int, horizons: Horizons) -> bool:
        """Whether a prediction that found this watermark still belongs to it."""
        return arrival <= max(self.anchor, self.arrival) + horizons.revision

    def takes_label(self, label: Label, horizons: Horizons) -> bool:
        """Whether a label may join: a matter of timestamps and of what its arrival found, not of batches."""
        end = self.anchor + horizons.label
        if label.timestamp > end or label.arrival > end or self.arrival > label.timestamp + horizons.label:
            return False
        standing = self.standing
        if standing is None:
            return True
        return label.arrival <= max(self.anchor, standing.timestamp, standing.arrival) + horizons.revision

    def apply(self, label: Label) -> Fate:
        """Take a label: the first one joins, a higher revision replaces, anything else says nothing new."""
        if self.standing is not None and label.revision <= self.standing.revision:
            return Fate.DUPLICATE
        fate = Fate.JOINED if self.standing is None else Fate.REVISED
        self.standing = label
        self.applied.append(label)
        return fate


def apply_label(families: list[Family], label: Label, horizons: Horizons) -> Fate:
    """Give a label to the first family that takes it."""
    for family in families:
        if family.takes_label(label, horizons):
            return family.apply(label)
    return Fate.WAITS


def standing_label(timestamp: int, arrival: int, actual: float, revision: int) -> Label | None:
    """The label that a row holds; None before the first one."""
    return None if revision == NO_REVISION else Label(timestamp, arrival, actual, revision)
