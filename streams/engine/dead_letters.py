"""Dead letters on the wire: the original record untouched, its reason in headers, and the way back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from schemas import topics
from streams.engine.errors import RedriveError
from streams.engine.processor import DeadLetter, Output, Record
from streams.engine.topics import TopicNames
from streams.settings import StageName

PREFIX: Final = "plumbline_dlq_"
PROCESSING_ERROR: Final = "processing_error"
_SLACK_BYTES: Final = 65_536
"""Room for our own headers and the framing within the topic's record limit."""
_HEAD_BYTES: Final = 4_096
_MESSAGE_CHARS: Final = 2_000


def to_output(letter: DeadLetter, *, stage: StageName, names: TopicNames) -> Output:
    """Make the dead letter's record.

    Key, value and headers are the original's; a value that does not fit is replaced by its head, with its
    sha256 and size in the headers, and topic, partition and offset point to the whole.
    """
    record = letter.record
    table_name = names.table(record.topic)
    why = [
        ("reason", letter.reason),
        ("message", letter.message[:_MESSAGE_CHARS]),
        ("topic", table_name),
        ("partition", str(record.partition)),
        ("offset", str(record.offset)),
        ("timestamp", str(record.timestamp)),
        ("stage", stage.value),
    ]
    value, headers = record.value, tuple(record.headers)
    room = topics.DEAD_LETTERS.max_message_bytes - _SLACK_BYTES - len(record.key or b"")
    if _size(headers) > room // 2:
        why.append(("dropped_headers", str(len(headers))))
        headers = ()
    if value is not None and len(value) + _size(headers) > room:
        why += [("value_sha256", hashlib.sha256(value).hexdigest()), ("value_bytes", str(len(value)))]
        value = value[:_HEAD_BYTES]
    ours = tuple((PREFIX + name, text.encode("utf-8", "replace")) for name, text in why)
    if value is None and record.key is None:
        value = b""  # a record needs a key or a value
    kept = tuple(header for header in headers if not header[0].startswith(PREFIX))
    return Output(topic=topics.DEAD_LETTERS.name, key=record.key, value=value, headers=kept + ours)


def _size(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name) + len(value or b"") for name, value in headers)


def why(record: Record) -> dict[str, str]:
    """Read our headers of a dead letter: reason, message, topic, partition, offset, timestamp, stage."""
    return {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }


def to_redrive(record: Record) -> Output:
    """Make the record that puts a dead letter back where it came from."""
    reasons = why(record)
    where = f"dead letter at partition {record.partition}, offset {record.offset}"
    if "topic" not in reasons:
        msg = f"{where} has no header {PREFIX}topic: expected the topic to put it back to"
        raise RedriveError(msg)
    for lost in ("value_sha256", "dropped_headers"):
        if lost in reasons:
            msg = (
                f"{where} was too large to be kept whole ({PREFIX}{lost}): read the original at"
                f" {reasons['topic']}, partition {reasons.get('partition')}, offset {reasons.get('offset')}"
            )
            raise RedriveError(msg)
    headers = tuple(header for header in record.headers if not header[0].startswith(PREFIX))
    return Output(topic=reasons["topic"], key=record.key, value=record.value, headers=headers)
