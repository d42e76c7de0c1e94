"""Control events, stage 2 and stage 3 under fire: nothing raises, and every record is taken or set aside in words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.alerts import Alert, AlertEvidence, AlertStatus, Window
from schemas.base import Event, milliseconds
from schemas.deployments import DeploymentEvent, ResourceEvent, ValidationEvent
from schemas.evidence import ControlArm, PreviousVersion, RollbackEvidence
from schemas.incidents import Intervention
from schemas.models import ModelSpec, RollbackPolicy
from schemas.profiles import ProfileDelta, ProfileRecord
from schemas.rollbacks import RollbackState, RollbackStatus
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord, Processor
from streams.evaluator.intake import ProfileError, check_profile
from streams.evaluator.processor import EvaluatorProcessor
from streams.governor.processor import GovernorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, TopicSettings
from tests.fuzz import valid
from tests.fuzz.hostile import HEADERS
from tests.fuzz.mutations import Mutator, Raw

_AT: Final = datetime(2026, 6, 11, tzinfo=UTC)
_BATCH: Final = 50
Value = tuple[str, bytes]
"""Topic and value."""


def mutated(seed: int, values: Sequence[Value], n: int) -> Iterable[Raw]:
    """Mutations of some values, `n` in all; a quarter stay as they are."""
    strangers = [value for _, value in values]
    mutate = Mutator(seed, max_record_bytes=20_000, strangers=strangers, intact_ratio=0.25)
    draw = random.Random(seed)
    for i in range(n):
        topic, value = values[draw.randrange(len(values))]
        raw = Raw(topic, b"production/m", value, milliseconds(_AT) + 1_000 * i)
        yield mutate(raw) if value[:1] == b"{" else _broken_msgpack(draw, raw)


def _broken_msgpack(draw: random.Random, raw: Raw) -> Raw:
    kind = draw.random()
    value = bytearray(raw.value or b"")
    if kind < 0.2:
        return raw
    if kind < 0.5:
        for _ in range(draw.choice((1, 2, 5))):
            value[draw.randrange(len(value))] = draw.randrange(256)
    elif kind < 0.6:
        del value[draw.randrange(len(value)) :]
    else:
        content = msgspec.msgpack.decode(bytes(value))
        for _ in range(draw.choice((1, 1, 2))):
            _replace(draw, content)
        value = bytearray(msgspec.msgpack.encode(content))
    headers = draw.choice(HEADERS) if draw.random() < 0.2 else ()
    return Raw(raw.topic, raw.key, bytes(value), raw.timestamp, headers)


_STRANGE: Final = (
    None, True, 0, -1, 1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 0.5, float("inf"), float("nan"), "", "m", "a/b",
    "../x", "n" * 300, "__all__", "\x00", b"", b"\x00", b"\xff" * 8, b"\x01\x02\x03", [], [1], {}, {"a": 1}, [[[]]],
)  # fmt: skip


def _replace(draw: random.Random, content: Any) -> None:
    """Put something strange somewhere into a tree of dicts and lists."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not keys:
            return
        key = draw.choice(keys)
        inner = content[key]
        if isinstance(inner, (dict, list)) and inner and draw.random() < 0.8:
            content = inner
            continue
        if isinstance(inner, bytes) and inner and draw.random() < 0.7:
            at = draw.randrange(len(inner))
            content[key] = draw.choice((inner[:at], inner + inner, inner[:at] + draw.randbytes(1) + inner[at + 1 :]))
        elif isinstance(inner, int) and draw.random() < 0.5:
            content[key] = draw.choice((inner + 1, inner - 1, -inner, inner + 3_600_000, inner * 1_000)) % 2**63
        else:
            content[key] = draw.choice(_STRANGE)
        return


def control_values() -> list[Value]:
    """One valid event, or several, of every control topic."""
    deployment = DeploymentEvent(deployment_id="d-2", model_name="m", model_version="2", deployed_at=_AT)
    validation = ValidationEvent(model_name="m", model_version="2", suite="s", passed=True, validated_at=_AT)
    return [
        *valid.control_records(),
        (topics.DEPLOYMENTS.name, deployment.to_bytes()),
        (topics.VALIDATIONS.name, validation.to_bytes()),
    ]


def fuzz_control(seed: int, n: int) -> dict[str, int]:
    """Fold mutated control events, and count predictions and close windows under whatever they made of the plans."""
    n_rejected = 0
    for start in range(0, n, _CONTROL_EVENTS):
        # What was accepted stays in force for ever, so each stretch begins anew.
        n_rejected += _fuzz_control(seed + start, min(_CONTROL_EVENTS, n - start))
    return {"n_records": n, "n_rejected": n_rejected}


_CONTROL_EVENTS: Final = 100
"""Control events of one stretch."""


def _fuzz_control(seed: int, n: int) -> int:
    view = valid.control()
    profiler = Harness(lambda: ProfilerProcessor(partition=0, settings=_one_source(), control=view))
    evaluator = Harness(lambda: EvaluatorProcessor(partition=0, settings=_one_source(), control=view))
    for number, raw in enumerate(mutated(seed, control_values(), n)):
        n_before = view.n_rejected
        view.apply_record(raw.topic, _record(raw, number))
        assert view.n_rejected == n_before or view.rejected[-1]
        if number % 5 == 0:
            events = valid.records(seed, 60, start_seconds=valid.START_SECONDS + 3_600 * number)
            profiler.feed(sorted((_record(each, number) for each in events), key=lambda record: record.topic))
            said = [*profiler.outputs, *profiler.heartbeat().outputs]
            evaluator.feed([ListRecord(topic=o.topic, key=o.key, value=o.value) for o in said])
            _forget(profiler, evaluator)
        if number % 50 == 49:
            profiler.restart()
            evaluator.restart()
    return view.n_rejected


def _one_source() -> Settings:
    return Settings(topics=TopicSettings(events_partitions=1))


def profile_values(seed: int, n_records: int = 30_000) -> list[Value]:
    """Deltas and heartbeats as the profiler makes them, and resource events."""
    view = valid.control()
    task = Harness(lambda: ProfilerProcessor(partition=0, settings=_one_source(), control=view))
    records = [_record(raw, i) for i, raw in enumerate(valid.records(seed, n_records))]
    for start in range(0, len(records), 1_000):
        task.add(sorted(records[start : start + 1_000], key=lambda record: record.topic))
        task.commit(heartbeat=True)
    resource = ResourceEvent(model_name="m", model_version="1", measured_at=_AT, cpu_ratio=0.5)
    said = [(output.topic, output.value or b"") for output in task.outputs]
    return [*said, *[(topics.RESOURCES.name, resource.to_bytes())] * (len(said) // 10)]


def fuzz_evaluator(seed: int, n: int) -> dict[str, int]:
    """Stage 2 on mutated profiles; counts of records that it took, and that it set aside."""
    values = profile_values(seed)
    view = valid.control()
    original = {part for _, value in values if (part := _counted(value)) is not None}

    # Counts that are well-formed and false are believed: who may write this topic is trusted (docs/topics.md).
    def is_forged(raw: Raw) -> bool:
        said = _counted(raw.value or b"")
        return said is not None and said not in original and _is_taken(raw, view)

    return _fuzz(
        lambda: EvaluatorProcessor(partition=0, settings=_one_source(), control=view),
        seed,
        values,
        n,
        leave_out=is_forged,
    )


def decision_values() -> list[Value]:
    """What the governor reads."""
    previous = PreviousVersion(
        model_version="1", deployment_id="d-1", n=900, n_bad=200, upper=0.3, in_reference=True, served_seconds=3e6,
        n_predictions=20_000,
    )  # fmt: skip
    evidence = RollbackEvidence(
        model_name="m", deployment_id="d-2", generation=2, model_version="2", deployed_at=_AT - timedelta(days=1),
        signal="miss_rate", as_of=_AT, e_value=5000.0, threshold=1000.0, m0=0.35, n=200, n_bad=180, min_samples=100,
        onset_at=_AT - timedelta(days=1), onset_cells_after_deployment=0, previous=previous, targets=[previous],
        controls=[ControlArm(kind="holdback", name="1", n=500, is_fed=True, has_shifted=False)],
    )  # fmt: skip
    labels = {
        "alertname": "a",
        "severity": "page",
        "environment": "production",
        "model_name": "m",
        "model_version": "2",
    }
    window = Window(start=_AT, end=_AT, n=10)
    alert = Alert(
        alert_id="a-1", fingerprint="f", sequence=1, status=AlertStatus.FIRING, starts_at=_AT, updated_at=_AT,
        labels=labels, annotations={}, evidence=AlertEvidence(detector="d", statistic=1, threshold=1, window=window),
    )  # fmt: skip
    word = Intervention(
        intervention_id="i", model_name="m", kind="approve", subject="rollback-1", actor="ada", at=_AT
    )  # fmt: skip
    words = [
        word.model_copy(update={"kind": kind, "until": _AT + timedelta(days=1)})
        for kind in ("reject", "ack", "freeze", "clear_quarantine", "upstream_change")
    ]
    status = RollbackStatus(
        rollback_id="rollback-1", idempotency_key="k", model_name="m", state=RollbackState.ACCEPTED, executor="e",
        reported_at=_AT,
    )  # fmt: skip
    events: list[tuple[topics.Topic, Event]] = [
        (topics.EVIDENCE, evidence),
        (topics.EVIDENCE, evidence.model_copy(update={"e_value": 3.0})),
        (topics.ALERTS, alert),
        (topics.ALERTS, alert.model_copy(update={"status": AlertStatus.RESOLVED, "sequence": 2, "ends_at": _AT})),
        *((topics.INTERVENTIONS, each) for each in [word, *words]),
        (topics.ROLLBACK_STATUS, status),
    ]
    return [(topic.name, event.to_bytes()) for topic, event in events]


def fuzz_governor(seed: int, n: int) -> dict[str, int]:
    """Stage 3 on mutated decisions."""
    view = ControlView()
    spec = ModelSpec(model_name="m", rollback=RollbackPolicy(mode="auto"))
    view.apply(topics.MODELS.name, spec.to_bytes())
    deployment = DeploymentEvent(deployment_id="d-2", model_name="m", model_version="2", deployed_at=_AT)
    view.apply(topics.DEPLOYMENTS.name, deployment.to_bytes())
    return _fuzz(lambda: GovernorProcessor(partition=0, settings=Settings(), control=view), seed, decision_values(), n)


def _counted(value: bytes) -> bytes | None:
    """The counts of a delta, as bytes to compare; None where it is no delta."""
    try:
        said = msgspec.msgpack.decode(value, type=ProfileRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.msgpack.encode(said.parts) if isinstance(said, ProfileDelta) else None


def _is_taken(raw: Raw, view: ControlView) -> bool:
    try:
        check_profile(msgspec.msgpack.decode(raw.value or b"", type=ProfileRecord), view.plan_by_id)
    except ProfileError:
        return False
    return True


def _fuzz(
    make: Callable[[], Processor],
    seed: int,
    values: Sequence[Value],
    n: int,
    *,
    leave_out: Callable[[Raw], bool] = lambda _: False,
) -> dict[str, int]:
    task = Harness(make)
    n_dead, batch = 0, list[ListRecord]()
    for number, raw in enumerate(mutated(seed, values, n), start=1):
        if not leave_out(raw):
            batch.append(_record(raw, number))
        if len(batch) < _BATCH and number < n:
            continue
        task.now_ms = milliseconds(_AT) + 60_000 * number
        task.add(batch)
        staged = task.commit(heartbeat=number % (4 * _BATCH) == 0)
        offsets = [letter.record.offset for letter in staged.dead_letters]
        assert len(set(offsets)) == len(offsets) <= len(batch), f"seed {seed}, record {number}: {offsets}"
        assert all(letter.message for letter in staged.dead_letters)
        n_dead += len(offsets)
        batch = []
        _forget(task)
        if number % (20 * _BATCH) == 0:
            task.restart()
    changelog = sum(map(len, task.changelog.values()))
    return {"n_records": n, "n_dead": n_dead, "changelog_bytes": changelog, "n_changelog_keys": len(task.changelog)}


def _record(raw: Raw, offset: int) -> ListRecord:
    return ListRecord(
        topic=raw.topic, offset=offset, timestamp=raw.timestamp, key=raw.key, value=raw.value, headers=raw.headers  # type: ignore[arg-type]
    )  # fmt: skip


def _forget(*tasks: Harness) -> None:
    for task in tasks:
        task.outputs.clear()
        task.dead_letters.clear()
        task.staged.clear()
