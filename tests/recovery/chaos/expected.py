"""What has to be decided: the same log through the same stages on lists, undisturbed, without a broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from schemas import topics
from schemas.alerts import Alert
from schemas.rollbacks import RollbackCommand
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord, Output, Record
from streams.evaluator.processor import EvaluatorProcessor
from streams.governor.processor import GovernorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings

from .observed import AlertStep, RollbackStep

_BATCH_RECORDS: Final = 2_000
_EVENTS: Final = (topics.PREDICTIONS.name, topics.LABELS.name)


@dataclass(slots=True)
class Expected:
    """Takes the log as it stands, and runs it through the stages.

    Parameters
    ----------
    settings, control
        Of the run.
    """

    settings: Settings
    control: ControlView
    on_log: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each topic and key stands on the log."""
    alerts: Counter[AlertStep] = field(default_factory=Counter)
    rollbacks: Counter[RollbackStep] = field(default_factory=Counter)
    _waiting: defaultdict[int, list[Record]] = field(default_factory=lambda: defaultdict(list))
    _profilers: dict[int, Harness] = field(default_factory=dict)
    _evaluator: Harness = field(init=False)
    _n_profiles: int = 0

    def __post_init__(self) -> None:
        self._evaluator = Harness(lambda: EvaluatorProcessor(partition=0, settings=self.settings, control=self.control))

    def take(self, topic: str, record: Record) -> None:
        """Take one record of the log; records of a partition come in its order."""
        if not any(name == "ce_type" for name, _ in record.headers):  # all but the final watermarks
            self.on_log[topic, (record.key or b"").decode()] += 1
        waiting = self._waiting[record.partition]
        waiting.append(record)
        if len(waiting) >= _BATCH_RECORDS:
            self._profile(record.partition)

    def _profile(self, partition: int) -> None:
        records, self._waiting[partition] = self._waiting[partition], []
        if partition not in self._profilers:
            self._profilers[partition] = Harness(
                lambda: ProfilerProcessor(partition=partition, settings=self.settings, control=self.control),
                partition=partition,
            )
        profiler = self._profilers[partition]
        profiler.add(sorted(records, key=lambda record: _EVENTS.index(record.topic)))
        profiler.commit(caught_up=False)
        self._evaluate(profiler)

    def _evaluate(self, profiler: Harness) -> None:
        outputs, profiler.outputs = profiler.outputs, []
        profiler.staged, profiler.changelog = [], {}
        self._evaluator.add(self._as_records(outputs))
        self._evaluator.commit()

    def _as_records(self, outputs: list[Output]) -> list[ListRecord]:
        first, self._n_profiles = self._n_profiles, self._n_profiles + len(outputs)
        return [
            ListRecord(topic=each.topic, offset=first + i, key=each.key, value=each.value)
            for i, each in enumerate(outputs)
        ]

    def decide(self, *, now_ms: int) -> None:
        """Close the books, and let the governor decide on what came of them."""
        for partition in sorted(self._waiting):
            self._profile(partition)
        for profiler in self._profilers.values():
            profiler.heartbeat(now_ms=now_ms)
            self._evaluate(profiler)
        said = self._evaluator.outputs
        governor = Harness(lambda: GovernorProcessor(partition=0, settings=self.settings, control=self.control))
        governor.feed(
            [
                ListRecord(topic=each.topic, offset=i, timestamp=now_ms, key=each.key, value=each.value)
                for i, each in enumerate(said)
                if each.topic in {topics.ALERTS.name, topics.EVIDENCE.name}
            ]
        )
        for each in (*said, *governor.outputs):
            if each.topic == topics.ALERTS.name:
                alert = Alert.model_validate_json(each.value or b"")
                self.alerts[alert.alert_id, alert.sequence, alert.status.value] += 1
            elif each.topic == topics.ROLLBACKS.name:
                command = RollbackCommand.model_validate_json(each.value or b"")
                step = (command.model_name, command.from_version, command.state.value, command.reason.refusal)
                self.rollbacks[step] += 1
