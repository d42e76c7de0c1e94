"""Drills: the command of a rollback that is only rehearsed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from schemas.base import from_milliseconds
from schemas.deployments import DeploymentEvent
from schemas.identifiers import digest, stable_id
from schemas.incidents import Intervention
from schemas.rollbacks import Approval, RollbackCommand, RollbackReason, RollbackState, VerificationTerms

TIME_TO_LIVE: Final = timedelta(minutes=10)
NO_TARGET: Final = "no_healthy_target"


def drill_command(
    said: Intervention,
    *,
    current: DeploymentEvent | None,
    deployments: Sequence[DeploymentEvent],
    quarantined: Collection[str],
    now_ms: int,
) -> RollbackCommand:
    """Rehearse a rollback of what serves now, to the last other version that is not in quarantine.

    Parameters
    ----------
    said
        Who asks for it.
    current
        The champion that serves; None where none was announced.
    deployments
        All of the model's, oldest first.
    quarantined
        Versions that are no targets.
    now_ms
        Wall clock, for its expiry.

    Returns
    -------
    RollbackCommand
        Approved, in mode `dry_run` and with `is_drill`; refused where there is nothing to go back to.
    """
    version = "" if current is None else current.model_version
    others = [d for d in deployments if d.model_version != version and d.model_version not in quarantined]
    target = others[-1].model_version if others and current is not None else None
    drill_id = stable_id("drill", said.intervention_id)
    now: datetime = from_milliseconds(now_ms)
    return RollbackCommand(
        rollback_id=drill_id,
        idempotency_key=digest([drill_id]),
        environment=said.environment,
        model_name=said.model_name,
        mode="dry_run",
        state=RollbackState.APPROVED if target else RollbackState.REFUSED,
        from_version=version,
        to_version=target,
        expected_current_version=version,
        deployment_id="" if current is None else current.deployment_id,
        generation=0 if current is None else current.generation,
        reason=RollbackReason(summary=f"a drill that {said.actor} asked for", refusal="" if target else NO_TARGET),
        requested_at=said.at,
        decided_at=said.at,
        expires_at=now + TIME_TO_LIVE,
        approval=Approval(required=False),
        verification=VerificationTerms(within_seconds=0.0, min_predictions=0, max_old_version_ratio=0.0),
        actor=said.actor,
        comment=said.comment,
        is_drill=True,
    )
