"""A monitor of a few lines in place of broker and worker: enough to close the loop around the simulator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from demo.bad_input import BadRecord
from schemas import topics
from schemas.alerts import Alert, AlertEvidence, AlertSeries, AlertStatus, Window
from schemas.base import from_milliseconds, milliseconds
from schemas.evidence import RollbackEvidence
from schemas.metrics import Companion, SeriesVerdict, WindowMetrics
from schemas.profiles import Totals
from schemas.rollbacks import (
    Approval,
    RollbackCommand,
    RollbackReason,
    RollbackState,
    RollbackStatus,
    VerificationTerms,
)
from streams.engine.processor import ListRecord, Output, Record

CELL = timedelta(hours=6)
MATURITY = timedelta(hours=12)
KEY = "key"


class FakeWire:
    """Takes what the simulator sends; orders a rollback of v2 once enough of its late flights were missed."""

    def __init__(self, *, limit: float = 0.6, drop: int = 0) -> None:
        self.now: Callable[[], datetime] = lambda: from_milliseconds(0)
        self.sent: list[Output] = []
        self.totals: defaultdict[str, int] = defaultdict(int)
        self.n_settled = 0
        self._limit = limit
        self._drop = drop
        self._predictions: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, dict[str, Any]] = {}
        self._out: list[tuple[str, Record]] = []
        self._command: RollbackCommand | None = None
        self._succeeded: datetime | None = None
        self._cells: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        self._new: list[dict[str, Any]] = []

    async def send(self, outputs: Iterable[Output]) -> int:
        outputs = list(outputs)
        self.sent += outputs
        for output in outputs:
            if output.topic == topics.PREDICTIONS.name:
                self._take(output, self._predictions, "predictions")
            elif output.topic == topics.LABELS.name:
                self._take(output, self._labels, "labels")
            elif output.topic == topics.ROLLBACK_STATUS.name:
                status = RollbackStatus.model_validate_json(output.value or b"")
                self._say(topics.ROLLBACK_STATUS.name, output.value)
                if status.state is RollbackState.SUCCEEDED:
                    self._succeeded = status.reported_at
        return len(outputs)

    def see(self, now_ms: int) -> None:
        """It has the simulator's clock."""

    async def pause(self, seconds: float) -> None:
        """Nothing waits for the wall clock here."""

    async def send_bad(self, records: Iterable[BadRecord]) -> list[BadRecord]:
        taken = list(records)
        for bad in taken:
            self.totals["predictions_dead" if bad.topic == topics.PREDICTIONS.name else "labels_dead"] += 1
            headers = [("plumbline_dlq_reason", b"unreadable"), ("plumbline_dlq_topic", bad.topic.encode())]
            record = ListRecord(
                topic=topics.DEAD_LETTERS.name, key=bad.output.key, value=bad.output.value, headers=headers
            )
            self._out.append((topics.DEAD_LETTERS.name, record))
        return taken

    def _take(self, output: Output, into: dict[str, dict[str, Any]], kind: str) -> None:
        fields = msgspec.json.decode(output.value or b"")
        if fields["prediction_id"] in into:
            self.totals[f"{kind}_duplicate"] += 1
        into[fields["prediction_id"]] = fields
        if kind == "predictions":
            start = int(fields["prediction_timestamp"] * 1000) // milliseconds(CELL) * milliseconds(CELL)
            self._cells[fields["model_version"], start].append(fields)

    async def settle(self) -> list[tuple[str, Record]]:
        self.n_settled += 1
        self._decide(self.now())
        out, self._out = self._out, []
        return out

    def _decide(self, now: datetime) -> None:
        self._close_windows(now)
        late = [p for p in self._new if self._labels.get(p["prediction_id"], {}).get("actual_label") == "late"]
        missed = sum(p["prediction_label"] == "on_time" for p in late)
        if self._command is None and len(late) >= 100 and missed / len(late) > self._limit:
            self._order(now, len(late))
        elif self._command is not None and self._succeeded and now >= self._succeeded + timedelta(days=1):
            verified = self._command.model_copy(update={"state": RollbackState.VERIFIED, "decided_at": now})
            self._say(topics.ROLLBACKS.name, verified.to_bytes())
            self._succeeded = None

    def _order(self, now: datetime, n: int) -> None:
        self._say(topics.ALERTS.name, make_alert(now, n).to_bytes())
        self._command = make_command(now)
        self._say(topics.EVIDENCE.name, make_evidence(now, n).to_bytes())
        requested = self._command.model_copy(update={"state": RollbackState.REQUESTED})
        self._say(topics.ROLLBACKS.name, requested.to_bytes())
        self._say(topics.ROLLBACKS.name, self._command.to_bytes())

    def _close_windows(self, now: datetime) -> None:
        ripe = [key for key in self._cells if from_milliseconds(key[1]) + CELL + MATURITY <= now]
        for key in sorted(ripe, key=lambda key: (key[1], key[0])):
            rows = self._cells.pop(key)
            self._new += rows if key[0] == "v2" else []
            self._say(topics.METRICS.name, self._window(key, rows).to_bytes())

    def _window(self, key: tuple[str, int], rows: list[dict[str, Any]]) -> WindowMetrics:
        late = [p for p in rows if self._labels.get(p["prediction_id"], {}).get("actual_label") == "late"]
        miss = sum(p["prediction_label"] == "on_time" for p in late) / len(late) if late else None
        verdict = SeriesVerdict(
            monitor_id="feature_drift", signal="feature_drift", feature="dep_delay", status="stable",
            statistic=5000.0 if key[0] == "v2" else 3.0, threshold=960.0, n=len(rows),
            companions=[Companion(name="hellinger", value=0.9 if key[0] == "v2" else 0.1, threshold=0.3)],
        )  # fmt: skip
        return WindowMetrics(
            model_name="flight-delay", model_version=key[0], kind="outcomes",
            window_start=from_milliseconds(key[1]), window_end=from_milliseconds(key[1]) + CELL,
            n_predictions=len(rows), n_labels=len(rows), values={"miss_rate": miss}, verdicts=[verdict],
        )  # fmt: skip

    def _say(self, topic: str, value: bytes | None) -> None:
        self._out.append((topic, ListRecord(topic=topic, key=KEY.encode(), value=value)))

    async def close_books(self, final: Iterable[Output], *, not_before_ms: int, keys: Sequence[str]) -> dict[str, int]:
        await self.send([each for each in final if each.topic not in {topics.PREDICTIONS.name, topics.LABELS.name}])
        joined = len(self._predictions.keys() & self._labels.keys())
        totals = dict.fromkeys((*Totals.PREDICTION_OUTCOMES, *Totals.LABEL_OUTCOMES), 0)
        totals |= {
            "predictions_joined": joined - self._drop,
            "predictions_expired": len(self._predictions) - joined,
            "labels_joined": joined,
            "labels_orphan": len(self._labels) - joined,
        }
        return {name: count + self.totals.get(name, 0) for name, count in totals.items()}


def make_command(now: datetime, **changes: Any) -> RollbackCommand:
    fields: dict[str, Any] = {
        "rollback_id": "rollback-1", "idempotency_key": "once", "model_name": "flight-delay", "mode": "auto",
        "state": RollbackState.APPROVED, "from_version": "v2", "to_version": "v1", "expected_current_version": "v2",
        "deployment_id": "flight-delay-2-v2", "generation": 2, "reason": RollbackReason(summary="miss rate .97 > .41"),
        "requested_at": now, "decided_at": now, "approval": Approval(required=False),
        "verification": VerificationTerms(within_seconds=604_800, min_predictions=100, max_old_version_ratio=0.05),
    }  # fmt: skip
    return RollbackCommand(**{**fields, **changes})


def make_alert(now: datetime, n: int, version: str = "v2", severity: str = "page") -> Alert:
    labels = {"alertname": "MissRate", "severity": severity, "model_version": version, "owner": "flight-ml"}
    return Alert(
        alert_id=f"alert-{version}-{now:%s}", fingerprint="f", sequence=1, status=AlertStatus.FIRING, starts_at=now,
        updated_at=now, labels=labels, annotations={"summary": "miss rate 97 %, was 31 %"},
        evidence=AlertEvidence(
            detector="e_detector", statistic=4_100.0, threshold=960.0,
            window=Window(start=now - CELL, end=now, n=n), label_coverage_ratio=0.99,
            series=[AlertSeries(segment="__all__", statistic=4_100.0, share_ratio=1, value=0.97, reference_value=0.31)],
        ),
    )  # fmt: skip


def make_evidence(now: datetime, n: int) -> RollbackEvidence:
    return RollbackEvidence(
        model_name="flight-delay", deployment_id="flight-delay-2-v2", generation=2, model_version="v2",
        deployed_at=now - timedelta(days=1), signal="miss_rate", as_of=now, e_value=1e5, threshold=1000, m0=0.41, n=n,
        n_bad=n, min_samples=100,
    )  # fmt: skip
