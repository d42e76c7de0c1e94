"""Two configurations on one recording: which alerts came, went and moved; and how often one fires by chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.models import FalseAlarmBudget
from streams.replay.results import Episode

SEVERITIES: Final = ("page", "ticket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An alert under one configuration, and under the other."""

    change: str
    """`came`, `went` or `moved`."""
    before: Episode | None
    after: Episode | None

    @property
    def at(self) -> datetime:
        """When it fires: under the second configuration, if it does there."""
        return self.either.start

    @property
    def either(self) -> Episode:
        """The alert itself, under the second configuration if it fires there."""
        found = self.after or self.before
        if found is None:
            msg = "before and after are missing: expected one of them"
            raise ValueError(msg)
        return found


def differences(before: Iterable[Episode], after: Iterable[Episode]) -> list[Difference]:
    """Hold the alerts of two replays against each other.

    Alerts of one monitor, version, segment and feature belong together where they overlap in time, the earliest
    first; they have moved where they begin at another time or with another severity.
    """
    rest = sorted(after, key=lambda each: each.start)
    found: list[Difference] = []
    for one in sorted(before, key=lambda each: each.start):
        other = next((each for each in rest if each.key == one.key and _overlap(one, each)), None)
        if other is None:
            found.append(Difference(change="went", before=one, after=None))
            continue
        rest.remove(other)
        if (one.start, one.severity) != (other.start, other.severity):
            found.append(Difference(change="moved", before=one, after=other))
    found += [Difference(change="came", before=None, after=each) for each in rest]
    return sorted(found, key=lambda each: each.at)


def _overlap(one: Episode, other: Episode) -> bool:
    return (one.end is None or other.start <= one.end) and (other.end is None or one.start <= other.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a severity fired, beside what its budget allows."""

    severity: str
    n_alarms: int
    per_period: float
    """Alarms per `period`."""
    budget: float
    period: timedelta
    n_periods: float
    """Periods that were replayed: with few of them the rate says little."""


def false_alarm_rates(episodes: Sequence[Episode], budget: FalseAlarmBudget, span: timedelta) -> list[Rate]:
    """Count what fired on shuffled rows in the budget's own terms.

    Parameters
    ----------
    episodes
        Alerts that fired.
    budget
        Of the model.
    span
        Event time that was judged; positive.
    """
    n_periods = span / budget.per
    allowed = {"page": budget.pages, "ticket": budget.tickets}
    counts = {severity: sum(each.severity == severity for each in episodes) for severity in SEVERITIES}
    return [
        Rate(
            severity=severity,
            n_alarms=counts[severity],
            per_period=counts[severity] / n_periods,
            budget=allowed[severity],
            period=budget.per,
            n_periods=n_periods,
        )
        for severity in SEVERITIES
    ]
