"""The serving side's registry: which version the alias names, and how the traffic is split."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from schemas.deployments import DeploymentEvent

MODEL_NAME = "flight-delay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """What serves now."""

    version: str
    generation: int
    deployed_at: datetime
    cause: str
    holdback_version: str | None = None
    """Serves the rest of the traffic, for comparison."""
    traffic_ratio: float = 1.0


class Registry:
    """An alias with a history; every change of it is a list of deployment events to publish.

    Parameters
    ----------
    reference_id
        The reference that deployments name.
    dataset_version
        What the versions were trained on.
    """

    def __init__(self, *, reference_id: str, dataset_version: str) -> None:
        self._common = {"reference_id": reference_id, "dataset_version": dataset_version}
        self._alias: Alias | None = None
        self._champion: DeploymentEvent | None = None

    @property
    def alias(self) -> Alias:
        """What serves now."""
        if self._alias is None:
            msg = "nothing is deployed yet: expected deploy() first"
            raise LookupError(msg)
        return self._alias

    def deploy(self, version: str, at: datetime, *, cause: str, holdback: float = 0.0) -> list[DeploymentEvent]:
        """Point the alias at a version, and keep a share on the one that served before.

        A deployment for all of the traffic supersedes what came before it, so that nothing has to be retired.
        """
        before, previous = self._alias, self._champion
        generation = 1 if before is None else before.generation + 1
        kept = previous if holdback else None
        self._alias = Alias(
            version=version,
            generation=generation,
            deployed_at=at,
            cause=cause,
            holdback_version=None if kept is None else kept.model_version,
            traffic_ratio=1.0 - holdback,
        )
        self._champion = DeploymentEvent(
            deployment_id=f"{MODEL_NAME}-{generation}-{version}",
            model_name=MODEL_NAME,
            model_version=version,
            generation=generation,
            cause=cause,
            traffic_ratio=1.0 - holdback,
            deployed_at=at,
            artifact_uri=f"models:/{MODEL_NAME}/{version}",
            **self._common,
        )
        if kept is None:
            return [self._champion]
        return [kept.model_copy(update={"traffic_ratio": holdback}), self._champion]

    def versions_for(self, draws: NDArray[np.float64]) -> list[str]:
        """Which version answers each request; `draws` are uniform in [0, 1), one per request."""
        alias = self.alias
        if alias.holdback_version is None:
            return [alias.version] * len(draws)
        versions: list[str] = np.where(draws < alias.traffic_ratio, alias.version, alias.holdback_version).tolist()
        return versions
