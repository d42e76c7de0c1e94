"""Raw JSON values that break parsers, and headers that break envelopes."""

from __future__ import annotations

import json
from typing import Final

Headers = tuple[tuple[str, bytes | None], ...]

LITERALS: Final = (
    b"null", b"true", b"false", b"0", b"-0", b"-0.0", b"-1", b"1e308", b"-1e308", b"1e400", b"-1e400", b"1e-400",
    b"0.1", b"NaN", b"Infinity", b"-Infinity", b"nan", b"1_000", b"0x10", b"01", b"+1", b".5", b"5.", b"1e", b"--1",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400, b"1" * 5000,
    b"1700000000", b"1700000000000", b"253402300800", b"253402300799.9999", b"-62135596800",
    b'""', b'" "', b'"late"', b'"production"', b'"a/b"', b'"../../etc"', b'"__other__"', b'"__all__"', b'"*"',
    b'"2024-01-01T00:00:00Z"', b'"2024-01-01T00:00:00"', b'"0001-01-01T00:00:00+23:59"',
    b'"9999-12-31T23:59:59-23:59"',
    b'"2024-02-30T00:00:00Z"', b'"\\ud800"', b'"\\udc80\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\x00"',
    b'"\x1b[31m"',
    b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\x80"', "\"\u202e\u0301\ufeff\"".encode(), b'"' + b"x" * 300 + b'"',
    b'"' + b"y" * 3_000 + b'"', b'"' + "\U0001f600".encode() * 200 + b'"', b"[]", b"{}", b"[[]]", b"[1,2,3]",
    b'{"a":1}',
    b'{"a":{"b":{"c":[]}}}', b"[" * 60 + b"]" * 60, b"[" * 1_500 + b"]" * 1_500, b'{"a":' * 1_200 + b"1" + b"}" * 1_200,
    b'{"late":0.5,"on":0.5}', b'{"late":"x"}', b'{"late":1e400}', b'"undefined"', b"undefined", b"'single'", b"",
)  # fmt: skip
"""What may stand in the place of a value; some of it is no JSON."""


def _is_json(literal: bytes) -> bool:
    try:
        json.loads(literal.decode())
    except (ValueError, RecursionError):
        return False
    return True


JSON_LITERALS: Final = tuple(literal for literal in LITERALS if _is_json(literal))
"""Those that are JSON, as Python reads it."""

_TYPES: Final = (
    b"plumbline.predictions.v1", b"plumbline.labels.v1", b"plumbline.watermark.v1", b"plumbline.profiles.v1",
    b"PLUMBLINE.LABELS.V1", b"plumbline.", b"", b"\xff\xfe", b"x" * 2_000, b"plumbline.labels.v1 ",
)  # fmt: skip
_NAMES: Final = ("ce_type", "ce-type", "CE_TYPE", "Ce-Type", "ce_Type")
_CONTENT: Final = (
    b"application/cloudevents+json", b"APPLICATION/CLOUDEVENTS+JSON; charset=utf-8",
    b" application/cloudevents+json",
    b"application/cloudevents+jsonx", b"application/cloudevents-batch+json", b"application/json",
    b"application/msgpack",
    b"text/plain; charset=utf-16", b"\xff", b"application/vnd.apache.arrow.stream",
    b"application/vnd.apache.arrow.file",
)  # fmt: skip

HEADERS: Final[tuple[Headers, ...]] = (
    *(((name, kind),) for name in _NAMES for kind in _TYPES),
    *((("content-type", content),) for content in _CONTENT),
    *((("Content_Type", content), ("ce_id", b"1")) for content in _CONTENT),
    (("ce_type", None),),
    (("content-type", None), ("ce_type", b"plumbline.labels.v1")),
    (("ce_type", b"plumbline.labels.v1"), ("ce_type", b"plumbline.predictions.v1")),
    (("ce_type", b"plumbline.predictions.v1"), ("ce-type", b"plumbline.watermark.v1")),
    (("", b""), ("", None)),
    (("plumbline_dlq_reason", b"schema"), ("plumbline_dlq_topic", b"ml.rollbacks.v1")),
    (("traceparent", b"00-" + b"f" * 32), ("\u202e", b"\x00" * 100)),
    tuple((f"h{i}", b"v" * 20) for i in range(200)),
    (("ce_specversion", b"9.9"), ("ce_id", b""), ("ce_source", b"\xff"), ("ce_time", b"yesterday")),
)
