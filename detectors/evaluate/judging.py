"""Judging: false alarms and delays of a contestant, and the setting at which it raises as many as allowed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from detectors.evaluate.e_detector import BoolArray
from detectors.evaluate.sample import Kind, Sample

PER: Final = 10_000
"""Events that false alarms are counted over."""
_N_STEPS: Final = 12


class Contestant(Protocol):
    """A detector with one parameter that sets how readily it fires, from `strict` to `loose`."""

    @property
    def name(self) -> str:
        """Shown in the tables."""
        ...

    @property
    def parameter(self) -> str:
        """What its parameter is called."""
        ...

    @property
    def strict(self) -> float:
        """Setting that hardly ever fires."""
        ...

    @property
    def loose(self) -> float:
        """Setting that fires all the time."""
        ...

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Streams that it can read."""
        ...

    def on(self, sample: Sample) -> Callable[[float | None], BoolArray]:
        """Return what gives the alarms, shape (R, watched events), at a setting; None is the default."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """False alarms in 10,000 events, and the standard error of that over the repetitions."""

    per_10_000: float
    se: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How a change was found.

    Parameters
    ----------
    median
        Events from the change to the first alarm; infinite where half of the repetitions found nothing.
    n_missed, n_runs
        Repetitions without an alarm after the change, and all of them.
    f1
        Harmonic mean of precision and recall: a hit is the first alarm within the tolerance after the change, every
        other one up to there is false.
    """

    median: float
    n_missed: int
    n_runs: int
    f1: float


def false_alarms(alarms: BoolArray) -> FalseAlarms:
    """Count the alarms on a stream in which nothing changes: shape (R, T).

    Raises
    ------
    ValueError
        If there is no event.
    """
    if not alarms.size:
        raise ValueError(f"alarms: shape {alarms.shape} given, expected at least one event")
    rates = alarms.mean(axis=1) * PER
    se = float(rates.std(ddof=1) / math.sqrt(len(rates))) if len(rates) > 1 else math.inf
    return FalseAlarms(per_10_000=float(rates.mean()), se=se)


def delays(alarms: BoolArray, change: int, tolerance: int) -> Delays:
    """Measure how soon a change is found.

    Parameters
    ----------
    alarms
        Shape (R, T).
    change
        Position of the change in it.
    tolerance
        Events after the change within which an alarm is a hit.
    """
    after = alarms[:, change:]
    found = after.any(axis=1)
    first = np.where(found, after.argmax(axis=1) + 1.0, np.inf)
    hits = int((first <= tolerance).sum())
    false = int(alarms[:, :change].sum()) + int((found & (first > tolerance)).sum())
    n_runs = len(alarms)
    return Delays(
        median=float(np.median(first)),
        n_missed=int((~found).sum()),
        n_runs=n_runs,
        f1=2.0 * hits / (2.0 * hits + false + (n_runs - hits)),
    )


def calibrated(contestant: Contestant, null: Sample, budget: float) -> float:
    """Find the most readily firing setting that raises no more false alarms than allowed, by bisection.

    Parameters
    ----------
    contestant
        Its parameter is searched between `strict` and `loose`, on a logarithmic scale.
    null
        Repetitions in which nothing changes; its rows are those of the changed stream up to the change.
    budget
        False alarms in 10,000 events.
    """
    alarms = contestant.on(null)
    strict, loose = math.log(contestant.strict), math.log(contestant.loose)
    if false_alarms(alarms(contestant.loose)).per_10_000 <= budget:
        return contestant.loose
    for _ in range(_N_STEPS):
        middle = 0.5 * (strict + loose)
        if false_alarms(alarms(math.exp(middle))).per_10_000 <= budget:
            strict = middle
        else:
            loose = middle
    return math.exp(strict)


def fitting(contestants: Sequence[Contestant], kind: Kind) -> list[Contestant]:
    """Those that can read a kind of stream."""
    return [each for each in contestants if kind in each.kinds]
