"""The rollback policy as a table of cases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import ControlArm, PreviousVersion, RollbackEvidence
from schemas.models import RollbackPolicy
from streams.governor.policy import decide
from streams.governor.rules import RULES, Rule
from streams.governor.rules_page import render
from streams.governor.situation import Situation
from streams.governor.state import Case, UpstreamChange

DEPLOYED = datetime(2026, 6, 10, tzinfo=UTC)
AS_OF = DEPLOYED + timedelta(days=1)


def version(name: str = "v1", **changes: Any) -> PreviousVersion:
    fields = {
        "model_version": name, "deployment_id": f"d-{name}", "n": 900, "n_bad": 200, "upper": 0.3,
        "in_reference": True, "served_seconds": 30 * 86_400.0, "n_predictions": 20_000, **changes,
    }  # fmt: skip
    return PreviousVersion.model_validate(fields)


def evidence(**changes: Any) -> RollbackEvidence:
    fields = {
        "model_name": "m", "deployment_id": "d-v2", "generation": 2, "model_version": "v2", "deployed_at": DEPLOYED,
        "signal": "miss_rate", "as_of": AS_OF, "e_value": 5000.0, "threshold": 1000.0, "m0": 0.35, "n": 200,
        "n_bad": 180, "min_samples": 100, "onset_at": DEPLOYED, "onset_cells_after_deployment": 0,
        "previous": version(), "targets": [version()], **changes,
    }  # fmt: skip
    return RollbackEvidence.model_validate(fields)


def deployment(**changes: Any) -> DeploymentEvent:
    fields = {"deployment_id": "d-v2", "model_name": "m", "model_version": "v2", "deployed_at": DEPLOYED, **changes}
    return DeploymentEvent.model_validate(fields)


def situation(**changes: Any) -> Situation:
    plain = Situation(
        evidence=evidence(),
        policy=RollbackPolicy(mode="auto"),
        current=deployment(),
        case=Case(model_key="production/m", deployment_id="d-v2"),
        frozen_by="",
        quarantined=frozenset(),
        upstream=(),
        other_controls=(),
        last_rollback_ms=None,
        n_ordered_last_hour=0,
        max_per_hour=3,
        now_ms=milliseconds(AS_OF),
    )
    return replace(plain, **changes)


def arm(*, fed: bool = True, shifted: bool = False) -> ControlArm:
    return ControlArm(kind="holdback", name="v1", n=500 if fed else 3, is_fed=fed, has_shifted=shifted)


def case(state: str, attempt: int = 1, retry_after_ms: int = 0) -> Case:
    return Case(
        model_key="production/m", deployment_id="d-v2", state=state, attempt=attempt, retry_after_ms=retry_after_ms
    )


UPSTREAM = UpstreamChange("weather", milliseconds(DEPLOYED), milliseconds(AS_OF))
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("sound evidence", {}, ""),
    ("policy off", {"policy": RollbackPolicy(mode="off")}, "policy_off"),
    ("too little evidence", {"evidence": evidence(e_value=999.0)}, "insufficient_evidence"),
    ("too few events", {"evidence": evidence(n=99)}, "insufficient_evidence"),
    ("an estimate without labels", {"evidence": evidence(is_estimate=True)}, "estimator_unreliable"),
    ("drift of inputs alone", {"evidence": evidence(signal="feature_drift")}, "input_drift_only"),
    ("a rollback is never rolled back", {"evidence": evidence(cause="rollback-1")}, "own_rollback"),
    ("a person's promotion stands", {"evidence": evidence(cause="manual: release manager")}, "manual_promotion"),
    ("another version serves by now", {"current": deployment(deployment_id="d-v3")}, "stale_deployment"),
    ("one rollback per deployment", {"case": case("approved")}, "already_rolled_back"),
    ("verified already", {"case": case("verified")}, "already_rolled_back"),
    ("failed, and a retry is due", {"case": case("failed")}, ""),
    ("failed, too early", {"case": case("failed", retry_after_ms=milliseconds(AS_OF) + 1)}, "already_rolled_back"),
    ("failed three times", {"case": case("failed", attempt=3)}, "already_rolled_back"),
    ("frozen", {"frozen_by": "ann: audit week"}, "frozen"),
    ("a fed control shifted too", {"evidence": evidence(controls=[arm(shifted=True)])}, "upstream_cause"),
    ("a starved control says nothing", {"evidence": evidence(controls=[arm(fed=False, shifted=True)])}, ""),
    ("another model of that source shifted", {"other_controls": [arm(shifted=True)]}, "upstream_cause"),
    ("onset a week later", {"evidence": evidence(onset_cells_after_deployment=28)}, "not_deployment_aligned"),
    ("no onset", {"evidence": evidence(onset_cells_after_deployment=None)}, "not_deployment_aligned"),
    ("late onset, but a control stood still",
     {"evidence": evidence(onset_cells_after_deployment=28, controls=[arm()])}, ""),
    ("no earlier version", {"evidence": evidence(targets=[])}, "no_healthy_target"),
    ("target quarantined", {"quarantined": frozenset({"v1"})}, "quarantined_target"),
    ("target served too short", {"evidence": evidence(targets=[version(served_seconds=60)])}, "no_healthy_target"),
    ("target served too few", {"evidence": evidence(targets=[version(n_predictions=9)])}, "no_healthy_target"),
    ("target was ill itself",
     {"evidence": evidence(targets=[version(last_critical_at=DEPLOYED - timedelta(days=2))])}, "no_healthy_target"),
    ("target was ill long ago",
     {"evidence": evidence(targets=[version(last_critical_at=DEPLOYED - timedelta(days=20))])}, ""),
    ("target reads another schema",
     {"current": deployment(input_schema_hash="b"), "evidence": evidence(targets=[version(input_schema_hash="a")])},
     "incompatible_schema"),
    ("no target is good, and that comes first",
     {"quarantined": frozenset({"v1"}), "evidence": evidence(targets=[version(n_predictions=9)])},
     "no_healthy_target"),
    ("a quarantined and an incompatible one",
     {"quarantined": frozenset({"v0"}), "current": deployment(input_schema_hash="b"),
      "evidence": evidence(targets=[version(input_schema_hash="a"), version("v0", input_schema_hash="b")])},
     "incompatible_schema"),
    ("half of the labels are not there yet",
     {"evidence": evidence(label_coverage_ratio=0.4, previous=version(label_coverage_ratio=0.9))}, "labels_immature"),
    ("labels are as scarce as ever",
     {"evidence": evidence(label_coverage_ratio=0.05, previous=version(label_coverage_ratio=0.06))}, ""),
    ("latency needs no labels",
     {"evidence": evidence(signal="latency_p95", needs_labels=False, label_coverage_ratio=0.0,
                           previous=version(label_coverage_ratio=0.9))}, ""),
    ("cooling down", {"last_rollback_ms": milliseconds(AS_OF - timedelta(hours=2))}, "cooldown"),
    ("cooled down", {"last_rollback_ms": milliseconds(AS_OF - timedelta(days=2))}, ""),
]  # fmt: skip


ASKING: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, ()),
    ({"upstream": [UPSTREAM]}, ("confounded",)),
    ({"upstream": [UPSTREAM], "evidence": evidence(controls=[arm()])}, ("confounded",)),
    ({"evidence": evidence(previous=version(in_reference=False))}, ("confounded",)),
    ({"evidence": evidence(previous=version(in_reference=False), controls=[arm()])}, ()),
    ({"n_ordered_last_hour": 3}, ("global_cap",)),
]


@pytest.mark.parametrize(("title", "changes", "reason"), CASES, ids=[case[0] for case in CASES])
def test_case(title: str, changes: dict[str, Any], reason: str) -> None:
    decision = decide(situation(**changes))
    assert decision.reason == reason, title
    assert decision.allowed is (reason == "")
    assert [guard.name for guard in decision.guards] == [rule.name for rule in RULES]
    assert all(guard.observed and guard.required for guard in decision.guards)
    assert (decision.target is None) is (reason != "")


def test_every_rule_has_a_case() -> None:
    asking = {reason for _, reasons in ASKING for reason in reasons}
    assert {rule.name for rule in RULES} == {reason for _, _, reason in CASES if reason} | asking


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_without_any_one_rule_some_case_ends_otherwise(rule: Rule) -> None:
    """The mutation test: a rule that nobody would miss does not belong in the table, nor may one go unnoticed."""
    rest = [other for other in RULES if other is not rule]
    refused = [decide(situation(**changes), rest).reason != reason for _, changes, reason in CASES]
    asked = [decide(situation(**changes), rest).approval_reasons != reasons for changes, reasons in ASKING]
    assert any(refused + asked)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_page_says_of_every_rule_when_why_and_what_to_do(rule: Rule) -> None:
    page = " ".join(render().split())
    assert f"## {rule.name} " in page
    for text in (rule.when, rule.why, rule.remedy[1:]):
        assert " ".join(text.split()) in page


def test_the_page_is_the_one_that_the_rules_give() -> None:
    written = Path(__file__).parents[3] / "docs" / "no-rollback.md"
    assert written.read_text() == render(), "run `make schemas`"


def test_the_healthy_target_is_the_newest_one_that_is_fit() -> None:
    targets = [version("v3", n_predictions=5), version("v2b"), version("v1")]
    decision = decide(situation(evidence=evidence(targets=targets)))
    assert decision.target is not None
    assert decision.target.model_version == "v2b"


@pytest.mark.parametrize(("changes", "reasons"), ASKING)
def test_what_takes_the_decision_to_a_person(changes: dict[str, Any], reasons: tuple[str, ...]) -> None:
    decision = decide(situation(**changes))
    assert decision.allowed
    assert decision.approval_reasons == reasons
    assert decision.needs_approval is bool(reasons)


def test_approval_mode_always_asks() -> None:
    assert decide(situation(policy=RollbackPolicy(mode="approval"))).needs_approval
