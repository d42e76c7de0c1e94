"""Who serves: deployments, announced or inferred, and the versions that serve at a point of event time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.identifiers import split_model_key, stable_id


def known_deployments(
    key: str, announced: Sequence[DeploymentEvent], first_seen_ms: Mapping[str, int]
) -> list[DeploymentEvent]:
    """Deployments in order of time: those announced, and one inferred for each version that nobody announced.

    Parameters
    ----------
    key
        The model, as `environment/model`.
    announced
        What CI/CD published.
    first_seen_ms
        Per version, event time of its first prediction.
    """
    environment, model_name = split_model_key(key)
    named = {deployment.model_version for deployment in announced}
    inferred = [
        DeploymentEvent(
            deployment_id=stable_id("inferred", key, version),
            environment=environment,
            model_name=model_name,
            model_version=version,
            generation=1 + sum(milliseconds(d.deployed_at) <= seen for d in announced),
            deployed_at=from_milliseconds(seen),
            inferred=True,
        )
        for version, seen in sorted(first_seen_ms.items())
        if version not in named
    ]
    return sorted([*announced, *inferred], key=lambda d: (d.deployed_at, d.generation, d.deployment_id))


def in_force(deployments: Sequence[DeploymentEvent], at_ms: int) -> list[DeploymentEvent]:
    """The deployments that serve at a time, newest first.

    A champion for all traffic supersedes what came before it; one for a part leaves the rest to its predecessor.
    Shadows and challengers serve beside it until the next champion for all traffic.
    """
    serving: list[DeploymentEvent] = []
    covered = 0.0
    for deployment in reversed([d for d in deployments if milliseconds(d.deployed_at) <= at_ms]):
        if deployment.state == "retired":
            continue
        serving.append(deployment)
        if deployment.role == "champion":
            covered += deployment.traffic_ratio
        if covered >= 1.0 - 1e-9:
            break
    return serving


def state_now(deployment: DeploymentEvent, of_model: Sequence[DeploymentEvent]) -> str:
    """A deployment's state for a person: what was announced, or `replaced` once later ones serve in its stead.

    Parameters
    ----------
    deployment
        One of them.
    of_model
        All of its model.
    """
    if deployment.quarantined:
        return "quarantined"
    in_order = sorted(of_model, key=lambda each: each.deployed_at)
    serving = in_force(in_order, milliseconds(in_order[-1].deployed_at)) if in_order else []
    if deployment.state == "retired" or any(each.deployment_id == deployment.deployment_id for each in serving):
        return deployment.state
    return "replaced"


def champion(serving: Sequence[DeploymentEvent]) -> DeploymentEvent | None:
    """The newest champion among those that serve."""
    return next((deployment for deployment in serving if deployment.role == "champion"), None)


def predecessor(deployments: Sequence[DeploymentEvent], of: DeploymentEvent) -> DeploymentEvent | None:
    """The champion of another version that served before a deployment."""
    earlier = [
        d
        for d in deployments
        if d.deployed_at < of.deployed_at and d.role == "champion" and d.model_version != of.model_version
    ]
    return earlier[-1] if earlier else None
