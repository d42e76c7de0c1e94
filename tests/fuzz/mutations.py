"""A seeded mutator: from a valid record to one that nobody should send."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.fuzz.hostile import HEADERS, JSON_LITERALS, LITERALS, Headers


@dataclass(frozen=True, slots=True)
class Raw:
    """A record before it has an offset."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()


_SCALAR: Final = re.compile(rb':("(?:[^"\\]|\\.)*"|[^,\[\]{}"]+|\{[^{}]*\})')
Mutation = Callable[[random.Random, Raw], Raw]


class Mutator:
    """Breaks records.

    Parameters
    ----------
    seed
        The same seed and the same records give the same mutations.
    max_record_bytes
        The size limit, around which records are padded.
    strangers
        Values of other topics' events.
    intact_ratio
        Share of records that are left as they are.
    """

    def __init__(
        self, seed: int, *, max_record_bytes: int, strangers: Sequence[bytes], intact_ratio: float = 0.4
    ) -> None:
        self.draw = random.Random(seed)
        self._limit = max_record_bytes
        self._strangers = strangers
        self._intact_ratio = intact_ratio

    def __call__(self, record: Raw) -> Raw:
        """Return the record with up to three mutations."""
        if self.draw.random() < self._intact_ratio:
            return record
        for _ in range(self.draw.choice((1, 1, 1, 2, 3))):
            record = self.draw.choices(_MUTATIONS, _WEIGHTS)[0](self, record)
        return record

    def _value(self, record: Raw, change: Callable[[bytes], bytes | None]) -> Raw:
        return record if record.value is None else replace(record, value=change(record.value))

    def flip(self, record: Raw) -> Raw:
        """Some bytes become others."""

        def change(value: bytes) -> bytes:
            out = bytearray(value)
            for _ in range(self.draw.choice((1, 1, 2, 8)) if out else 0):
                out[self.draw.randrange(len(out))] = self.draw.randrange(256)
            return bytes(out)

        return self._value(record, change)

    def cut(self, record: Raw) -> Raw:
        """Truncated, or a stretch taken out, doubled, or the whole doubled."""

        def change(value: bytes) -> bytes:
            a, b = sorted(self.draw.randrange(len(value) + 1) for _ in range(2))
            return self.draw.choice((value[:a], value[b:], value[:a] + value[b:], value[:b] + value[a:], value * 2))

        return self._value(record, change)

    def literal(self, record: Raw) -> Raw:
        """A field holds something else."""

        def change(value: bytes) -> bytes:
            spans = [match.span(1) for match in _SCALAR.finditer(value)]
            if not spans:
                return value
            start, end = self.draw.choice(spans)
            new = self.draw.choice(LITERALS if self.draw.random() < 0.3 else JSON_LITERALS)
            return value[:start] + new + value[end:]

        return self._value(record, change)

    def field(self, record: Raw) -> Raw:
        """A further field, perhaps one that is there already: the object has a key twice."""

        def change(value: bytes) -> bytes:
            name = self.draw.choice(_FIELDS)
            new = b'"' + name + b'":' + self.draw.choice(JSON_LITERALS)
            if self.draw.random() < 0.5 and value.startswith(b"{"):
                return b"{" + new + b"," + value[1:]
            return value[:-1] + b"," + new + b"}"

        return self._value(record, change)

    def rename(self, record: Raw) -> Raw:
        """A field is called otherwise, so that it is missing."""
        old, new = self.draw.choice(_FIELDS), self.draw.choice(_FIELDS)
        return self._value(record, lambda value: value.replace(b'"' + old + b'"', b'"' + new + b'"', 1))

    def name(self, record: Raw) -> Raw:
        """A model, version or label that nobody has heard of: what is kept by name must be bounded."""
        old = self.draw.choice((b'"m"', b'"open"', b'"late"', b'"on"', b'"1"', b'"AA"', b'"production"'))
        new = b'"%x' % self.draw.getrandbits(40) + b"n" * self.draw.choice((0, 0, 100, 130, 1_000)) + b'"'
        return self._value(record, lambda value: value.replace(old, new, 1))

    def encode(self, record: Raw) -> Raw:
        """Another encoding."""

        def change(value: bytes) -> bytes:
            text = value.decode("utf-8", "replace")
            kind = self.draw.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1", "utf-16-le", "gzip", "cp037"))
            return gzip.compress(value) if kind == "gzip" else text.encode(kind, "replace")

        return self._value(record, change)

    def pad(self, record: Raw) -> Raw:
        """Just below, at, and above the size limit; spaces around, inside a text, or as a huge feature."""

        def change(value: bytes) -> bytes:
            missing = self._limit + self.draw.choice((-1, 0, 1, 2)) - len(value)
            if missing < 20:
                return value
            if self.draw.random() < 0.5:
                return value + b" " * missing
            return b'{"pad":"' + b"p" * (missing - 10) + b'",' + value[1:]

        return self._value(record, change)

    def header(self, record: Raw) -> Raw:
        """Headers that say something else."""
        return replace(record, headers=(*record.headers, *self.draw.choice(HEADERS)))

    def structure(self, record: Raw) -> Raw:
        """A structured CloudEvent, with or without what belongs to it."""
        inner = record.value or b"{}"
        kind = self.draw.choice((b'"plumbline.predictions.v1"', b'"plumbline.labels.v1"', b'"x"', b"null", b"[]"))
        body = self.draw.choice(
            (
                b'{"specversion":"1.0","type":' + kind + b',"data":' + inner + b"}",
                b'{"type":' + kind + b"}",
                b'{"data_base64":"e30=","type":' + kind + b"}",
                b'{"data":' + self.draw.choice(LITERALS) + b"}",
                b'{"data":' * 3 + inner + b"}" * 3,
            )
        )
        return replace(record, value=body, headers=(*record.headers, ("content-type", b"application/cloudevents+json")))

    def key(self, record: Raw) -> Raw:
        """A key of another event, or none that could be one."""
        keys = (None, b"", b"\xff\xfe", b"other", (record.key or b"") + b" ", b"k" * 5_000, b"\x00")
        return replace(record, key=self.draw.choice(keys))

    def nothing(self, record: Raw) -> Raw:
        """No value, an empty one, or one that is no object."""
        return replace(record, value=self.draw.choice((None, b"", b" ", b"{}", b"[]", *LITERALS)))

    def stranger(self, record: Raw) -> Raw:
        """The event of another topic."""
        return replace(record, value=self.draw.choice(self._strangers))

    def binary(self, record: Raw) -> Raw:
        """Noise."""
        return replace(record, value=self.draw.randbytes(self.draw.choice((1, 10, 100, 1_000))))

    def stamp(self, record: Raw) -> Raw:
        """The broker's clock is elsewhere."""
        hour = 3_600_000
        return replace(record, timestamp=self.draw.choice((record.timestamp - 900 * hour, record.timestamp - hour)))

    def mark(self, record: Raw) -> Raw:
        """A watermark event, right or wrong."""
        at = record.timestamp // 1000 + self.draw.choice((-90_000, -60, 0, 200))
        value = b'{"model_name":"m","not_before":%d}' % at
        if self.draw.random() < 0.5:
            value = value.replace(b"%d" % at, self.draw.choice(LITERALS))
        return replace(record, key=None, value=value, headers=(("ce_type", b"plumbline.watermark.v1"),))


_FIELDS: Final = (
    b"prediction_id", b"model_name", b"model_version", b"prediction_timestamp", b"label_timestamp", b"environment",
    b"prediction_label", b"prediction_value", b"prediction_score", b"actual_label", b"actual_value", b"revision",
    b"retracted", b"features", b"tags", b"shap_values", b"latency_seconds", b"cost_usd", b"error", b"variant",
    b"backfill", b"not_before", b"x", b"kind", b"carrier", b"sex", b"data", b"type", b"unknown", b"",
)  # fmt: skip
_WEIGHTED: Final[tuple[tuple[Callable[[Mutator, Raw], Raw], int], ...]] = (
    (Mutator.flip, 8), (Mutator.cut, 5), (Mutator.literal, 40), (Mutator.field, 14), (Mutator.rename, 4),
    (Mutator.name, 6), (Mutator.encode, 3), (Mutator.pad, 3), (Mutator.header, 8), (Mutator.structure, 3),
    (Mutator.key, 4), (Mutator.nothing, 3), (Mutator.stranger, 2), (Mutator.binary, 2), (Mutator.stamp, 2),
    (Mutator.mark, 1),
)  # fmt: skip
_MUTATIONS: Final = tuple(mutation for mutation, _ in _WEIGHTED)
_WEIGHTS: Final = tuple(weight for _, weight in _WEIGHTED)
