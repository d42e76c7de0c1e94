"""Closed windows (`ml.metrics.v1`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, Self

from pydantic import Field

from schemas.base import Duration, Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.identifiers import ALL_SEGMENT

PARCEL_SIZE: Final = 2_000
"""Verdicts, and segments, in one record: at under 1,200 bytes each well below the topic's limit."""


class Companion(Event):
    """A well-known distance, shown beside a verdict with its own sample-size-aware threshold."""

    name: str
    value: float
    threshold: float | None = None
    """What it exceeds with probability .001 when nothing has changed; None where no null is known."""


class SeriesVerdict(Event):
    """What one series of one monitor says of one window."""

    monitor_id: str
    signal: str
    segment: str = ALL_SEGMENT
    feature: str | None = None
    status: Literal["warming_up", "no_data", "stable", "drift"]
    statistic: float | None = None
    threshold: float | None = None
    value: float | None = None
    """The signal's value in this window."""
    reference_value: float | None = None
    n: int = 0
    companions: list[Companion] = Field(default_factory=list)


class BurnShown(Event):
    """A pair of windows of a burn rate, as a window closed."""

    factor: float
    long: Duration
    short: Duration
    long_rate: float | None = None
    """How many times as fast as the objective allows; None without events."""
    short_rate: float | None = None
    n_long: int = 0
    is_burning: bool = False


class BurnStatus(Event):
    """What a window spent of a monitor's error budget, and how fast it burns."""

    monitor_id: str
    objective: float
    n_bad: int
    """Of this window alone."""
    n: int
    budget_left_ratio: float
    """Of the whole period; below 0 where more was spent than there was."""
    since: Timestamp
    """Where the period begins, or the first window that is known of it."""
    windows: list[BurnShown] = Field(default_factory=list)


class Estimate(Event):
    """A metric without labels, with a 95 % interval for sampling error; beside it, once labels are there, what it was.

    In an `outcomes` window it is that of the labelled events alone, so that the two are of the same events.
    """

    value: float
    lower: float | None = None
    upper: float | None = None
    """None where the reference is too small to say."""
    realised: float | None = None


class FairnessStatus(Event):
    """How far apart a group's values are: the two furthest, with an interval shared among all pairs."""

    value: float | None = None
    """None: too few to say, which is no pass."""
    lower: float | None = None
    upper: float | None = None
    n: int = 0
    """Relevant events of the smallest value that has enough."""
    highest: str = ""
    lowest: str = ""
    too_few: list[str] = Field(default_factory=list)
    """Values that have events, and fewer than it takes."""


class CanaryStatus(Event):
    """A version beside the one that it may replace: how much worse it is, at all times at once.

    The difference is that of the share of bad events of the rollback policy's signal.
    """

    candidate: str
    baseline: str
    deployment_id: str
    signal: str
    since: Timestamp
    """The first cell of the sequence: another share of traffic begins a new one."""
    verdict: Literal["harm", "no_harm", "inconclusive", "blocked"]
    blocked_by: list[str] = Field(default_factory=list)
    """Why the arms cannot be compared."""
    n_pairs: int
    difference: float | None
    harm_lower: float
    """The true difference is at least this, but for the policy's `alpha`."""
    harm_upper: float
    """It is at most this, but for one in twenty."""
    tolerance: float
    traffic_ratio: float | None
    """The candidate's share of both arms' predictions."""


class WindowMetrics(Event):
    """One closed window of one version.

    `kind` is `inputs` (closed on the predictions' watermark), `outcomes` (matured), `restatement` (labels that came
    after maturity; never fed to a detector) or `resources`.

    A window of more than 2,000 series or segments is several records, one after the other: each has some of the
    `verdicts` and `segments`, the first one has `values`, `findings`, `burns`, `details`, `estimates` and
    `fairness`, and all have the rest.
    """

    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    model_version: str
    kind: Literal["inputs", "outcomes", "restatement", "resources"]
    revision: int = 0
    window_start: Timestamp
    window_end: Timestamp
    n_predictions: int = 0
    n_labels: int = 0
    label_coverage_ratio: float | None = None
    values: dict[str, float | None] = Field(default_factory=dict)
    """Signal to its value over all events."""
    segments: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The same, per segment."""
    findings: dict[str, int] = Field(default_factory=dict)
    """Data-quality counters: `kind:field` to a count."""
    verdicts: list[SeriesVerdict] = Field(default_factory=list)
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    """Performance without labels over all events, by metric."""
    estimates_unreliable: list[str] = Field(default_factory=list)
    """Why the estimates are not to be trusted: monitors with an alert on what they rest on, or what is missing."""
    fairness: dict[str, FairnessStatus] = Field(default_factory=dict)
    """`signal:group` to how its values compare."""
    canary: CanaryStatus | None = None
    """Of a version that serves beside the one that it may replace."""
    burns: list[BurnStatus] = Field(default_factory=list)
    """Of monitors with `detector: burn_rate`."""
    plan_id: str = ""
    reference_id: str = ""
    config_revision: str = ""
    inexact: bool = False
    """True where a source without fencing overlapped."""
    details: dict[str, Any] = Field(default_factory=dict)
    part: int = Field(default=0, ge=0)
    """Which of the window's records this is."""
    n_parts: int = Field(default=1, ge=1)
    """How many records the window has."""

    def parcels(self) -> Iterator[Self]:
        """Cut a window into records that its topic takes; most windows are one."""
        n_parts = max(1, -(-max(len(self.verdicts), len(self.segments)) // PARCEL_SIZE))
        if n_parts == 1:
            yield self
            return
        segments = iter(self.segments.items())
        for part in range(n_parts):
            cut: dict[str, Any] = {
                "part": part,
                "n_parts": n_parts,
                "verdicts": self.verdicts[part * PARCEL_SIZE : (part + 1) * PARCEL_SIZE],
                "segments": dict(islice(segments, PARCEL_SIZE)),
            }
            if part:
                cut |= {"values": {}, "findings": {}, "burns": [], "details": {}, "estimates": {}, "fairness": {}}
            yield self.model_copy(update=cut)


def join_parcels(parcels: Sequence[WindowMetrics]) -> WindowMetrics:
    """Put together what `WindowMetrics.parcels` cut, given in order of `part`.

    Raises
    ------
    ValueError
        Where parts are missing.
    """
    if not parcels or [each.part for each in parcels] != list(range(parcels[0].n_parts)):
        msg = f"parts {[each.part for each in parcels]} given: expected all parts of one window, in order"
        raise ValueError(msg)
    segments: dict[str, dict[str, float | None]] = {}
    for each in parcels:
        segments |= each.segments
    verdicts = [verdict for each in parcels for verdict in each.verdicts]
    return parcels[0].model_copy(update={"part": 0, "n_parts": 1, "verdicts": verdicts, "segments": segments})
