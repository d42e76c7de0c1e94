"""What stands on the topics at the end, as a reader of committed records sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.alerts import Alert
from schemas.identifiers import model_key
from schemas.incidents import AuditEntry
from schemas.profiles import Heartbeat, ProfileDelta, ProfileRecord
from schemas.rollbacks import RollbackCommand
from streams.control import layout as sections
from streams.control.blocks import unpack_blocks
from streams.control.layout import Layout
from streams.control.view import ControlView
from streams.engine.processor import Record

from .oracle import CountKey

DECISIONS: Final = (topics.METRICS.name, topics.ALERTS.name, topics.EVIDENCE.name, topics.ROLLBACKS.name,
                    topics.AUDIT.name, topics.INCIDENTS.name, topics.DEAD_LETTERS.name)  # fmt: skip
READ: Final = (topics.PROFILES.name, *DECISIONS)
_decode = msgspec.msgpack.Decoder(ProfileRecord).decode
AlertStep = tuple[str, int, str]
"""Alert id, sequence, status."""
RollbackStep = tuple[str, str, str, str]
"""Model, version that is left, state, refusal."""
Window = tuple[str, str, str, int]
"""Model, version, kind, start in milliseconds."""


@dataclass(slots=True)
class Observed:
    """Folds the output topics.

    Parameters
    ----------
    control
        Knows the plans, and so where each count sits.
    skips_resent
        Whether a delta that was sent again is skipped by its id, as stage 2 does under at_least_once.
    """

    control: ControlView
    skips_resent: bool
    counts: Counter[CountKey] = field(default_factory=Counter)
    n_resent: int = 0
    """Records that came again under an id that was there already."""
    contradictions: list[str] = field(default_factory=list)
    """Records that came again under the same id with another content, or out of order."""
    alerts: Counter[AlertStep] = field(default_factory=Counter)
    rollbacks: Counter[RollbackStep] = field(default_factory=Counter)
    windows: dict[Window, tuple[int, int, int]] = field(default_factory=dict)
    """Revision, predictions and labels: stage 2's counts."""
    audit: list[AuditEntry] = field(default_factory=list)
    dead_letters: Counter[str] = field(default_factory=Counter)
    heartbeats: dict[int, Heartbeat] = field(default_factory=dict)
    """The last one of each source partition."""
    inexact: int = 0
    """Windows that stage 2 itself marks."""
    _values: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _seq: dict[tuple[str, int], int] = field(default_factory=dict)
    _places: dict[str, dict[int, tuple[str, int]]] = field(default_factory=dict)

    def take(self, topic: str, record: Record) -> None:
        """Fold one record."""
        if self._is_resent(topic, record) and self.skips_resent:
            return
        value = record.value or b""
        if topic == topics.PROFILES.name:
            self._take_profile(_decode(value))
        elif topic == topics.ALERTS.name:
            alert = Alert.model_validate_json(value)
            self.alerts[alert.alert_id, alert.sequence, alert.status.value] += 1
        elif topic == topics.ROLLBACKS.name:
            command = RollbackCommand.model_validate_json(value)
            step = (command.model_name, command.from_version, command.state.value, command.reason.refusal)
            self.rollbacks[step] += 1
        elif topic == topics.METRICS.name:
            self._take_window(msgspec.json.decode(value))
        elif topic == topics.AUDIT.name:
            self.audit.append(AuditEntry.model_validate_json(value))
        elif topic == topics.DEAD_LETTERS.name:
            self.dead_letters[(record.key or b"").decode()] += 1

    def _is_resent(self, topic: str, record: Record) -> bool:
        """Whether a record's id was seen before: a heartbeat has one id on every partition."""
        headers = {name.lower(): value.decode() for name, value in record.headers}
        own = headers.get("ce_id")
        if own is None or topic == topics.DEAD_LETTERS.name:
            # A dead letter keeps the headers of its record; where that stood identifies it.
            own = "/".join(headers.get(f"plumbline_dlq_{name}", "") for name in ("topic", "partition", "offset"))
        if topic == topics.PROFILES.name:
            own = f"{own}@{record.partition}"
        value = record.value or b""
        before = self._values.get((topic, own))
        if before is None:
            self._values[topic, own] = value
            return False
        self.n_resent += 1
        if before != value:
            self.contradictions.append(f"{topic}: id {own} came again with another content")
        return True

    def _take_profile(self, record: ProfileDelta | Heartbeat) -> None:
        if isinstance(record, Heartbeat):
            last = self.heartbeats.get(record.source_partition)
            if last is None or record.seq >= last.seq:
                self.heartbeats[record.source_partition] = record
            return
        source = (model_key(record.environment, record.model_name), record.source_partition)
        if record.seq <= self._seq.get(source, 0):
            self.contradictions.append(f"{source}: seq {record.seq} behind {self._seq[source]}")
        self._seq[source] = record.seq
        for part in record.parts:
            places = self._places_of(part.plan_id)
            for block in unpack_blocks(part.columns):
                for slot, n in zip(block.slots.tolist(), block.counts.tolist(), strict=True):
                    if slot in places:
                        what, bin_ = places[slot]
                        key = (record.model_name, block.model_version, block.segment, block.cell_ms, what, bin_)
                        self.counts[key] += n

    def _places_of(self, plan_id: str) -> dict[int, tuple[str, int]]:
        """What the oracle counts too, by slot: features, predictions, labels and their confusion."""
        if plan_id not in self._places:
            plan = self.control.plan_by_id(plan_id)
            if plan is None:
                msg = f"plan {plan_id} is on ml.profiles.v1: expected one of those that were published"
                raise AssertionError(msg)
            self._places[plan_id] = _places(plan.layout)
        return self._places[plan_id]

    def _take_window(self, value: Mapping[str, Any]) -> None:
        from datetime import datetime

        start = round(datetime.fromisoformat(value["window_start"]).timestamp() * 1000)
        key = (value["model_name"], value["model_version"], value["kind"], start)
        said = (value["revision"], value["n_predictions"], value["n_labels"])
        self.windows[key] = max(said, self.windows.get(key, said))
        self.inexact += bool(value.get("inexact"))

    def has_heard_all(self, n_sources: int, models: tuple[str, ...], not_before_ms: int) -> bool:
        """Whether every source partition has told of the final watermark of every model."""
        return all(
            _is_past(self.heartbeats.get(source), model_key("production", model), not_before_ms)
            for source in range(n_sources)
            for model in models
        )

    def totals(self) -> Counter[str]:
        """The profiler's books, over all source partitions and models."""
        total: Counter[str] = Counter()
        for heartbeat in self.heartbeats.values():
            for of_model in heartbeat.totals.values():
                total.update(of_model)
        return total


def _is_past(heartbeat: Heartbeat | None, key: str, not_before_ms: int) -> bool:
    marks = None if heartbeat is None else heartbeat.watermarks.get(key)
    if marks is None or marks.predictions_ms is None or marks.labels_ms is None:
        return False
    return min(marks.predictions_ms, marks.labels_ms) >= not_before_ms


def _places(layout: Layout) -> dict[int, tuple[str, int]]:
    counted = {sections.N_PREDICTIONS, sections.PREDICTION, sections.N_LABELLED, sections.CONFUSION}
    return {
        layout.offsets[name] + bin_: (name, bin_)
        for name, width in layout
        if name in counted or name.startswith(sections.feature_section(""))
        for bin_ in range(width)
    }
