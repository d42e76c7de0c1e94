"""Court: takes evidence, statuses, alerts and interventions in order, and publishes what is decided."""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.alerts import Alert, AlertStatus
from schemas.base import Event, from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import ControlArm, RollbackEvidence
from schemas.identifiers import model_key
from schemas.incidents import Incident, Intervention
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.control.view import ControlView
from streams.governor import audit, incidents
from streams.governor.commands import in_state, make_command, may_follow
from streams.governor.drills import drill_command
from streams.governor.notices import executed_at_last, expired_alert, ineffective_alert, retrain_alert
from streams.governor.policy import Decision, decide
from streams.governor.rules import Rule
from streams.governor.situation import Situation
from streams.governor.state import Case, Freeze, IncidentState, Ledger, UpstreamChange
from streams.settings import Settings

GOVERNOR = "plumbline/governor"
_HOUR_MS = milliseconds(timedelta(hours=1))
_RETRY_MS = milliseconds(timedelta(minutes=1))
_UPSTREAM = timedelta(days=1)
"""How long an announced upstream change may explain what follows, unless it says itself."""
_CONTROL_WINDOW = timedelta(days=2)
"""Another model's alert this close to the deployment speaks for a common cause."""


class Court:
    """One batch of the governor's work, on copies of its books."""

    def __init__(
        self,
        ledger: Ledger,
        cases: dict[str, Case],
        open_incidents: dict[str, IncidentState],
        control: ControlView,
        settings: Settings,
    ) -> None:
        self._ledger = ledger
        self._cases = cases
        self._incidents = open_incidents
        self._control = control
        self._settings = settings
        self.published: list[Event] = []
        self.n_decisions = 0
        self.changed = False

    def take_evidence(self, evidence: RollbackEvidence, now_ms: int) -> None:
        """Verify a rollback that was executed, or decide whether to order one.

        Parameters
        ----------
        evidence
            From the evaluator.
        now_ms
            Append time of its record: the wall clock of this decision, the same whenever it is replayed.
        """
        if evidence.recovery is not None:
            self._verify(evidence)
            return
        situation = self._situation(evidence, now_ms)
        decision = decide(situation)
        if decision.refused_by is None:
            self._order(situation, decision)
        elif decision.refused_by.is_news and decision.reason not in situation.case.refused:
            self._refuse(situation, decision, decision.refused_by)
        self._note(incidents.take_onset(self._incidents, evidence))

    def _note(self, incident: Incident | None) -> None:
        if incident is not None:
            self.published.append(incident)
            self.changed = True

    def _deployment(self, key: str, deployment_id: str) -> DeploymentEvent | None:
        return next((d for d in self._control.deployments(key) if d.deployment_id == deployment_id), None)

    def _case(self, evidence: RollbackEvidence) -> Case:
        name = f"{model_key(evidence.environment, evidence.model_name)}#{evidence.deployment_id}"
        if name not in self._cases:
            self._cases[name] = Case(
                model_key=model_key(evidence.environment, evidence.model_name), deployment_id=evidence.deployment_id
            )
        return self._cases[name]

    def _situation(self, evidence: RollbackEvidence, now_ms: int) -> Situation:
        key = model_key(evidence.environment, evidence.model_name)
        self._ledger.ordered_ms = [at for at in self._ledger.ordered_ms if now_ms - at < _HOUR_MS]
        ended = [c.finished_ms for c in self._cases.values() if c.model_key == key and c.finished_ms is not None]
        case = self._cases.get(f"{key}#{evidence.deployment_id}")
        return Situation(
            evidence=evidence,
            policy=self._control.spec(key).rollback,
            current=self._current(key, evidence.as_of),
            case=case or Case(model_key=key, deployment_id=evidence.deployment_id),
            frozen_by=self._frozen(key, now_ms),
            quarantined=self._quarantined(key),
            upstream=self._ledger.upstream.get(key, []),
            other_controls=self._other_controls(key, evidence),
            last_rollback_ms=max(ended, default=None),
            n_ordered_last_hour=len(self._ledger.ordered_ms),
            max_per_hour=self._settings.governor.max_rollbacks_per_hour,
            now_ms=now_ms,
        )

    def _current(self, key: str, at: datetime) -> DeploymentEvent | None:
        serving = [
            d
            for d in self._control.deployments(key)
            if d.role == "champion" and d.state == "active" and d.deployed_at <= at
        ]
        return max(serving, key=lambda d: (d.deployed_at, d.generation), default=None)

    def _frozen(self, key: str, now_ms: int) -> str:
        freeze = self._ledger.freezes.get(key)
        if freeze is None or (freeze.until_ms is not None and freeze.until_ms < now_ms):
            return ""
        return f"{freeze.actor}: {freeze.comment}"

    def _quarantined(self, key: str) -> frozenset[str]:
        own = {name.partition("@")[2] for name in self._ledger.quarantine if name.partition("@")[0] == key}
        announced = {d.model_version for d in self._control.deployments(key) if d.quarantined}
        cleared = {name for name in announced if f"{key}@{name}" in self._ledger.cleared}
        return frozenset(own | (announced - cleared))

    def _other_controls(self, key: str, evidence: RollbackEvidence) -> list[ControlArm]:
        """Other models that read one of this model's feature sources; fed as far as they are watched."""
        own = set(self._control.spec(key).feature_sources.values())
        if not own:
            return []
        arms = []
        for other in self._control.model_keys():
            if other == key or not own & set(self._control.spec(other).feature_sources.values()):
                continue
            last = self._ledger.shifted.get(other)
            distance = None if last is None else abs(last - milliseconds(evidence.deployed_at))
            shifted = distance is not None and distance <= milliseconds(_CONTROL_WINDOW)
            arms.append(ControlArm(kind="feature_source", name=other, n=0, is_fed=shifted, has_shifted=shifted))
        return arms

    def _order(self, situation: Situation, decision: Decision) -> None:
        evidence = situation.evidence
        case = self._case(evidence)
        case.attempt += 1
        command = make_command(
            evidence,
            decision,
            situation.policy,
            attempt=case.attempt,
            now_ms=situation.now_ms,
            ttl_seconds=self._settings.governor.command_ttl_seconds,
        )
        self._say(case, command)
        if command.mode == "auto":
            self._ledger.ordered_ms.append(situation.now_ms)
            self._say(case, in_state(command, RollbackState.APPROVED, at=evidence.as_of, actor=GOVERNOR))

    def _refuse(self, situation: Situation, decision: Decision, rule: Rule) -> None:
        evidence = situation.evidence
        case = self._case(evidence)
        case.refused = [*case.refused, rule.name]
        command = make_command(
            evidence,
            decision,
            situation.policy,
            attempt=case.attempt + 1,
            now_ms=situation.now_ms,
            ttl_seconds=self._settings.governor.command_ttl_seconds,
        )
        self._publish(command)
        self._audit(command, "refuse")
        self._note(incidents.take_command(self._incidents, self._ledger, command))
        if rule.wants_retraining:
            self.published.append(retrain_alert(evidence, rule.name))
        self.n_decisions += 1

    def _say(self, case: Case, command: RollbackCommand) -> None:
        """Publish a command's state, and remember it."""
        case.rollback_id = command.rollback_id
        case.state = command.state.value
        case.command = command.to_bytes()
        self._publish(command)
        self._audit(command, command.state.value)
        deployment = self._deployment(model_key(command.environment, command.model_name), command.deployment_id)
        self._note(incidents.take_command(self._incidents, self._ledger, command, deployment))
        self.n_decisions += 1

    def _publish(self, command: RollbackCommand) -> None:
        key = self._settings.governor.signing_key
        self.published.append(command if key is None else command.signed(key.get_secret_value()))
        self.changed = True

    def _audit(self, command: RollbackCommand, action: str) -> None:
        self.published.append(
            audit.append(
                self._ledger,
                environment=command.environment,
                model_name=command.model_name,
                actor=command.actor,
                action=f"rollback_{action}",
                subject=command.rollback_id,
                at=command.decided_at,
                after={
                    "from_version": command.from_version,
                    "to_version": command.to_version,
                    "mode": command.mode,
                    "refusal": command.reason.refusal,
                    "guards": [guard.model_dump() for guard in command.guards],
                    "comment": command.comment,
                },
                cause=command.reason.summary,
            )
        )

    def _verify(self, evidence: RollbackEvidence) -> None:
        recovery = evidence.recovery
        case = next((c for c in self._cases.values() if recovery and c.rollback_id == recovery.rollback_id), None)
        if recovery is None or case is None or case.state != RollbackState.SUCCEEDED.value:
            return
        command = RollbackCommand.model_validate_json(case.command)
        if recovery.has_recovered:
            case.finished_ms = milliseconds(evidence.as_of)
            self._say(case, in_state(command, RollbackState.VERIFIED, at=evidence.as_of, actor=GOVERNOR))
        elif recovery.is_overdue:
            case.finished_ms = milliseconds(evidence.as_of)
            self._say(case, in_state(command, RollbackState.INEFFECTIVE, at=evidence.as_of, actor=GOVERNOR))
            self.published.append(ineffective_alert(evidence, command))

    def take_status(self, status: RollbackStatus, now_ms: int) -> None:
        """Take what an executor says; what comes late or twice changes nothing."""
        case = next((c for c in self._cases.values() if c.rollback_id == status.rollback_id), None)
        if case is None:
            return
        command = RollbackCommand.model_validate_json(case.command)
        if command.idempotency_key != status.idempotency_key or not may_follow(command.state, status.state):
            return
        self._say(
            case, in_state(command, status.state, at=status.reported_at, actor=status.executor, comment=status.message)
        )
        if status.state is RollbackState.SUCCEEDED:
            self._quarantine(command)
            if command.attempt > 1:
                done = in_state(command, status.state, at=status.reported_at, actor=status.executor)
                self.published.append(executed_at_last(done))
        elif status.state is RollbackState.FAILED:
            case.retry_after_ms = now_ms + _RETRY_MS * 2**case.attempt
        elif status.state is RollbackState.NOOP:
            case.finished_ms = milliseconds(status.reported_at)

    def _quarantine(self, command: RollbackCommand) -> None:
        """A version that was rolled back is not deployed again until a person clears it."""
        key = model_key(command.environment, command.model_name)
        self._ledger.quarantine[f"{key}@{command.from_version}"] = command.rollback_id
        for deployment in self._control.deployments(key):
            if deployment.deployment_id == command.deployment_id and not deployment.quarantined:
                self.published.append(deployment.model_copy(update={"quarantined": True}))

    def take_alert(self, alert: Alert) -> None:
        """Group an alert into its incident, and remember when its model shifted."""
        if alert.labels.get("owner_stage") == "governor":
            return
        key = model_key(alert.labels["environment"], alert.labels["model_name"])
        self._note(
            incidents.take_alert(
                self._incidents,
                self._ledger,
                alert,
                sources=self._control.spec(key).feature_sources,
                deployment=self._deployment(key, alert.lineage.deployment_id),
            )
        )
        if alert.status is AlertStatus.FIRING:
            self._ledger.shifted[key] = milliseconds(alert.starts_at)
            self.changed = True

    def take_intervention(self, said: Intervention, now_ms: int) -> None:
        """Do what a person (or an upstream system) says, once; `now_ms` is its record's append time."""
        if said.intervention_id in self._ledger.seen_interventions:
            return
        self._ledger.seen_interventions = [*self._ledger.seen_interventions[-999:], said.intervention_id]
        self.changed = True
        key = model_key(said.environment, said.model_name)
        if said.kind == "freeze":
            until = None if said.until is None else milliseconds(said.until)
            if said.until is not None and said.until <= said.at:
                self._ledger.freezes.pop(key, None)  # that is how a freeze is ended
            else:
                self._ledger.freezes[key] = Freeze(until_ms=until, actor=said.actor, comment=said.comment)
        elif said.kind == "clear_quarantine":
            self._ledger.quarantine.pop(f"{key}@{said.subject}", None)
            self._ledger.cleared = sorted({*self._ledger.cleared, f"{key}@{said.subject}"})
        elif said.kind == "upstream_change":
            end = said.until or said.at + _UPSTREAM
            change = UpstreamChange(said.subject, milliseconds(said.at), milliseconds(end))
            self._ledger.upstream[key] = [*self._ledger.upstream.get(key, [])[-99:], change]
        elif said.kind in {"approve", "reject"}:
            self._answer(said)
        elif said.kind == "drill":
            self._drill(said, key, now_ms)
        for incident in incidents.take_word(self._incidents, said):
            self._note(incident)
        self.published.append(
            audit.append(
                self._ledger,
                environment=said.environment,
                model_name=said.model_name,
                actor=said.actor,
                action=said.kind,
                subject=said.subject,
                at=said.at,
                cause=said.comment,
            )
        )

    def _drill(self, said: Intervention, key: str, now_ms: int) -> None:
        """Order a rehearsal; it has no case, enters no incident, and counts for no limit."""
        self._publish(
            drill_command(
                said,
                current=self._current(key, said.at),
                deployments=self._control.deployments(key),
                quarantined=self._quarantined(key),
                now_ms=now_ms,
            )
        )

    def _answer(self, said: Intervention) -> None:
        case = next((c for c in self._cases.values() if c.rollback_id and c.rollback_id == said.subject), None)
        if case is None:
            return
        command = RollbackCommand.model_validate_json(case.command)
        state = RollbackState.APPROVED if said.kind == "approve" else RollbackState.REJECTED
        if command.mode == "dry_run" or not may_follow(command.state, state):
            return
        self._say(case, in_state(command, state, at=command.decided_at, actor=said.actor, comment=said.comment))

    def expire(self, now_ms: int) -> None:
        """Expire commands that nobody approved or executed in time, on the wall clock."""
        for case in self._cases.values():
            if case.state not in {"requested", "approved", "accepted"}:
                continue
            command = RollbackCommand.model_validate_json(case.command)
            if (
                command.expires_at is None
                or command.mode == "dry_run"
                or command.expires_at > from_milliseconds(now_ms)
            ):
                continue
            case.retry_after_ms = now_ms + _RETRY_MS * 2**case.attempt
            expired = in_state(command, RollbackState.EXPIRED, at=command.decided_at, actor=GOVERNOR)
            self._say(case, expired)
            if command.state is not RollbackState.REQUESTED:  # that one waited for a person, not for an executor
                self.published.append(expired_alert(expired))
