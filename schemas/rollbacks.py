"""Rollback commands (`ml.rollbacks.v1`) and what executors answer (`ml.rollback-status.v1`)."""

from __future__ import annotations

import hashlib
import hmac
import json
from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.base import Event, Timestamp
from schemas.events import DEFAULT_ENVIRONMENT

SIGNATURE_HEADER = "plumbline-signature"
KEY_ID_HEADER = "plumbline-key-id"


class RollbackState(StrEnum):
    """The life of a rollback."""

    REFUSED = "refused"
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ACCEPTED = "accepted"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOOP = "noop"
    VERIFIED = "verified"
    INEFFECTIVE = "ineffective"


class Guard(Event):
    """One rule of the policy and what it saw."""

    name: str
    passed: bool
    observed: str
    required: str


class RollbackReason(Event):
    """Why."""

    alert_fingerprints: list[str] = Field(default_factory=list)
    summary: str
    refusal: str = ""
    """The rule that refused, where one did."""


class Approval(Event):
    """Whether a person must agree first."""

    required: bool
    deadline: Timestamp | None = None
    on_timeout: Literal["reject"] = "reject"


class VerificationTerms(Event):
    """When the rollback is held to have helped."""

    within_seconds: float
    min_predictions: int
    max_old_version_ratio: float


class RollbackCommand(Event):
    """A rollback at one point of its life; `state` says which. Executors act on `approved`."""

    rollback_id: str
    idempotency_key: str
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    mode: Literal["dry_run", "approval", "auto"]
    state: RollbackState
    attempt: int = 1
    from_version: str
    to_version: str | None = None
    expected_current_version: str
    deployment_id: str
    generation: int
    reason: RollbackReason
    guards: list[Guard] = Field(default_factory=list)
    requested_at: Timestamp
    """Event time of the evidence."""
    decided_at: Timestamp
    """Event time of this state; for states that executors report, what they report."""
    not_before: Timestamp | None = None
    expires_at: Timestamp | None = None
    """Wall clock."""
    approval: Approval
    verification: VerificationTerms
    actor: str = "plumbline/governor"
    comment: str = ""
    is_drill: bool = False
    """A rehearsal: an executor reads back and checks, answers `noop` or `failed`, and changes nothing."""
    signature: str = ""

    def canonical(self) -> bytes:
        """The bytes that are signed: canonical JSON of everything but the signature."""
        content = self.model_dump(mode="json", exclude={"signature"})
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def signed(self, key: str) -> RollbackCommand:
        """The same command with its HMAC-SHA256 signature."""
        return self.model_copy(update={"signature": sign(key, self.canonical())})

    def is_signed_by(self, key: str) -> bool:
        """Whether the signature is right; compares in constant time."""
        return hmac.compare_digest(self.signature, sign(key, self.canonical()))


class RollbackStatus(Event):
    """What an executor did about a command."""

    rollback_id: str
    idempotency_key: str
    environment: str = DEFAULT_ENVIRONMENT
    model_name: str
    state: RollbackState
    """One of accepted, executing, succeeded, failed, noop."""
    executor: str
    current_version: str | None = None
    """Read back from the serving side."""
    reported_at: Timestamp
    """Event time, as far as the executor knows it."""
    message: str = ""


def sign(key: str, content: bytes) -> str:
    """HMAC-SHA256 in hexadecimal."""
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
