"""Series: a monitor on one segment and feature of one version, and what it sees in a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.identifiers import ALL_SEGMENT, segment_name
from schemas.monitors import Monitor
from schemas.signals import OUTCOME_SIGNALS, RESOURCE_SIGNALS
from streams.control.plan import Plan
from streams.evaluator.signals import PER_FEATURE_SIGNALS, applies_to


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What is watched as one: (monitor, segment, feature). The version is the caller's."""

    monitor: Monitor
    segment: str
    feature: str | None
    key: str = field(init=False)
    """Name within a version."""
    needs_labels: bool = field(init=False)
    """Whether it is fed at maturity."""

    def __post_init__(self) -> None:
        """Work out once what is asked for in every window."""
        key = "|".join((self.monitor.monitor_id, self.segment, self.feature or ""))
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "needs_labels", self.monitor.signal in OUTCOME_SIGNALS)


class Shown(NamedTuple):
    """A divergence shown beside a verdict, and what it exceeds with probability .001 when nothing has changed."""

    name: str
    value: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a series sees in a window, before any accumulation.

    `log_bets` is None where nothing can be tested yet: then `why` says what is missing.
    """

    n: int
    value: float | None
    reference_value: float | None
    log_bets: NDArray[np.float64] | None = None
    clearing_bets: Callable[[], NDArray[np.float64]] | None = None
    """Bets of the mirrored test; asked for only while an alarm is in force."""
    why: str = ""
    companions: tuple[Shown, ...] = ()
    summarise: Callable[[], str] | None = None
    """Says in words which bin moved most."""


def expand(monitors: Sequence[Monitor], plan: Plan) -> list[Series]:
    """List the series of a model's monitors: each watched segment, and each feature where the signal has them."""
    series: list[Series] = []
    for monitor in monitors:
        if monitor.signal in RESOURCE_SIGNALS:
            continue
        segments = [ALL_SEGMENT]
        for dimension in monitor.by:
            values = plan.segment_values.get(dimension, ())
            segments += [segment_name(dimension, value) for value in values]
        features: list[str | None] = [None]
        if monitor.signal in PER_FEATURE_SIGNALS:
            chosen = monitor.features or plan.feature_names
            features = [f for f in chosen if f in plan.feature_names and applies_to(monitor.signal, plan, f)]
        series += [Series(monitor, segment, feature) for segment in segments for feature in features]
    return series
