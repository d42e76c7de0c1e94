"""Why a record cannot be read: a few fixed words, and a message for a person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SHOWN_CHARS: Final = 60


class Reason(StrEnum):
    """Reasons of dead letters; each labels a metric."""

    NOT_JSON = "not_json"
    SCHEMA = "schema"
    MISSING_FIELD = "missing_field"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    TOO_LARGE = "too_large"
    EMPTY_VALUE = "empty_value"
    BAD_KEY = "bad_key"
    TOO_MANY_MODELS = "too_many_models"
    UNSUPPORTED_FORMAT = "unsupported_format"
    BAD_BATCH = "bad_batch"
    WRONG_PARTITION = "wrong_partition"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is none of ours; `model_key` where it could still be told whose it was meant to be."""

    reason: Reason
    message: str
    model_key: str | None = None


class RejectedError(Exception):
    """Raised on the way of one broken record, and caught where the record is known."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def rejection(self, model_key: str | None = None) -> Rejection:
        """Return it as data."""
        return Rejection(self.reason, self.message, model_key)


def shown(value: object) -> str:
    """Write a value into a message, shortened."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def wrong(field: str, value: object, expected: str, reason: Reason = Reason.SCHEMA) -> RejectedError:
    """Name field, value and expectation."""
    return RejectedError(reason, f"{field} = {shown(value)}: expected {expected}")
