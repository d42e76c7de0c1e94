"""What is measured, and how: wall clock, CPU time of a process and its children, resident memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One run of one row."""

    name: str
    n_events: int
    """Predictions and labels."""
    wall_seconds: float
    cpu_seconds: float
    """User and system time of the process and its children; the broker's is not in it."""
    resident_megabytes: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.n_events / self.wall_seconds

    @property
    def cpu_us(self) -> float:
        """CPU time per event, in microseconds."""
        return 1e6 * self.cpu_seconds / self.n_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and extremes of the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(median=statistics.median(values), least=min(values), most=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A reading of the meters."""

    at: float
    cpu_seconds: float
    resident_megabytes: float


def usage(pid: int) -> Usage:
    """Read the meters of a process and of its children, ended ones among them.

    Raises
    ------
    psutil.NoSuchProcess
        Where the process has been waited for.
    """
    process = psutil.Process(pid)
    times = process.cpu_times()
    cpu = times.user + times.system + times.children_user + times.children_system
    resident = _resident(process)
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:  # its time is among its parent's children's now
            continue
        cpu += own.user + own.system
        resident += _resident(child)
    return Usage(at=time.perf_counter(), cpu_seconds=cpu, resident_megabytes=resident / 1_048_576)


def _resident(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.ZombieProcess:
        return 0
    return resident


def between(name: str, n_events: int, begin: Usage, end: Usage) -> Measurement:
    """What lies between two readings."""
    return Measurement(
        name=name,
        n_events=n_events,
        wall_seconds=end.at - begin.at,
        cpu_seconds=end.cpu_seconds - begin.cpu_seconds,
        resident_megabytes=end.resident_megabytes,
    )
