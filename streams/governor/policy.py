"""The rollback policy: named rules in a fixed order, each a pure function of evidence and history.

The first rule that refuses gives the reason; the guards record what every rule saw up to there.

| Rule | Refuses when |
|---|---|
| `policy_off` | the model's policy is off |
| `insufficient_evidence` | the e-process is below 1/alpha, or rests on too few events |
| `estimate_only` | the evidence comes from an estimate without labels |
| `input_drift_only` | the evidence is a drift of inputs |
| `own_rollback` | the deployment was made by a rollback |
| `manual_promotion` | a person promoted it knowingly |
| `not_current` | the deployment no longer serves |
| `already_ordered` | this deployment has had its rollback |
| `frozen` | a person froze the model |
| `upstream_cause` | a fed control shifted too |
| `not_deployment_aligned` | the onset is not within two cells of the deployment, and no control speaks for it |
| `no_healthy_target` | no earlier version served long enough, is healthy, compatible and not quarantined |
| `cooldown` | another rollback of the model ended too short ago |

`confounded` and `rate_cap` do not refuse: they take the decision to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import ControlArm, PreviousVersion, RollbackEvidence
from schemas.models import RollbackPolicy
from schemas.monitors import INPUT_DRIFT_SIGNALS
from schemas.rollbacks import Guard
from streams.governor.state import Case, UpstreamChange

ALIGNED_CELLS: Final = 2
"""An onset within this many cells of the deployment is aligned with it."""
CALM: Final = timedelta(days=7)
"""A target has had no critical alert firing for this long before it ceased to serve."""
MAX_ATTEMPTS: Final = 3
MANUAL_CAUSE: Final = "manual"
ROLLBACK_CAUSE: Final = "rollback-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that the rules may look at."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy says, and what each rule saw."""

    allowed: bool
    reason: str
    """Name of the rule that refused; empty where none did."""
    needs_approval: bool
    approval_reasons: tuple[str, ...]
    target: PreviousVersion | None
    guards: tuple[Guard, ...]


Rule = Callable[[Situation], Guard]


def decide(situation: Situation) -> Decision:
    """Apply the rules in order; stop at the first that refuses."""
    guards: list[Guard] = []
    for rule in RULES:
        guard = rule(situation)
        guards.append(guard)
        if not guard.passed:
            return Decision(
                allowed=False, reason=guard.name, needs_approval=False, approval_reasons=(), target=None,
                guards=tuple(guards),
            )  # fmt: skip
    cautions = [guard for guard in (_confounded(situation), _rate_cap(situation)) if not guard.passed]
    reasons = tuple(guard.name for guard in cautions)
    return Decision(
        allowed=True,
        reason="",
        needs_approval=bool(reasons) or situation.policy.mode == "approval",
        approval_reasons=reasons,
        target=healthy_target(situation),
        guards=(*guards, *cautions),
    )


def _guard(name: str, passed: bool, observed: object, required: object) -> Guard:
    return Guard(name=name, passed=passed, observed=str(observed), required=str(required))


def _policy_off(s: Situation) -> Guard:
    return _guard("policy_off", s.policy.mode != "off", s.policy.mode, "dry_run, approval or auto")


def _insufficient_evidence(s: Situation) -> Guard:
    e = s.evidence
    seen = f"e-value {e.e_value:.4g} on {e.n} events"
    return _guard("insufficient_evidence", e.is_complete, seen, f">= {e.threshold:.4g} on {e.min_samples}")


def _estimate_only(s: Situation) -> Guard:
    return _guard(
        "estimate_only", not s.evidence.is_estimate, s.evidence.is_estimate, "evidence from labels or service"
    )


def _input_drift_only(s: Situation) -> Guard:
    is_drift = s.evidence.signal in {signal.value for signal in INPUT_DRIFT_SIGNALS}
    return _guard("input_drift_only", not is_drift, s.evidence.signal, "a signal of quality or service")


def _own_rollback(s: Situation) -> Guard:
    made_by = s.evidence.cause.startswith(ROLLBACK_CAUSE)
    return _guard("own_rollback", not made_by, s.evidence.cause or "none", "a deployment that no rollback made")


def _manual_promotion(s: Situation) -> Guard:
    manual = s.evidence.cause.startswith(MANUAL_CAUSE)
    return _guard("manual_promotion", not manual, s.evidence.cause or "none", "not promoted by a person's word")


def _not_current(s: Situation) -> Guard:
    current = s.current
    same = current is None or current.deployment_id == s.evidence.deployment_id
    return _guard("not_current", same, current.deployment_id if current else "unknown", s.evidence.deployment_id)


def _already_ordered(s: Situation) -> Guard:
    again = s.case.state in {"failed", "expired"} and s.case.attempt < MAX_ATTEMPTS
    ready = again and s.now_ms >= s.case.retry_after_ms
    free = s.case.state in {"", "refused"} or ready
    return _guard(
        "already_ordered", free, f"{s.case.state or 'none'}, attempt {s.case.attempt}", "none, or a retry due"
    )


def _frozen(s: Situation) -> Guard:
    return _guard("frozen", not s.frozen_by, s.frozen_by or "no", "no freeze in force")


def _controls(s: Situation) -> list[ControlArm]:
    return [arm for arm in [*s.evidence.controls, *s.other_controls] if arm.is_fed]


def _upstream_cause(s: Situation) -> Guard:
    shifted = [arm.name for arm in _controls(s) if arm.has_shifted]
    return _guard("upstream_cause", not shifted, ", ".join(shifted) or "none shifted", "no fed control has shifted")


def _not_deployment_aligned(s: Situation) -> Guard:
    distance = s.evidence.onset_cells_after_deployment
    aligned = distance is not None and 0 <= distance <= ALIGNED_CELLS
    passed = aligned or bool(_controls(s)) or _announced(s)
    seen = "no onset" if distance is None else f"{distance} cells after the deployment"
    return _guard(
        "not_deployment_aligned", passed, seen, f"within {ALIGNED_CELLS} cells, or a control that stood still"
    )


def _no_healthy_target(s: Situation) -> Guard:
    target = healthy_target(s)
    seen = target.model_version if target else "; ".join(_unfit(s, t) or t.model_version for t in s.evidence.targets)
    return _guard("no_healthy_target", target is not None, seen or "no earlier version", "a healthy earlier version")


def _cooldown(s: Situation) -> Guard:
    last = s.last_rollback_ms
    passed = last is None or milliseconds(s.evidence.as_of) - last >= milliseconds(s.policy.cooldown)
    return _guard("cooldown", passed, "none before" if last is None else f"ended at {last} ms", s.policy.cooldown)


RULES: Final[tuple[Rule, ...]] = (
    _policy_off, _insufficient_evidence, _estimate_only, _input_drift_only, _own_rollback, _manual_promotion,
    _not_current, _already_ordered, _frozen, _upstream_cause, _not_deployment_aligned, _no_healthy_target, _cooldown,
)  # fmt: skip


def _announced(s: Situation) -> bool:
    """An upstream change overlaps the time since the deployment."""
    start, end = milliseconds(s.evidence.deployed_at), milliseconds(s.evidence.as_of)
    return any(change.at_ms <= end and change.until_ms >= start for change in s.upstream)


def _confounded(s: Situation) -> Guard:
    """An announced change, or a previous version that was itself out of reference with no control to tell."""
    if _announced(s):
        return _guard("confounded", False, "an upstream change overlaps", "no upstream change")
    if _controls(s):
        return _guard("confounded", True, "a fed control stood still", "no other explanation")
    previous = s.evidence.previous
    calm = previous is None or previous.in_reference
    return _guard("confounded", calm, "previous version in reference" if calm else "it drifted as well", "in reference")


def _rate_cap(s: Situation) -> Guard:
    passed = s.n_ordered_last_hour < s.max_per_hour
    return _guard("rate_cap", passed, f"{s.n_ordered_last_hour} in the last hour", f"< {s.max_per_hour}")


def healthy_target(s: Situation) -> PreviousVersion | None:
    """The last version that is known to be good."""
    return next((target for target in s.evidence.targets if not _unfit(s, target)), None)


def _unfit(s: Situation, target: PreviousVersion) -> str:
    """Why a version is no target; empty where it is one."""
    name = target.model_version
    if name in s.quarantined:
        return f"{name} is quarantined"
    if target.served_seconds < s.policy.min_target_served.total_seconds():
        return f"{name} served {target.served_seconds:.0f} s"
    if target.n_predictions < s.policy.min_target_predictions:
        return f"{name} served {target.n_predictions} predictions"
    ended = milliseconds(s.evidence.deployed_at)
    critical = target.last_critical_at
    if critical is not None and ended - milliseconds(critical) < milliseconds(CALM):
        return f"{name} had a critical alert in its last days"
    own = s.current.input_schema_hash if s.current else ""
    if own and target.input_schema_hash and own != target.input_schema_hash:
        return f"{name} has another input schema"
    return ""
