"""Recorded traffic of two versions, counted alike: under the bins of one reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.events import LabelEvent, PredictionEvent
from schemas.identifiers import ALL_SEGMENT
from schemas.models import ModelSpec
from schemas.references import Reference
from streams.control.blocks import Block
from streams.control.plan import Plan, reference_blocks, reference_layout
from streams.evaluator.signals import Counted
from streams.replay.references import build_reference, count_under


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One version's traffic.

    Attributes
    ----------
    version
        Its name.
    predictions
        As they were recorded.
    segments
        Counts by segment over all cells, shape (width,) each; `__all__` among them.
    """

    version: str
    predictions: Sequence[PredictionEvent]
    segments: dict[str, Counted]

    @property
    def whole(self) -> Counted:
        """All its events."""
        return self.segments[ALL_SEGMENT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Both arms, and what inputs are held against."""

    plan: Plan
    champion: Arm
    candidate: Arm
    reference: Counted
    """Counts of the reference over all its cells, under its own layout."""


Recorded = tuple[Sequence[PredictionEvent], Sequence[LabelEvent]]


def count(spec: ModelSpec, champion: Recorded, candidate: Recorded, *, reference: Reference | None) -> Traffic:
    """Count both versions.

    Parameters
    ----------
    spec
        Of the model.
    champion, candidate
        Predictions and labels of each.
    reference
        What the candidate was trained on, built by `plumbline references build`; the champion's traffic without one.

    Raises
    ------
    ValueError
        Where events of a version cannot be read, or there are none.
    """
    held = reference or build_reference(spec, *champion, reference_id="champion")
    plan, mine = count_under(spec, held, *champion)
    _, theirs = count_under(spec, held, *candidate)
    layout = reference_layout(held)
    blocks = [block for block in reference_blocks(held) if block.segment == ALL_SEGMENT]
    total = sum((block.dense(layout.width) for block in blocks), np.zeros(layout.width, dtype=np.int64))
    return Traffic(
        plan=plan,
        champion=_arm(plan, champion[0], mine),
        candidate=_arm(plan, candidate[0], theirs),
        reference=Counted(plan, layout, total),
    )


def _arm(plan: Plan, predictions: Sequence[PredictionEvent], blocks: Sequence[Block]) -> Arm:
    sums: dict[str, NDArray[np.int64]] = {ALL_SEGMENT: np.zeros(plan.layout.width, dtype=np.int64)}
    for block in blocks:
        sums.setdefault(block.segment, np.zeros(plan.layout.width, dtype=np.int64))
        sums[block.segment] += block.dense(plan.layout.width)
    return Arm(
        version=", ".join(sorted({each.model_version for each in predictions})),
        predictions=predictions,
        segments={name: Counted(plan, plan.layout, counts) for name, counts in sums.items()},
    )
