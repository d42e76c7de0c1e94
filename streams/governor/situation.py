"""Situation: everything that the rules of the rollback policy may look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import ControlArm, PreviousVersion, RollbackEvidence
from schemas.models import RollbackPolicy
from streams.governor.state import Case, UpstreamChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A deployment's evidence, and the history that it is judged in."""

    evidence: RollbackEvidence
    policy: RollbackPolicy
    current: DeploymentEvent | None
    """The champion in force, as far as deployments are known."""
    case: Case
    frozen_by: str
    """Who froze the model, and why; empty where nobody did."""
    quarantined: frozenset[str]
    upstream: Sequence[UpstreamChange]
    other_controls: Sequence[ControlArm]
    """Models that read the same feature source."""
    last_rollback_ms: int | None
    """Event time at which the model's last rollback ended."""
    n_ordered_last_hour: int
    max_per_hour: int
    now_ms: int
    """Wall clock, of the record under decision."""

    @property
    def controls(self) -> list[ControlArm]:
        """Concurrent controls that have enough data to have shown a shift."""
        return [arm for arm in [*self.evidence.controls, *self.other_controls] if arm.is_fed]

    @property
    def is_announced(self) -> bool:
        """Whether an announced upstream change overlaps the time since the deployment."""
        start, end = milliseconds(self.evidence.deployed_at), milliseconds(self.evidence.as_of)
        return any(change.at_ms <= end and change.until_ms >= start for change in self.upstream)

    @property
    def healthy(self) -> list[PreviousVersion]:
        """Earlier versions that served long and well enough, newest first."""
        return [target for target in self.evidence.targets if not self.illness(target)]

    @property
    def free(self) -> list[PreviousVersion]:
        """Of the healthy ones those that are not in quarantine."""
        return [target for target in self.healthy if target.model_version not in self.quarantined]

    @property
    def compatible(self) -> list[PreviousVersion]:
        """Of the free ones those that read the same inputs; the first is the target."""
        return [target for target in self.free if self.reads_alike(target)]

    @property
    def target(self) -> PreviousVersion | None:
        """The last known good version."""
        return next(iter(self.compatible), None)

    def reads_alike(self, target: PreviousVersion) -> bool:
        """Whether a version takes the inputs that the current one takes; unknown schemas are no objection."""
        own = self.current.input_schema_hash if self.current else ""
        return not own or not target.input_schema_hash or own == target.input_schema_hash

    def illness(self, target: PreviousVersion) -> str:
        """Why a version was never shown to be good; empty where it was."""
        name, policy = target.model_version, self.policy
        if target.served_seconds < policy.min_target_served.total_seconds():
            return f"{name} served {target.served_seconds:.0f} s"
        if target.n_predictions < policy.min_target_predictions:
            return f"{name} served {target.n_predictions} predictions"
        ended, critical = milliseconds(self.evidence.deployed_at), target.last_critical_at
        if critical is not None and ended - milliseconds(critical) < CALM_MS:
            return f"{name} had a critical alert in its last days"
        return ""


CALM_MS = 7 * 86_400_000
"""A target has had no critical alert firing for this long before it ceased to serve."""
