"""Signatures of what leaves over HTTP: HMAC-SHA256 over the body, and which key it was."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping

from schemas.rollbacks import KEY_ID_HEADER, SIGNATURE_HEADER, RollbackCommand, sign


def key_id(key: str) -> str:
    """Name a key without giving it away, so that a receiver knows which of several to check with."""
    return hashlib.sha256(b"plumbline key id\0" + key.encode()).hexdigest()[:16]


def body_of(command: RollbackCommand) -> bytes:
    """Return a command as canonical JSON, the governor's own signature included: these bytes are signed and sent."""
    content = command.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signature_headers(key: str, body: bytes) -> dict[str, str]:
    """Return the headers that go with a signed body."""
    return {SIGNATURE_HEADER: sign(key, body), KEY_ID_HEADER: key_id(key)}


def is_authentic(key: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Tell a receiver whether a body came from who holds the key; header names in any case.

    The bytes as they were received are checked: a receiver must not parse and write them again first.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    return hmac.compare_digest(lowered.get(SIGNATURE_HEADER, "").encode(), sign(key, body).encode())
