"""Alerts, rollbacks and the records they come in, for the tests of responders, pages and the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.alerts import Alert, AlertEvidence, AlertStatus, Window
from schemas.base import Event, milliseconds
from schemas.rollbacks import (
    Approval,
    RollbackCommand,
    RollbackReason,
    RollbackState,
    RollbackStatus,
    VerificationTerms,
)
from streams.engine.processor import ListRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def alert(status: AlertStatus = AlertStatus.FIRING, *, sequence: int = 1, name: str = "miss", **changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "alert_id": f"alert-{name}",
        "fingerprint": f"fp-{name}",
        "sequence": sequence,
        "status": status,
        "starts_at": NOW - 10 * MINUTE,
        "updated_at": NOW,
        "ends_at": NOW if status is AlertStatus.RESOLVED else None,
        "labels": {
            "alertname": name,
            "severity": "page",
            "environment": "production",
            "model_name": "flight-delay",
            "model_version": "7",
            "segment": "",
        },
        "annotations": {"summary": f"{name} is out of true"},
        "evidence": AlertEvidence(
            detector="e_detector", statistic=25.0, threshold=20.0, window=Window(start=NOW, end=NOW, n=100)
        ),
    }
    return Alert.model_validate({**fields, **changes})


def command(state: RollbackState = RollbackState.APPROVED, **changes: Any) -> RollbackCommand:
    fields: dict[str, Any] = {
        "rollback_id": "rollback-1",
        "idempotency_key": "key-1",
        "model_name": "flight-delay",
        "mode": "auto",
        "state": state,
        "from_version": "8",
        "to_version": "7",
        "expected_current_version": "8",
        "deployment_id": "deployment-8",
        "generation": 2,
        "reason": RollbackReason(summary="misses more"),
        "requested_at": NOW,
        "decided_at": NOW,
        "expires_at": NOW + timedelta(hours=1),
        "approval": Approval(required=False),
        "verification": VerificationTerms(within_seconds=60, min_predictions=10, max_old_version_ratio=0.05),
    }
    return RollbackCommand.model_validate({**fields, **changes})


def status(state: RollbackState, **changes: Any) -> RollbackStatus:
    fields: dict[str, Any] = {
        "rollback_id": "rollback-1",
        "idempotency_key": "key-1",
        "model_name": "flight-delay",
        "state": state,
        "executor": "registry",
        "reported_at": NOW,
    }
    return RollbackStatus.model_validate({**fields, **changes})


def record(topic: str, event: Event, *, offset: int = 0, at: datetime = NOW) -> ListRecord:
    return ListRecord(topic=topic, offset=offset, timestamp=milliseconds(at), key=b"k", value=event.to_bytes())
