"""What a detector says about one series at the end of one window."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The four answers; the two that are not a judgement are states of their own, never a zero."""

    WARMING_UP = "warming_up"
    NO_DATA = "no_data"
    STABLE = "stable"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement and the numbers it rests on.

    Parameters
    ----------
    status
        The answer.
    statistic
        The detector's statistic, in the unit of `threshold`.
    threshold
        The value the statistic has to reach for `Status.DRIFT`.
    n
        Events that entered the statistic in this window.
    direction
        Where the series went, in the detector's own words ("increase", "decrease"); empty where it has no
        direction.
    """

    status: Status
    statistic: float
    threshold: float
    n: int
    direction: str = ""
