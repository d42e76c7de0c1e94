"""Rollback commands: made from a decision, and moved through their states."""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.base import format_duration, from_milliseconds
from schemas.evidence import RollbackEvidence
from schemas.identifiers import digest, stable_id
from schemas.models import RollbackPolicy
from schemas.rollbacks import (
    Approval,
    RollbackCommand,
    RollbackReason,
    RollbackState,
    VerificationTerms,
)
from streams.governor.policy import Decision

TERMINAL = frozenset(
    {
        RollbackState.REFUSED, RollbackState.REJECTED, RollbackState.EXPIRED, RollbackState.FAILED,
        RollbackState.NOOP, RollbackState.VERIFIED, RollbackState.INEFFECTIVE,
    }
)  # fmt: skip

_NEXT: dict[RollbackState, frozenset[RollbackState]] = {
    RollbackState.REQUESTED: frozenset({RollbackState.APPROVED, RollbackState.REJECTED, RollbackState.EXPIRED}),
    RollbackState.APPROVED: frozenset(
        {RollbackState.ACCEPTED, RollbackState.EXECUTING, RollbackState.SUCCEEDED, RollbackState.FAILED,
         RollbackState.NOOP, RollbackState.EXPIRED}
    ),
    RollbackState.ACCEPTED: frozenset(
        {RollbackState.EXECUTING, RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP,
         RollbackState.EXPIRED}
    ),
    RollbackState.EXECUTING: frozenset({RollbackState.SUCCEEDED, RollbackState.FAILED, RollbackState.NOOP}),
    RollbackState.SUCCEEDED: frozenset({RollbackState.VERIFIED, RollbackState.INEFFECTIVE}),
}  # fmt: skip


def may_follow(before: RollbackState, after: RollbackState) -> bool:
    """Whether a state may follow another; what arrives late or twice does not."""
    return after in _NEXT.get(before, frozenset())


def make_command(
    evidence: RollbackEvidence,
    decision: Decision,
    policy: RollbackPolicy,
    *,
    attempt: int,
    now_ms: int,
    ttl_seconds: float,
) -> RollbackCommand:
    """Write a decision down: `requested` where it is allowed, `refused` where it is not.

    Parameters
    ----------
    evidence, decision, policy
        What it rests on.
    attempt
        From 1; part of the idempotency key.
    now_ms
        Wall clock, for the expiry.
    ttl_seconds
        How long the command may wait to be executed.
    """
    e = evidence
    target = decision.target.model_version if decision.target else None
    key = digest([e.environment, e.model_name, e.deployment_id, e.model_version, attempt])
    expires = from_milliseconds(now_ms + round(ttl_seconds * 1000))
    mode = "auto" if policy.mode == "off" else policy.mode
    needs_person = decision.needs_approval and mode != "dry_run"
    return RollbackCommand(
        rollback_id=stable_id("rollback", e.environment, e.model_name, e.deployment_id),
        idempotency_key=key,
        environment=e.environment,
        model_name=e.model_name,
        mode="approval" if needs_person else mode,
        state=RollbackState.REQUESTED if decision.allowed else RollbackState.REFUSED,
        attempt=attempt,
        from_version=e.model_version,
        to_version=target,
        expected_current_version=e.model_version,
        deployment_id=e.deployment_id,
        generation=e.generation,
        reason=RollbackReason(
            alert_fingerprints=e.alert_fingerprints, summary=summary(e, target), refusal=decision.reason
        ),
        guards=list(decision.guards),
        requested_at=e.as_of,
        decided_at=e.as_of,
        not_before=e.as_of,
        expires_at=expires,
        approval=Approval(required=needs_person, deadline=expires if needs_person else None),
        verification=VerificationTerms(
            within_seconds=policy.verification.within.total_seconds(),
            min_predictions=policy.verification.min_predictions,
            max_old_version_ratio=policy.verification.max_old_version_ratio,
        ),
    )


def summary(evidence: RollbackEvidence, target: str | None) -> str:
    """One sentence for the person who is woken."""
    e = evidence
    rate = e.n_bad / e.n if e.n else 0.0
    since = format_duration(timedelta(seconds=round((e.as_of - e.deployed_at).total_seconds())))
    return (
        f"{e.model_name} {e.model_version}: {e.signal} {rate:.3f} on {e.n} events since its deployment {since} before, "
        f"against at most {e.m0:.3f} (e-value {e.e_value:.3g}); last known good: {target or 'none'}"
    )


def in_state(
    command: RollbackCommand, state: RollbackState, *, at: datetime, actor: str, comment: str = ""
) -> RollbackCommand:
    """The same command in another state."""
    return command.model_copy(
        update={"state": state, "decided_at": at, "actor": actor, "comment": comment, "signature": ""}
    )
