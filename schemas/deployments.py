"""What CI/CD says: deployments and validations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.models import NAME_PATTERN

Role = Literal["champion", "challenger", "shadow"]


class DeploymentEvent(Event):
    """A version begins (or ceases) to serve (`ml.deployments.v1`)."""

    deployment_id: str = Field(min_length=1)
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str = Field(pattern=NAME_PATTERN)
    model_version: str = Field(min_length=1)
    generation: int = Field(default=1, ge=1)
    """Counts the deployments of this model; a rollback adds one like any other."""
    cause: str = ""
    """What led to it: a rollback_id, or a free text of CI's."""
    role: Role = "champion"
    traffic_ratio: float = Field(default=1.0, ge=0, le=1)
    state: Literal["active", "retired"] = "active"
    deployed_at: Timestamp
    artifact_uri: str = ""
    git_sha: str = ""
    dataset_version: str = ""
    run_id: str = ""
    input_schema_hash: str = ""
    """Versions with different hashes are no rollback targets for one another; empty says nothing."""
    reference_id: str = ""
    feature_sources: dict[str, str] = Field(default_factory=dict)
    quarantined: bool = False
    """True marks a version that must not be deployed again until a person clears it."""
    inferred: bool = False
    """True where nobody announced it: made from the first event of a version."""


class ValidationEvent(Event):
    """What CI ran before a deployment (`ml.validations.v1`)."""

    environment: str = DEFAULT_ENVIRONMENT
    model_name: str = Field(pattern=NAME_PATTERN)
    model_version: str
    suite: str
    passed: bool
    validated_at: Timestamp
    report_uri: str = ""
    dataset_version: str = ""
    fairness: dict[str, float] = Field(default_factory=dict)
    robustness: dict[str, float] = Field(default_factory=dict)


Amount = Annotated[float, Field(ge=0, le=1e18)]
"""A finite quantity; NaN and infinity are none."""


class ResourceEvent(Event):
    """Infrastructure and cost of serving (`ml.resources.v1`)."""

    environment: str = DEFAULT_ENVIRONMENT
    model_name: str = Field(pattern=NAME_PATTERN)
    model_version: str = ""
    instance: str = ""
    cpu_ratio: Amount | None = None
    gpu_ratio: Amount | None = None
    memory_bytes: Amount | None = None
    queue_length: Amount | None = None
    n_replicas: int | None = Field(default=None, ge=0, le=1_000_000_000)
    cost_usd: Amount | None = None
    """Cost since the previous event of this instance."""
    measured_at: Timestamp
