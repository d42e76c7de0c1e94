"""`plumbline deployments` and `plumbline validations`: what CI/CD says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from schemas import topics
from schemas.deployments import DeploymentEvent, ValidationEvent
from schemas.identifiers import model_key, stable_id
from streams.commands import broker
from streams.commands.console import Column, UsageError, note, show, utc_now
from streams.evaluator.serving import state_now
from streams.settings import Settings

_NO_VERSION: Final = "--version is missing: expected the version that is deployed, or --id of a known deployment"
_COLUMNS: Final[Mapping[str, Column[DeploymentEvent]]] = {
    "Environment": lambda each: each.environment,
    "Model": lambda each: each.model_name,
    "Version": lambda each: each.model_version,
    "Generation": lambda each: each.generation,
    "Role": lambda each: each.role,
    "State": lambda each: "quarantined" if each.quarantined else each.state,
    "Traffic": lambda each: f"{each.traffic_ratio:.0%}",
    "Deployed": lambda each: each.deployed_at,
    "Cause": lambda each: each.cause,
    "Deployment": lambda each: each.deployment_id,
}


def deployment(fields: Mapping[str, Any], known: Mapping[str, DeploymentEvent], *, now: datetime) -> DeploymentEvent:
    """Complete a deployment from what is published: pure.

    Parameters
    ----------
    fields
        What the person gave; None where nothing was given.
    known
        The newest event of each deployment of this model, by its id.
    now
        Stands for `deployed_at` where none is given.

    Returns
    -------
    DeploymentEvent
        With the id of a known deployment, that deployment with the given fields changed; otherwise a new one, of
        the next generation.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    held = known.get(str(given.get("deployment_id", "")))
    if held is not None:
        return _checked({**held.model_dump(), **given})
    if "model_version" not in given:
        raise UsageError(_NO_VERSION)
    generation = max((each.generation for each in known.values()), default=0) + 1
    made = {"generation": generation, "deployed_at": now, **given}
    if "deployment_id" not in made:
        parts = [made[name] for name in ("environment", "model_name", "model_version", "generation")]
        made["deployment_id"] = stable_id("deployment", *parts)
    return _checked(made)


def check(fields: Mapping[str, Any], *, now: datetime) -> None:
    """Refuse what is wrong whatever is published, before the broker is asked."""
    given = {name: value for name, value in fields.items() if value is not None}
    if not {"model_version", "deployment_id"} & given.keys():
        raise UsageError(_NO_VERSION)
    _checked({"model_version": "any", "deployment_id": "any", "deployed_at": now, **given})


def _checked(fields: Mapping[str, Any]) -> DeploymentEvent:
    try:
        return DeploymentEvent.model_validate(fields)
    except ValidationError as error:
        raise UsageError(problems(error)) from error


def problems(error: ValidationError) -> str:
    """Return one line for each field that is wrong: field, value and what was expected."""
    return "\n".join(
        f"{'.'.join(map(str, each['loc']))} = {each['input']!r}: {each['msg'].replace('Input should be', 'expected')}"
        for each in error.errors(include_url=False)
    )


async def publish_deployment(
    settings: Settings, fields: Mapping[str, Any], *, as_json: bool, now: Callable[[], datetime] = utc_now
) -> None:
    """Publish a deployment."""
    check(fields, now=now())
    found = await broker.collect(settings, topics.DEPLOYMENTS, DeploymentEvent)
    place = (fields["environment"], fields["model_name"])
    known = {each.deployment_id: each for each, _ in found if (each.environment, each.model_name) == place}
    event = deployment(fields, known, now=now())
    key = f"{model_key(event.environment, event.model_name)}/{event.deployment_id}"
    event_id = stable_id("deployment-event", event.model_dump(mode="json"))
    output = broker.event_output(topics.DEPLOYMENTS, event, key=key, event_id=event_id, at=event.deployed_at)
    await broker.publish(settings, [topics.DEPLOYMENTS], [output])
    if as_json:
        show([event], _COLUMNS, as_json=True, empty="")
    else:
        note(f"Published deployment {event.deployment_id}: {event.model_version}, generation {event.generation}.")


def _state(deployment: DeploymentEvent, of_all: Sequence[DeploymentEvent]) -> str:
    place = (deployment.environment, deployment.model_name)
    return state_now(deployment, [each for each in of_all if (each.environment, each.model_name) == place])


async def list_deployments(settings: Settings, *, model: str | None, as_json: bool) -> None:
    """Show the newest state of each deployment."""
    found = await broker.collect(settings, topics.DEPLOYMENTS, DeploymentEvent)
    newest = {(each.environment, each.model_name, each.deployment_id): each for each, _ in found}
    rows = [each for each in newest.values() if model in {None, each.model_name}]
    rows.sort(key=lambda each: (each.environment, each.model_name, each.generation, each.deployed_at))
    columns: dict[str, Column[DeploymentEvent]] = {**_COLUMNS, "State": lambda each: _state(each, rows)}
    show(rows, columns, as_json=as_json, empty="No deployment was published so far.")


async def publish_validation(
    settings: Settings, fields: Mapping[str, Any], *, as_json: bool, now: Callable[[], datetime] = utc_now
) -> None:
    """Publish what CI ran before a deployment."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        event = ValidationEvent.model_validate({"validated_at": now(), **given})
    except ValidationError as error:
        raise UsageError(problems(error)) from error
    key = f"{model_key(event.environment, event.model_name)}/{event.model_version}/{event.suite}"
    event_id = stable_id("validation", event.model_dump(mode="json"))
    output = broker.event_output(topics.VALIDATIONS, event, key=key, event_id=event_id, at=event.validated_at)
    await broker.publish(settings, [topics.VALIDATIONS], [output])
    verdict = "passed" if event.passed else "failed"
    note(f"Published validation: {event.model_name} {event.model_version} {verdict} {event.suite}.")
    if as_json:
        show([event], {}, as_json=True, empty="")
