"""The rules of the rollback policy: a table in a documented order, each rule a pure function of a `Situation`.

A rule that refuses ends the matter, and the first one that does gives the reason. A rule that asks takes the decision
to a person. `docs/no-rollback.md` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from schemas.base import format_duration, milliseconds
from schemas.signals import INPUT_DRIFT_SIGNALS
from streams.governor.situation import Situation

ALIGNED_CELLS: Final = 2
"""An onset within this many cells of the deployment is aligned with it."""
MAX_ATTEMPTS: Final = 3
MANUAL_CAUSE: Final = "manual"
ROLLBACK_CAUSE: Final = "rollback-"


@dataclass(frozen=True, slots=True)
class Seen:
    """Whether a rule is content, what it saw, and what it asks for."""

    passed: bool
    observed: str
    required: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named rule of the policy."""

    name: str
    effect: Literal["refuse", "ask"]
    """What it does where it is not content: refuse, or take the decision to a person."""
    when: str
    """When it is not content, for a person."""
    why: str
    remedy: str
    """What that person can do."""
    check: Callable[[Situation], Seen]
    is_news: bool = True
    """Whether a refusal is published; False for the normal state of things."""
    wants_retraining: bool = False
    """Whether a refusal says that the world has changed, which no rollback cures."""


def _policy_off(s: Situation) -> Seen:
    return Seen(s.policy.mode != "off", s.policy.mode, "dry_run, approval or auto")


def _insufficient_evidence(s: Situation) -> Seen:
    e = s.evidence
    return Seen(e.is_complete, f"e-value {e.e_value:.4g} on {e.n} events", f">= {e.threshold:.4g} on {e.min_samples}")


def _labels_immature(s: Situation) -> Seen:
    e, previous = s.evidence, s.evidence.previous
    now = e.label_coverage_ratio
    usual = None if previous is None else previous.label_coverage_ratio
    if not e.needs_labels or now is None or usual is None:
        return Seen(True, "no labels needed" if not e.needs_labels else "coverage unknown", "nothing")
    least = s.policy.min_label_coverage_ratio * usual
    return Seen(now >= least, f"{now:.1%} of matured predictions labelled", f">= {least:.1%}")


def _estimator_unreliable(s: Situation) -> Seen:
    return Seen(not s.evidence.is_estimate, "an estimate" if s.evidence.is_estimate else "no estimate", "no estimate")


def _input_drift_only(s: Situation) -> Seen:
    is_drift = s.evidence.signal in {signal.value for signal in INPUT_DRIFT_SIGNALS}
    return Seen(not is_drift, s.evidence.signal, "a signal of quality or service")


def _own_rollback(s: Situation) -> Seen:
    cause = s.evidence.cause
    return Seen(not cause.startswith(ROLLBACK_CAUSE), cause or "none", "a deployment that no rollback made")


def _manual_promotion(s: Situation) -> Seen:
    cause = s.evidence.cause
    return Seen(not cause.startswith(MANUAL_CAUSE), cause or "none", "not promoted by a person's word")


def _stale_deployment(s: Situation) -> Seen:
    current, own = s.current, s.evidence.deployment_id
    same = current is None or current.deployment_id == own
    return Seen(same, current.deployment_id if current else "unknown", own)


def _already_rolled_back(s: Situation) -> Seen:
    case = s.case
    again = case.state in {"failed", "expired"} and case.attempt < MAX_ATTEMPTS
    free = case.state in {"", "refused"} or (again and s.now_ms >= case.retry_after_ms)
    return Seen(free, f"{case.state or 'none'}, attempt {case.attempt}", "none, or a retry due")


def _frozen(s: Situation) -> Seen:
    return Seen(not s.frozen_by, s.frozen_by or "no", "no freeze in force")


def _confounded(s: Situation) -> Seen:
    if s.is_announced:
        return Seen(False, "an announced upstream change overlaps", "no upstream change")
    if s.controls:
        return Seen(True, "a fed control speaks", "no other explanation")
    previous = s.evidence.previous
    calm = previous is None or previous.in_reference
    return Seen(calm, "previous version in reference" if calm else "it drifted as well", "in reference")


def _upstream_cause(s: Situation) -> Seen:
    shifted = [arm.name for arm in s.controls if arm.has_shifted]
    return Seen(not shifted, ", ".join(shifted) or "none shifted", "no fed control has shifted")


def _not_deployment_aligned(s: Situation) -> Seen:
    distance = s.evidence.onset_cells_after_deployment
    aligned = distance is not None and 0 <= distance <= ALIGNED_CELLS
    seen = "no onset" if distance is None else f"{distance} cells after the deployment"
    required = f"within {ALIGNED_CELLS} cells, or a control that stood still"
    return Seen(aligned or bool(s.controls) or s.is_announced, seen, required)


def _no_healthy_target(s: Situation) -> Seen:
    names = ", ".join(target.model_version for target in s.healthy)
    ill = "; ".join(s.illness(target) for target in s.evidence.targets)
    return Seen(bool(s.healthy), names or ill or "no earlier version", "an earlier version that was good")


def _quarantined_target(s: Situation) -> Seen:
    names = ", ".join(target.model_version for target in s.healthy if target.model_version in s.quarantined)
    return Seen(bool(s.free) or not s.healthy, names or "none in quarantine", "a good version out of quarantine")


def _incompatible_schema(s: Situation) -> Seen:
    names = ", ".join(target.model_version for target in s.free if not s.reads_alike(target))
    return Seen(bool(s.compatible) or not s.free, names or "none differs", "a good version that reads the same inputs")


def _cooldown(s: Situation) -> Seen:
    last, need = s.last_rollback_ms, milliseconds(s.policy.cooldown)
    passed = last is None or milliseconds(s.evidence.as_of) - last >= need
    return Seen(passed, "none before" if last is None else f"ended at {last} ms", format_duration(s.policy.cooldown))


def _global_cap(s: Situation) -> Seen:
    n = s.n_ordered_last_hour
    return Seen(n < s.max_per_hour, f"{n} in the last hour", f"< {s.max_per_hour}")


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="policy_off", effect="refuse", check=_policy_off, is_news=False,
        when="the model's `rollback.mode` is `off`",
        why="Somebody decided that this model is not rolled back by machine.",
        remedy="Set `rollback.mode` to `dry_run`, `approval` or `auto`.",
    ),
    Rule(
        name="insufficient_evidence", effect="refuse", check=_insufficient_evidence, is_news=False,
        when="the evidence since the deployment is below 1/`alpha`, or rests on fewer than `min_samples` events",
        why="Harm that could as well be chance is no reason to change what serves.",
        remedy="Wait. More matured events decide it one way or the other.",
    ),
    Rule(
        name="labels_immature", effect="refuse", check=_labels_immature,
        when="far fewer of the matured predictions have labels than under the previous version "
        "(`min_label_coverage_ratio` of its coverage)",
        why="Labels that come first are seldom a fair sample: defaults, complaints and failures are often early.",
        remedy="Look at the label pipeline. The decision is made anew with every cell that matures.",
    ),
    Rule(
        name="estimator_unreliable", effect="refuse", check=_estimator_unreliable,
        when="the evidence comes from an estimate without labels",
        why="An estimate assumes that scores mean what they meant, which is what a bad deployment breaks.",
        remedy="Wait for labels, or let a person decide with `plumbline rollbacks`.",
    ),
    Rule(
        name="input_drift_only", effect="refuse", check=_input_drift_only,
        when="the evidence is a drift of inputs or predictions",
        why="Other inputs are no harm by themselves, and the previous version would get the same ones.",
        remedy="Look at the features that the alert names.",
    ),
    Rule(
        name="own_rollback", effect="refuse", check=_own_rollback, is_news=False,
        when="the deployment was itself made by a rollback",
        why="Two versions that undo each other would never come to rest.",
        remedy="Deploy a version that is better than both.",
    ),
    Rule(
        name="manual_promotion", effect="refuse", check=_manual_promotion,
        when="the deployment's `cause` begins with `manual`",
        why="A person promoted it knowingly; a machine does not overrule that.",
        remedy="Roll back by hand, or deploy with another cause.",
    ),
    Rule(
        name="stale_deployment", effect="refuse", check=_stale_deployment, is_news=False,
        when="another deployment serves by now",
        why="Late labels speak of a version that is gone.",
        remedy="Nothing: its record is kept.",
    ),
    Rule(
        name="already_rolled_back", effect="refuse", check=_already_rolled_back, is_news=False,
        when="this deployment has had its rollback, or a failed attempt is not due again (three at most)",
        why="One deployment is rolled back once.",
        remedy="`plumbline rollbacks show` says how it ended.",
    ),
    Rule(
        name="frozen", effect="refuse", check=_frozen,
        when="a person froze the model",
        why="Somebody is at work on it.",
        remedy="Wait for the freeze's end, or end it.",
    ),
    Rule(
        name="confounded", effect="ask", check=_confounded,
        when="an announced upstream change overlaps, or the previous version had drifted itself and no control tells "
        "the two apart",
        why="Something else changed at the same time.",
        remedy="Approve or reject: `plumbline rollbacks approve`.",
    ),
    Rule(
        name="upstream_cause", effect="refuse", check=_upstream_cause, wants_retraining=True,
        when="a concurrent control (holdback, shadow, a model that reads the same source) shifted too",
        why="What hits the control as well is not the deployment's doing.",
        remedy="Look upstream. Retraining is asked for, in case the world has changed for good.",
    ),
    Rule(
        name="not_deployment_aligned", effect="refuse", check=_not_deployment_aligned, wants_retraining=True,
        when="the harm begins more than two cells after the deployment, and no control speaks for it",
        why="A bad version is bad from its first hour. What comes later comes from elsewhere.",
        remedy="Look upstream. A holdback would tell.",
    ),
    Rule(
        name="no_healthy_target", effect="refuse", check=_no_healthy_target, wants_retraining=True,
        when="no earlier version served long enough (`min_target_served`, `min_target_predictions`) without a page in "
        "its last seven days",
        why="A rollback to a version that was ill changes one harm for another.",
        remedy="Fix forward. Retraining is asked for.",
    ),
    Rule(
        name="quarantined_target", effect="refuse", check=_quarantined_target, wants_retraining=True,
        when="all good earlier versions are in quarantine",
        why="They were rolled back themselves, and nobody has cleared them.",
        remedy="`plumbline rollbacks clear-quarantine`, once a person knows why it failed.",
    ),
    Rule(
        name="incompatible_schema", effect="refuse", check=_incompatible_schema, wants_retraining=True,
        when="all good earlier versions read other inputs (`input_schema_hash`)",
        why="They would be fed what they were not made for.",
        remedy="Fix forward, or bring the old inputs back first.",
    ),
    Rule(
        name="cooldown", effect="refuse", check=_cooldown,
        when="another rollback of this model ended less than `cooldown` ago",
        why="What is seen now may still be the effect of the last one.",
        remedy="Wait.",
    ),
    Rule(
        name="global_cap", effect="ask", check=_global_cap,
        when="`governor.max_rollbacks_per_hour` were ordered within the hour",
        why="Many rollbacks at once have one cause, and it is not the models.",
        remedy="Approve or reject each: `plumbline rollbacks approve`.",
    ),
)  # fmt: skip
