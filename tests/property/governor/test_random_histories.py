"""Whatever happens, in whatever order: what the governor orders is judged by books that the test keeps itself."""

import itertools
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.base import milliseconds
from schemas.evidence import ControlArm, Recovery
from schemas.incidents import Intervention
from schemas.models import ModelSpec, RollbackPolicy
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.governor.processor import GovernorProcessor
from streams.settings import Settings
from tests.unit.governor.test_governor_processor import record
from tests.unit.governor.test_policy import DEPLOYED, deployment, evidence, version

COOLDOWN = timedelta(days=1)
VERSIONS = ["v1", "v2", "v3"]

targets = st.fixed_dictionaries(
    {
        "served_seconds": st.sampled_from([30 * 86_400.0] * 5 + [60.0]),
        "n_predictions": st.sampled_from([20_000] * 5 + [10]),
        "ill_days_before": st.sampled_from([None, None, 20, 2]),
        "input_schema_hash": st.sampled_from(["", "a", "a", "b"]),
    }
)
steps = st.one_of(
    st.tuples(st.just("deploy"), st.sampled_from(VERSIONS), st.sampled_from(["", "manual: release"])),
    st.tuples(
        st.just("evidence"),
        st.sampled_from([5000.0] * 4 + [3.0]),
        st.sampled_from([0, 1, 1, 2, 30, None]),
        st.sampled_from(["none", "none", "calm", "starved", "shifted"]),
        st.lists(targets, min_size=1, max_size=2),
    ),
    st.tuples(
        st.just("answer"), st.sampled_from(["accepted", "executing", "succeeded", "succeeded", "failed", "noop"])
    ),
    st.tuples(st.just("recover"), st.booleans()),
    st.tuples(st.just("whole"), st.booleans()),
    st.tuples(st.just("say"), st.sampled_from(["freeze", "clear_quarantine", "upstream_change"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 30])),
)


SOUND: dict[str, Any] = {
    "served_seconds": 30 * 86_400.0, "n_predictions": 20_000, "ill_days_before": None, "input_schema_hash": "",
}  # fmt: skip


class History:
    """A model, its governor, and the test's own books."""

    def __init__(self) -> None:
        self.now = DEPLOYED + timedelta(days=40)
        self.view = ControlView()
        policy = RollbackPolicy(mode="auto", cooldown=COOLDOWN)
        self.view.apply(topics.MODELS.name, ModelSpec(model_name="m", rollback=policy).to_bytes())
        self.harness = Harness(lambda: GovernorProcessor(partition=0, settings=Settings(), control=self.view))
        self.n_read = 0
        self.offset = 0
        self.current = deployment(deployment_id="d0", model_version="v2", generation=1, deployed_at=self.now)
        self.view.apply(topics.DEPLOYMENTS.name, self.current.to_bytes())
        self.commands: list[RollbackCommand] = []
        self.quarantined: set[str] = set()
        self.ended: list[Any] = []

    def put(self, topic: topics.Topic, event: Any) -> list[RollbackCommand]:
        """One record; what the governor says of it."""
        self.offset += 1
        self.harness.feed([record(topic.name, event, self.offset, at=self.now)], batch_sizes=1)
        new = self.harness.outputs[self.n_read :]
        self.n_read = len(self.harness.outputs)
        said = [
            RollbackCommand.model_validate_json(o.value) for o in new if o.topic == topics.ROLLBACKS.name and o.value
        ]
        for command in said:
            if command.state is RollbackState.SUCCEEDED:
                self.quarantined.add(command.from_version)
            if command.state in {RollbackState.VERIFIED, RollbackState.INEFFECTIVE, RollbackState.NOOP}:
                self.ended.append(command.decided_at)
        self.commands += said
        return said

    def deploy(self, name: str, cause: str) -> None:
        self.current = deployment(
            deployment_id=f"d{self.current.generation}", model_version=name, cause=cause,
            generation=self.current.generation + 1, deployed_at=self.now, input_schema_hash="a",
        )  # fmt: skip
        self.view.apply(topics.DEPLOYMENTS.name, self.current.to_bytes())

    def judge(self, e_value: float, onset: int | None, control: str, kinds: list[dict[str, Any]]) -> None:
        """Evidence comes; whatever is ordered because of it has to be in order."""
        arms = [] if control == "none" else [
            ControlArm(kind="holdback", name="h", n=500, is_fed=control != "starved", has_shifted=control != "calm")
        ]  # fmt: skip
        names = [name for name in VERSIONS if name != self.current.model_version]
        past = []
        for name, kind in zip(names, kinds, strict=False):
            days = kind["ill_days_before"]
            ill = None if days is None else self.current.deployed_at - timedelta(days=days)
            fields = {k: v for k, v in kind.items() if k != "ill_days_before"}
            past.append(version(name, last_critical_at=ill, **fields))
        event = evidence(
            deployment_id=self.current.deployment_id, generation=self.current.generation, cause=self.current.cause,
            model_version=self.current.model_version, deployed_at=self.current.deployed_at, as_of=self.now,
            e_value=e_value, onset_cells_after_deployment=onset, controls=arms, targets=past,
        )  # fmt: skip
        for command in self.put(topics.EVIDENCE, event):
            if command.state is RollbackState.REQUESTED:
                self.check(command, event, control, dict(zip(names, kinds, strict=False)))

    def check(self, command: RollbackCommand, event: Any, control: str, kinds: dict[str, dict[str, Any]]) -> None:
        target = kinds[command.to_version or ""]
        assert target["served_seconds"] > 60.0
        assert target["n_predictions"] > 10
        assert target["ill_days_before"] != 2
        assert self.current.input_schema_hash in {"", target["input_schema_hash"]} or not target["input_schema_hash"]
        assert command.to_version not in self.quarantined
        assert control != "shifted"
        assert not event.cause.startswith("manual")
        assert event.e_value >= event.threshold
        assert all(self.now - at >= COOLDOWN for at in self.ended)

    def answer(self, state: str) -> None:
        if not self.commands:
            return
        last = self.commands[-1]
        self.put(
            topics.ROLLBACK_STATUS,
            RollbackStatus(
                rollback_id=last.rollback_id, idempotency_key=last.idempotency_key, model_name="m",
                state=RollbackState(state), executor="x", reported_at=self.now,
            ),
        )  # fmt: skip

    def recover(self, recovered: bool) -> None:
        if not self.commands:
            return
        seen = Recovery(
            rollback_id=self.commands[-1].rollback_id, n_predictions=900, old_version_ratio=0.0, n=300, value=0.3,
            e_value=50.0, has_recovered=recovered, is_overdue=not recovered,
        )  # fmt: skip
        self.put(topics.EVIDENCE, evidence(recovery=seen, as_of=self.now, deployed_at=self.now - timedelta(hours=1)))

    def whole(self, recovered: bool) -> None:
        """A new version is bad at once, and rolled back, so far as the governor orders that."""
        self.deploy(next(name for name in VERSIONS if name != self.current.model_version), "")
        self.judge(5000.0, 0, "none", [SOUND, SOUND])
        self.answer("succeeded")
        self.recover(recovered)

    def say(self, kind: str) -> None:
        subject = next(iter(sorted(self.quarantined)), "v1") if kind == "clear_quarantine" else "weather"
        until = self.now + timedelta(hours=12)
        word: Any = {"intervention_id": f"i{self.offset}", "kind": kind, "model_name": "m", "actor": "ann"}
        word |= {"subject": subject, "at": self.now, "until": until}
        if kind == "clear_quarantine":
            self.quarantined.discard(subject)
        self.put(topics.INTERVENTIONS, Intervention.model_validate(word))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=5, max_size=40))
def test_no_history_leads_to_a_rollback_that_should_not_be(history: list[tuple[Any, ...]]) -> None:
    world = History()
    for kind, *terms in history:
        world.now += timedelta(minutes=10)
        match kind:
            case "deploy":
                world.deploy(*terms)
            case "evidence":
                world.judge(*terms)
            case "answer":
                world.answer(*terms)
            case "recover":
                world.recover(*terms)
            case "whole":
                world.whole(*terms)
            case "say":
                world.say(*terms)
            case "wait":
                world.now += timedelta(hours=terms[0])
    _once_per_deployment(world.commands)


def _once_per_deployment(commands: list[RollbackCommand]) -> None:
    """A second request follows a failure or an expiry alone, three at most; success comes once."""
    for deployment_id in {command.deployment_id for command in commands}:
        states = [
            c.state for c in commands if c.deployment_id == deployment_id and c.state is not RollbackState.REFUSED
        ]
        assert states.count(RollbackState.SUCCEEDED) <= 1
        assert states.count(RollbackState.REQUESTED) <= 3
        for before, state in itertools.pairwise(states):
            if state is RollbackState.REQUESTED:
                assert before in {RollbackState.FAILED, RollbackState.EXPIRED}


def test_histories_do_order_rollbacks() -> None:
    """The property is not empty: a plain history orders one, fails, orders again, and succeeds."""
    world = History()
    world.deploy("v3", "")
    world.now += timedelta(hours=6)
    world.judge(5000.0, 0, "none", [SOUND])
    world.answer("failed")
    world.now += timedelta(hours=6)
    world.judge(5000.0, 0, "none", [SOUND])
    world.answer("succeeded")
    world.recover(True)
    assert [c.state.value for c in world.commands] == [
        "requested", "approved", "failed", "requested", "approved", "succeeded", "verified",
    ]  # fmt: skip
    assert milliseconds(world.ended[0]) == milliseconds(world.now)
