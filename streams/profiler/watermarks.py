"""Watermarks: what each event found when it arrived, whatever batch it came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.base import milliseconds
from schemas.models import ModelSpec
from schemas.profiles import Watermarks
from streams.ingest.chunk import Mark

Times = NDArray[np.int64]
NEVER: Final = -(2**62)
"""The watermark of a topic that nothing was seen of; far enough from the limits to be added to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizons:
    """A model's spans of event time, in milliseconds."""

    lateness: int
    label: int
    revision: int
    maturity: int

    @classmethod
    def of(cls, spec: ModelSpec) -> Horizons:
        """Take them from the ModelSpec; nothing is revised beyond the label horizon."""
        label = milliseconds(spec.label_horizon)
        return cls(
            lateness=milliseconds(spec.lateness),
            label=label,
            revision=min(milliseconds(spec.revision_horizon), label),
            maturity=milliseconds(spec.maturity),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Event time of one model in one partition: how far each topic is, and how far forgetting was allowed to go.

    `valve` is the later watermark at the last commit that had read both topics to their ends: what is a label horizon
    behind it may be forgotten, though the other topic stands still.
    """

    predictions: int = NEVER
    labels: int = NEVER
    valve: int = NEVER

    @property
    def latest(self) -> int:
        """The later of both watermarks."""
        return max(self.predictions, self.labels)

    @property
    def both(self) -> int:
        """The earlier of both: outcomes are complete up to here."""
        return min(self.predictions, self.labels)

    def wire(self) -> Watermarks:
        """As they are published."""
        return Watermarks(
            predictions_ms=None if self.predictions == NEVER else self.predictions,
            labels_ms=None if self.labels == NEVER else self.labels,
        )


def arrivals(before: int, order: Times, raised_to: Times, marks: Sequence[Mark]) -> tuple[Times, int]:
    """Return the watermark that each event found, and the one after all of them.

    Parameters
    ----------
    before
        The watermark before the batch.
    order
        Shape (n,): places of the events in their topic, increasing.
    raised_to
        Shape (n,): what each event alone would raise the watermark to; `NEVER` for none.
    marks
        Watermark events of the same topic and model.
    """
    if not marks:
        running = np.maximum.accumulate(np.concatenate([[before], raised_to]))
        return running[:-1].astype(np.int64), int(running[-1])
    places = np.concatenate([order, [mark.order for mark in marks]])
    values = np.concatenate([raised_to, [mark.not_before_ms for mark in marks]])
    sequence = np.argsort(places, kind="stable")
    running = np.maximum.accumulate(np.concatenate([[before], values[sequence]]))
    found = np.empty(len(places), dtype=np.int64)
    found[sequence] = running[:-1]
    return found[: len(order)], int(running[-1])
