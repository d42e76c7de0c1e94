"""What surrounds an event: plain JSON, or CloudEvents in binary or structured mode; and the door for other formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from schemas.events import LABEL_TYPE, PREDICTION_TYPE, WATERMARK_TYPE
from streams.engine.processor import Headers, Record
from streams.ingest.rejection import Reason, RejectedError, wrong

STRUCTURED: Final = b"application/cloudevents+json"
_OURS: Final = frozenset({PREDICTION_TYPE, LABEL_TYPE, WATERMARK_TYPE})


@dataclass(frozen=True, slots=True)
class Payload:
    """One event as parsed JSON, and its CloudEvents type where it has one of ours."""

    event: dict[str, Any]
    type: str | None = None


def is_plain(headers: Headers) -> bool:
    """Whether nothing in the headers asks for more than decoding the value as the topic's own event.

    Binary mode is plain too, as long as its type is not another one of ours.
    """
    for name, value in headers:
        if value is None:
            continue
        if len(value) >= len(STRUCTURED) and value[: len(STRUCTURED)].lower() == STRUCTURED:
            return False
        if value.startswith(b"plumbline.") and _normalised(name) == "ce_type":
            return False
    return True


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_")


def payload_of(record: Record) -> Payload:
    """Take the event out of its record.

    Raises
    ------
    RejectedError
        Where there is no JSON object, or a structured CloudEvent is not one.
    """
    value = record.value
    if not value:
        raise RejectedError(Reason.EMPTY_VALUE, "value is empty: expected a JSON object")
    fields = {_normalised(name): content for name, content in record.headers if content is not None}
    if fields.get("content_type", b"").strip().lower().startswith(STRUCTURED):
        return _structured(value)
    return Payload(parse_object(value), _ours(fields.get("ce_type", b"")))


def declared_type(headers: Headers) -> str | None:
    """Return the CloudEvents type that the headers give a record, where it is one of ours."""
    said = {_normalised(name): content for name, content in headers if content is not None}
    return _ours(said.get("ce_type", b""))


def _ours(declared: bytes) -> str | None:
    text = declared.decode("utf-8", "replace")
    return text if text in _OURS else None


def _structured(value: bytes) -> Payload:
    event = parse_object(value)
    if "data" not in event:
        raise RejectedError(Reason.MISSING_FIELD, "data is missing: expected it in a structured CloudEvent")
    if not isinstance(event["data"], dict):
        raise wrong("data", event["data"], "a JSON object")
    declared = event.get("type")
    return Payload(event["data"], declared if isinstance(declared, str) and declared in _OURS else None)


def parse_object(value: bytes) -> dict[str, Any]:
    """Parse a JSON object of UTF-8, slowly and exactly: numbers beyond float64 become infinite, NaN is no JSON.

    Raises
    ------
    RejectedError
        With `not_json`, or with `schema` where it is another kind of JSON.
    """
    try:
        # Decoded here: `json.loads` would guess UTF-16, and let bytes of half a surrogate pair through.
        parsed = json.loads(value.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        head = value[:40].decode("utf-8", "replace")
        message = f"value starts with {head!r}: expected JSON ({error})"
        raise RejectedError(Reason.NOT_JSON, message) from error
    if not isinstance(parsed, dict):
        raise wrong("value", parsed, "a JSON object")
    if b"\\u" in value:
        _check_surrogates(parsed)
    return parsed


def _check_surrogates(parsed: dict[str, Any]) -> None:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        message = "value holds half of a surrogate pair: expected Unicode text"
        raise RejectedError(Reason.NOT_JSON, message) from error


def _no_constant(name: str) -> float:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def expect_type(declared: str | None, expected: str) -> None:
    """Refuse an event of ours on the topic of another."""
    if declared is not None and declared != expected:
        raise wrong("ce_type", declared, expected)


def check_key(key: bytes | None, prediction_id: str) -> None:
    """Refuse a key that is not the prediction_id: the label would be looked for in another partition."""
    if key is None:
        return
    try:
        text = key.decode()
    except UnicodeDecodeError as error:
        raise wrong("key", key, "UTF-8 text", Reason.BAD_KEY) from error
    if text != prediction_id:
        raise wrong("key", text, f"the prediction_id {prediction_id!r}, or none", Reason.BAD_KEY)


SourceFormat = Callable[[Record], Payload]
FORMATS: Final[dict[str, SourceFormat]] = {"plumbline": payload_of}
"""How the records of a source topic become events of ours; a pure function each."""
