"""The governor, from evidence to a verified rollback, on lists."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from schemas import topics
from schemas.alerts import Alert
from schemas.base import Event, milliseconds
from schemas.evidence import Recovery, RollbackEvidence
from schemas.identifiers import model_key
from schemas.incidents import AuditEntry, Incident, Intervention
from schemas.models import ModelSpec, RollbackPolicy
from schemas.rollbacks import SIGNATURE_HEADER, RollbackCommand, RollbackState, RollbackStatus, sign
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.governor.audit import first_broken_link
from streams.governor.processor import GovernorProcessor
from streams.settings import GovernorSettings, Settings
from tests.unit.governor.test_policy import AS_OF, DEPLOYED, deployment, evidence, version

KEY = "secret"


def control(mode: str = "auto") -> ControlView:
    view = ControlView()
    policy = RollbackPolicy.model_validate({"mode": mode})
    view.apply(topics.MODELS.name, ModelSpec(model_name="m", rollback=policy).to_bytes())
    view.apply(topics.DEPLOYMENTS.name, deployment().to_bytes())
    return view


def court(mode: str = "auto") -> Harness:
    view = control(mode)
    settings = Settings(governor=GovernorSettings(signing_key=SecretStr(KEY)))
    return Harness(lambda: GovernorProcessor(partition=0, settings=settings, control=view))


def record(topic: str, event: Event, offset: int, at: datetime = AS_OF) -> ListRecord:
    value = event.to_bytes()
    headers = [(SIGNATURE_HEADER, sign(KEY, value).encode())]
    return ListRecord(topic=topic, offset=offset, timestamp=milliseconds(at), value=value, headers=headers)


def said(harness: Harness, kind: type[Any], topic: topics.Topic) -> list[Any]:
    return [kind.model_validate_json(o.value) for o in harness.outputs if o.topic == topic.name and o.value]


def commands(harness: Harness) -> list[RollbackCommand]:
    return said(harness, RollbackCommand, topics.ROLLBACKS)


def states(harness: Harness) -> list[str]:
    return [command.state.value for command in commands(harness)]


def status(command: RollbackCommand, state: str, minutes: int) -> RollbackStatus:
    return RollbackStatus(
        rollback_id=command.rollback_id,
        idempotency_key=command.idempotency_key,
        model_name="m",
        state=RollbackState(state),
        executor="registry",
        current_version="v1",
        reported_at=AS_OF + timedelta(minutes=minutes),
    )


def recovery(rollback_id: str, *, recovered: bool, overdue: bool = False, days: int = 2) -> RollbackEvidence:
    seen = Recovery(
        rollback_id=rollback_id, n_predictions=900, old_version_ratio=0.0, n=300, value=0.3, e_value=50.0,
        has_recovered=recovered, is_overdue=overdue,
    )  # fmt: skip
    return evidence(
        deployment_id="d-v1-again", generation=3, model_version="v1", cause=rollback_id, recovery=seen,
        deployed_at=AS_OF, as_of=AS_OF + timedelta(days=days), e_value=1.0,
    )  # fmt: skip


def whole_life(harness: Harness, answers: Sequence[str] = ("accepted", "executing", "succeeded")) -> list[ListRecord]:
    """The records of a rollback that goes well; the command's ids follow from the evidence alone."""
    probe = court()
    probe.feed([record(topics.EVIDENCE.name, evidence(), 0)])
    command = commands(probe)[0]
    records = [record(topics.EVIDENCE.name, evidence(e_value=3.0), 0), record(topics.EVIDENCE.name, evidence(), 1)]
    records += [
        record(topics.ROLLBACK_STATUS.name, status(command, state, minute), minute)
        for minute, state in enumerate(answers)
    ]
    records.append(record(topics.EVIDENCE.name, recovery(command.rollback_id, recovered=False), 2))
    records.append(record(topics.EVIDENCE.name, recovery(command.rollback_id, recovered=True, days=3), 3))
    del harness
    return records


GOOD_LIFE = ["requested", "approved", "accepted", "executing", "succeeded", "verified"]


def test_a_rollback_from_evidence_to_verified() -> None:
    harness = court()
    harness.feed(whole_life(harness), batch_sizes=1)
    assert states(harness) == GOOD_LIFE
    last = commands(harness)[-1]
    assert (last.from_version, last.to_version, last.decided_at) == ("v2", "v1", AS_OF + timedelta(days=3))
    incidents = said(harness, Incident, topics.INCIDENTS)
    assert incidents[-1].status == "closed"
    assert [entry.kind for entry in incidents[-1].timeline] == [
        "deployment", "deviation", "command", "command", "execution", "execution", "execution", "verification",
    ]  # fmt: skip
    assert incidents[-1].timeline[2].details["quarantined_target"].startswith("passed: ")
    assert incidents[-1].seconds_to_resolve == (incidents[-1].timeline[-1].at - evidence().onset_at).total_seconds()


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_batches_and_restarts_change_nothing(batch: int) -> None:
    plain, broken = court(), court()
    plain.feed(whole_life(plain), batch_sizes=1)
    broken.feed(whole_life(broken), batch_sizes=batch, restart_after=range(1, 9))
    assert [(o.topic, o.key, o.value) for o in broken.outputs] == [(o.topic, o.key, o.value) for o in plain.outputs]


def test_every_step_is_said_once_however_often_it_is_told() -> None:
    harness = court()
    doubled = [r for r in whole_life(harness) for _ in range(2)]
    harness.feed(doubled, batch_sizes=3)
    assert states(harness) == GOOD_LIFE


def test_commands_are_signed_in_every_state_and_the_audit_is_a_chain() -> None:
    harness = court()
    harness.feed(whole_life(harness))
    assert all(command.is_signed_by(KEY) for command in commands(harness))
    assert not commands(harness)[0].model_copy(update={"to_version": "v0"}).is_signed_by(KEY)
    entries = said(harness, AuditEntry, topics.AUDIT)
    assert first_broken_link(entries) is None
    forged = [*entries[:2], entries[2].model_copy(update={"actor": "nobody"}), *entries[3:]]
    assert first_broken_link(forged) == entries[2].sequence


def test_a_failed_version_is_quarantined() -> None:
    harness = court()
    harness.feed(whole_life(harness))
    quarantined = [o for o in harness.outputs if o.topic == topics.DEPLOYMENTS.name]
    assert len(quarantined) == 1
    assert b'"quarantined":true' in (quarantined[0].value or b"")


def test_without_help_it_is_ineffective_and_pages() -> None:
    harness = court()
    life = whole_life(harness)[:-1]
    rollback_id = commands_of(life)
    harness.feed([*life, record(topics.EVIDENCE.name, recovery(rollback_id, recovered=False, overdue=True, days=8), 9)])
    assert states(harness)[-1] == "ineffective"
    assert any(b"RollbackIneffective" in (o.value or b"") for o in harness.outputs if o.topic == topics.ALERTS.name)


def commands_of(life: Sequence[ListRecord]) -> str:
    probe = court()
    probe.feed(life)
    return commands(probe)[0].rollback_id


def test_dry_run_goes_no_further_than_the_request() -> None:
    harness = court("dry_run")
    harness.feed([record(topics.EVIDENCE.name, evidence(), n) for n in range(3)], batch_sizes=1)
    assert states(harness) == ["requested"]
    assert commands(harness)[0].mode == "dry_run"


def intervention(kind: str, subject: str, number: int = 1) -> Intervention:
    return Intervention.model_validate(
        {"intervention_id": f"i{number}", "model_name": "m", "kind": kind, "subject": subject, "actor": "ann",
         "at": AS_OF, "comment": "seen it"}
    )  # fmt: skip


@pytest.mark.parametrize(("answer", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_in_approval_mode_a_person_decides(answer: str, state: str) -> None:
    harness = court("approval")
    harness.feed([record(topics.EVIDENCE.name, evidence(), 0)])
    command = commands(harness)[0]
    assert (command.approval.required, command.state.value) == (True, "requested")
    said_twice = [record(topics.INTERVENTIONS.name, intervention(answer, command.rollback_id), n) for n in (0, 1)]
    harness.feed(said_twice, batch_sizes=1)
    assert states(harness) == ["requested", state]
    assert commands(harness)[-1].actor == "ann"


def test_an_unsigned_word_counts_for_nothing() -> None:
    harness = court("approval")
    harness.feed([record(topics.EVIDENCE.name, evidence(), 0)])
    said = record(topics.INTERVENTIONS.name, intervention("approve", commands(harness)[0].rollback_id), 0)
    harness.feed([replace(said, headers=()), replace(said, headers=[(SIGNATURE_HEADER, b"00")])])
    assert states(harness) == ["requested"]
    assert [letter.reason for letter in harness.dead_letters] == ["signature", "signature"]


def test_a_freeze_stops_automatic_rollbacks_and_says_so() -> None:
    harness = court()
    harness.feed([record(topics.INTERVENTIONS.name, intervention("freeze", ""), 0)])
    harness.feed([record(topics.EVIDENCE.name, evidence(), n) for n in range(3)])
    assert states(harness) == ["refused"]
    assert commands(harness)[0].reason.refusal == "frozen"


def test_without_a_target_retraining_is_asked_for() -> None:
    harness = court()
    harness.feed([record(topics.EVIDENCE.name, evidence(targets=[version(n_predictions=3)]), 0)])
    assert commands(harness)[0].reason.refusal == "no_healthy_target"
    assert any(b"RetrainRequested" in (o.value or b"") for o in harness.outputs if o.topic == topics.ALERTS.name)


def test_a_command_that_nobody_executes_expires_and_is_tried_again() -> None:
    harness = court()
    harness.now_ms = milliseconds(AS_OF)
    harness.feed([record(topics.EVIDENCE.name, evidence(), 0)])
    harness.heartbeat(now_ms=milliseconds(AS_OF + timedelta(hours=2)))
    assert states(harness) == ["requested", "approved", "expired"]
    later = AS_OF + timedelta(hours=3)
    harness.feed([record(topics.EVIDENCE.name, evidence(as_of=later), 1, at=later)])
    again = commands(harness)[-1]
    assert (again.attempt, again.state.value) == (2, "approved")
    assert again.idempotency_key != commands(harness)[0].idempotency_key
    assert again.rollback_id == commands(harness)[0].rollback_id


def test_each_expiry_pages_and_an_attempt_that_is_executed_at_last_ends_it() -> None:
    harness = court()
    at = AS_OF
    for attempt in range(3):
        harness.now_ms = milliseconds(at)
        harness.feed([record(topics.EVIDENCE.name, evidence(as_of=at), attempt, at=at)])
        if attempt < 2:
            harness.heartbeat(now_ms=milliseconds(at + timedelta(hours=2)))
        at += timedelta(hours=3)
    last = commands(harness)[-1]
    assert (last.attempt, last.state.value) == (3, "approved")
    harness.feed([record(topics.ROLLBACK_STATUS.name, status(last, "succeeded", 500), 9)])
    pages = [a for a in said(harness, Alert, topics.ALERTS) if a.labels["alertname"] == "RollbackExpired"]
    assert [(a.status.value, a.sequence) for a in pages] == [("firing", 1), ("firing", 3), ("resolved", 6)]
    assert len({a.fingerprint for a in pages}) == 1
    assert {a.labels["severity"] for a in pages} == {"page"}


def test_what_waited_for_a_person_expires_without_a_page() -> None:
    harness = court("approval")
    harness.now_ms = milliseconds(AS_OF)
    harness.feed([record(topics.EVIDENCE.name, evidence(), 0)])
    harness.heartbeat(now_ms=milliseconds(AS_OF + timedelta(hours=2)))
    assert states(harness) == ["requested", "expired"]
    assert said(harness, Alert, topics.ALERTS) == []


def test_the_cap_opens_the_breaker() -> None:
    view = control()
    settings = Settings(governor=GovernorSettings(max_rollbacks_per_hour=1))
    view.apply(topics.MODELS.name, ModelSpec(model_name="other", rollback=RollbackPolicy(mode="auto")).to_bytes())
    harness = Harness(lambda: GovernorProcessor(partition=0, settings=settings, control=view))
    second = evidence(model_name="other", deployment_id="d-other")
    harness.feed([record(topics.EVIDENCE.name, evidence(), 0), record(topics.EVIDENCE.name, second, 1)])
    assert [(c.model_name, c.mode, c.state.value) for c in commands(harness)] == [
        ("m", "auto", "requested"), ("m", "auto", "approved"), ("other", "approval", "requested"),
    ]  # fmt: skip


def test_what_cannot_be_read_is_a_dead_letter() -> None:
    harness = court()
    bad = ListRecord(topic=topics.EVIDENCE.name, value=b"{", timestamp=milliseconds(DEPLOYED))
    harness.feed([bad, record(topics.EVIDENCE.name, evidence(), 1)])
    assert [letter.reason for letter in harness.dead_letters] == ["schema"]
    assert states(harness) == ["requested", "approved"]
    assert model_key("production", "m") == (harness.outputs[0].key or b"").decode()


def test_an_alert_without_the_labels_that_place_it_is_a_dead_letter() -> None:
    harness = court()
    labels = {"environment": "production", "model_name": "m"}
    fields: dict[str, Any] = {
        "alert_id": "a", "fingerprint": "f", "sequence": 1, "status": "firing", "starts_at": AS_OF, "updated_at": AS_OF,
        "labels": labels, "annotations": {},
        "evidence": {"detector": "d", "statistic": 1, "threshold": 1, "window": {"start": AS_OF, "end": AS_OF, "n": 1}},
    }  # fmt: skip
    harness.feed([record(topics.ALERTS.name, Alert.model_validate(fields), 0)])
    (letter,) = harness.dead_letters
    assert "labels have no alertname" in letter.message
