"""What a two-sample test says."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What may be concluded."""

    DRIFT = "drift"
    STABLE = "stable"
    TOO_FEW = "too_few"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The answer of one test; every number in it is finite.

    Parameters
    ----------
    test
        Name of the test.
    status
        `TOO_FEW` and `NOT_APPLICABLE` say in `why` what was expected.
    statistic
        In the unit of the values for `wasserstein`, of their square root for `energy`; else without one. 0 where there
        is none.
    threshold
        What the statistic exceeds with probability alpha when nothing has changed; None where there is only a p-value.
    p_value
        None where the test has only a threshold.
    n_reference, n_current
        Values that were compared.
    why
        What was expected, where there is no answer.
    """

    test: str
    status: Outcome
    statistic: float = 0.0
    threshold: float | None = None
    p_value: float | None = None
    n_reference: int = 0
    n_current: int = 0
    why: str = ""
