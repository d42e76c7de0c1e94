"""Evidence for and against a rollback (`ml.evidence.v1`), from the evaluator to the governor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT


class ControlArm(Event):
    """A concurrent control: another version, or another model that reads the same source, on the same cells."""

    kind: Literal["holdback", "shadow", "feature_source"]
    name: str
    n: int
    is_fed: bool
    """It has enough data to have said something: that it shifted, or that it did not."""
    has_shifted: bool


class PreviousVersion(Event):
    """The version that served before, as it was in its last matured days."""

    model_version: str
    deployment_id: str
    n: int
    n_bad: int
    upper: float
    """Upper confidence bound of its rate."""
    in_reference: bool
    """No drift verdict in its last seven served days."""
    served_seconds: float
    n_predictions: int
    input_schema_hash: str = ""
    label_coverage_ratio: float | None = None
    """Share of its matured predictions that had a label; None where that is not known."""
    last_critical_at: Timestamp | None = None
    """When an alert that pages last fired for it."""


class Recovery(Event):
    """Since a rollback was executed: the target's share, and whether the metric is back."""

    rollback_id: str
    n_predictions: int
    old_version_ratio: float | None
    n: int
    value: float | None
    e_value: float
    """Mirrored test: the rate is below what the failed version did at best."""
    has_recovered: bool
    is_overdue: bool
    """The policy's time ran out, in event time."""


class RollbackEvidence(Event):
    """What is known of a deployment at the end of a matured cell."""

    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    deployment_id: str
    generation: int
    model_version: str
    deployed_at: Timestamp
    cause: str = ""
    signal: str
    as_of: Timestamp
    """End of the cell: event time."""
    e_value: float
    threshold: float
    m0: float
    """Level that the rate is tested against: the previous version's upper bound and the tolerance."""
    n: int
    """Events of the class that counts, since the deployment."""
    n_bad: int
    min_samples: int
    needs_labels: bool = True
    label_coverage_ratio: float | None = None
    """Share of the deployment's matured predictions that have a label; None without any."""
    is_estimate: bool = False
    onset_at: Timestamp | None = None
    """Start of the first cell after the evidence's last minimum."""
    onset_cells_after_deployment: int | None = None
    input_drift: bool = False
    controls: list[ControlArm] = Field(default_factory=list)
    previous: PreviousVersion | None = None
    targets: list[PreviousVersion] = Field(default_factory=list)
    """Versions that served before, newest first."""
    recovery: Recovery | None = None
    alert_fingerprints: list[str] = Field(default_factory=list)
    config_revision: str = ""

    @property
    def is_complete(self) -> bool:
        """The e-process is over its threshold, on enough events."""
        return self.e_value >= self.threshold and self.n >= self.min_samples
