"""The audit: every decision as a link of a hash chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from schemas.identifiers import digest
from schemas.incidents import AuditEntry
from streams.governor.state import Ledger


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 of an entry without its own hash; it covers the hash of the one before."""
    return digest(entry.model_dump(mode="json", exclude={"hash"}))


def append(
    ledger: Ledger,
    *,
    environment: str,
    model_name: str,
    actor: str,
    action: str,
    subject: str,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    cause: str = "",
) -> AuditEntry:
    """Make the next entry and move the ledger's tail to it."""
    entry = AuditEntry(
        sequence=ledger.audit_sequence + 1,
        environment=environment,
        model_name=model_name,
        actor=actor,
        action=action,
        subject=subject,
        at=at,
        before=dict(before or {}),
        after=dict(after or {}),
        cause=cause,
        previous_hash=ledger.audit_hash,
    )
    entry = entry.model_copy(update={"hash": entry_hash(entry)})
    ledger.audit_sequence = entry.sequence
    ledger.audit_hash = entry.hash
    return entry


def first_broken_link(entries: Iterable[AuditEntry]) -> int | None:
    """Sequence number of the first entry that does not fit the chain; None where all do."""
    previous: AuditEntry | None = None
    for entry in entries:
        follows = previous is None or (entry.previous_hash == previous.hash and entry.sequence == previous.sequence + 1)
        if not follows or entry.hash != entry_hash(entry):
            return entry.sequence
        previous = entry
    return None
