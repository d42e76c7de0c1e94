"""What both readers share: the pass over a chunk of records, and where each record went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np

from schemas.events import DEFAULT_ENVIRONMENT, WATERMARK_TYPE
from streams.engine.partitioning import PARTITIONERS
from streams.engine.processor import Record
from streams.ingest.arrow import UnevenError, end_ids, open_batch
from streams.ingest.envelope import FORMATS, check_key, declared_type, expect_type, is_plain
from streams.ingest.models import ModelNames, Models
from streams.ingest.rejection import Reason, RejectedError, Rejection, shown, wrong
from streams.ingest.values import LATEST_MS, UNKNOWN_MS, Int64, timestamps_ms
from streams.settings import IngestSettings

_BAD: Final = (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Mark:
    """A watermark event: nothing before `not_before_ms` follows in this partition."""

    model_key: str
    order: int
    not_before_ms: int


@dataclass(slots=True)
class Sorted:
    """Where the records of a chunk went, apart from the columns."""

    marks: list[Mark] = field(default_factory=list)
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    n_rows: int = 0
    """Events that were read, of whatever kind: one for each record, or each row of a batch."""

    def reject(self, record: Record, error: RejectedError, model_key: str | None = None) -> None:
        """Set a record aside."""
        self.rejected.append((record, error.rejection(model_key)))


class ChunkReader:
    """Decodes a chunk at full speed, and takes the slow way for single records that ask for it.

    Parameters
    ----------
    settings, models
        Bounds, and the models that are followed.
    event_type
        CloudEvents type of the topic's own event.
    n_partitions
        Of the topic; where it is given, batches are checked to lie in their rows' partition.
    """

    def __init__(
        self, settings: IngestSettings, models: Models, event_type: str, *, n_partitions: int | None = None
    ) -> None:
        self.settings = settings
        self._n_partitions = n_partitions
        self.models = models
        self._type = event_type
        self._format = FORMATS["plumbline"]
        self._skew_ms = round(settings.max_future_skew_seconds * 1000)

    def decode(
        self,
        records: Sequence[Record],
        decoder: Callable[[], Callable[[bytes], Any]],
        slow: Callable[[int, dict[str, Any]], Any],
        sorted_: Sorted,
        base: int,
    ) -> tuple[list[Any], bool]:
        """Return an event per record, None for those that are none, and whether every one took the fast way.

        Parameters
        ----------
        records
            The chunk.
        decoder
            Gives the fast way, which may raise for whatever it does not like; asked again after every slow record.
        slow
            The slow way, from the record's place and its parsed JSON; raises `RejectedError`.
        sorted_
            Takes watermark events and rejections.
        base
            Order of the first record.
        """
        out: list[Any] = []
        complete = True
        rest = iter(self._values(records))
        while True:
            try:
                out.extend(map(decoder(), rest))
                break
            except _BAD:
                i = len(out)
                out.append(self._slowly(records[i], i, slow, sorted_, base + i))
                complete = False
        return out, complete

    def _values(self, records: Sequence[Record]) -> list[bytes]:
        """Values for the fast way; what has to take the slow one is replaced by what is no JSON."""
        limit = self.settings.max_record_bytes
        found = [record.value for record in records]
        try:
            fits = max(map(len, found)) <= limit  # type: ignore[arg-type]
        except TypeError:  # there is a None among them
            fits = False
        values = found if fits else [value if value and len(value) <= limit else b"" for value in found]
        if any([record.headers for record in records]):  # noqa: C419 - a list is quicker than a generator here
            for i, record in enumerate(records):
                if record.headers and not is_plain(record.headers):
                    values[i] = b""
        return values  # type: ignore[return-value]

    def _slowly(
        self, record: Record, i: int, slow: Callable[[int, dict[str, Any]], Any], sorted_: Sorted, order: int
    ) -> Any:
        parsed: dict[str, Any] = {}
        try:
            if record.value is not None and len(record.value) > self.settings.max_record_bytes:
                expected = f"at most {self.settings.max_record_bytes} bytes (ingest.max_record_bytes)"
                raise RejectedError(Reason.TOO_LARGE, f"value has {len(record.value)} bytes: expected {expected}")
            payload = self._format(record)
            parsed = payload.event
            if payload.type == WATERMARK_TYPE:
                sorted_.marks.append(self._mark(record, parsed, order))
                return None
            expect_type(payload.type, self._type)
            return slow(i, parsed)
        except RejectedError as error:
            model_name, environment = parsed.get("model_name"), parsed.get("environment", DEFAULT_ENVIRONMENT)
            too_many = error.reason is Reason.TOO_MANY_MODELS
            sorted_.reject(record, error, None if too_many else self.models.attributed(environment, model_name))
            return None

    def _mark(self, record: Record, parsed: dict[str, Any], order: int) -> Mark:
        require(parsed, ("model_name", "not_before"))
        environment = text_of(parsed, "environment", DEFAULT_ENVIRONMENT)
        not_before = time_of(parsed, "not_before")
        names = self.models.follow(environment, text_of(parsed, "model_name"))
        (at,) = timestamps_ms([not_before]).tolist()
        if at == UNKNOWN_MS:
            raise wrong("not_before", parsed["not_before"], "seconds since 1970, or RFC 3339", Reason.BAD_TIMESTAMP)
        if record.timestamp > 0 and at > record.timestamp + self._skew_ms:  # every event after it would be late
            raise self._ahead("not_before", parsed["not_before"], at - record.timestamp)
        return Mark(names.key, order, at)

    def admitted(
        self, records: Sequence[Record], ids: Sequence[bytes], times: Int64, field_name: str, events: Sequence[Any],
        names: ModelNames, sorted_: Sorted,
    ) -> Int64:  # fmt: skip
        """Rows that pass the checks of key and time; the others are rejected.

        Parameters
        ----------
        records, events
            Of one model.
        ids
            The events' prediction_ids, UTF-8.
        times
            Shape (n,), milliseconds, from the field of this name.
        field_name, names
            For the rejections.
        sorted_
            Takes them.
        """
        appended = [record.timestamp for record in records]
        keys = [record.key for record in records]
        oldest = min(appended)
        if keys == ids and oldest > 0 and int(times.min()) >= 0 and int(times.max()) <= oldest + self._skew_ms:
            return np.arange(len(times))
        arrived = np.fromiter(appended, dtype=np.int64, count=len(records))
        bad = ((times > arrived + self._skew_ms) & (arrived > 0)) | (times == UNKNOWN_MS)
        for i, record in enumerate(records):
            try:
                if keys[i] != ids[i]:
                    check_key(record.key, events[i].prediction_id)
                if bad[i]:
                    raise self._time_error(record, field_name, events[i], int(times[i]))
            except RejectedError as error:
                sorted_.reject(record, error, names.key)
                bad[i] = True
        return np.flatnonzero(~bad)

    def check_times(self, record: Record, times: Int64) -> None:
        """Raise `UnevenError` where a row of a batch has no time, or one that is not to be."""
        latest = record.timestamp + self._skew_ms if record.timestamp > 0 else LATEST_MS
        if times.min() < 0 or times.max() > latest:
            raise UnevenError

    def open_batch(self, record: Record) -> Any:
        """Open a record of many rows, whichever way they are read then.

        Returns
        -------
        pyarrow.Table
            As of `streams.ingest.arrow.open_batch`.

        Raises
        ------
        RejectedError
            Where it cannot be opened, its `ce_type` is another one of ours, or its ends belong to another partition.
        """
        expect_type(declared_type(record.headers), self._type)
        table = open_batch(record, self.settings)
        self._check_partition(record, end_ids(table))
        return table

    def _check_partition(self, record: Record, ids: Sequence[bytes]) -> None:
        """Raise `RejectedError` where the ends of a batch belong to another partition: no label would find them."""
        if self._n_partitions is None or not ids:
            return
        for partitioner in PARTITIONERS.values():
            if all(partitioner(id_, self._n_partitions) == record.partition for id_ in (ids[0], ids[-1])):
                return
        expected = f"only rows of partition {record.partition} of {self._n_partitions}, by murmur2 or crc32"
        raise wrong("prediction_id", ids[0].decode(), expected, Reason.WRONG_PARTITION)

    def _time_error(self, record: Record, field_name: str, event: Any, time_ms: int) -> RejectedError:
        value = getattr(event, field_name)
        if isinstance(value, datetime):
            value = value.isoformat()
        if time_ms == UNKNOWN_MS:
            return wrong(field_name, value, "seconds since 1970 (not milliseconds), or RFC 3339", Reason.BAD_TIMESTAMP)
        return self._ahead(field_name, value, time_ms - record.timestamp)

    def _ahead(self, field_name: str, value: Any, by_ms: int) -> RejectedError:
        most = f"at most {self.settings.max_future_skew_seconds:g} s ahead of the append time"
        return wrong(field_name, value, f"{most}, not {by_ms / 1000:.0f} s", Reason.FUTURE_TIMESTAMP)


def require(parsed: dict[str, Any], names: Iterable[str]) -> None:
    """Refuse an object that lacks a field, or holds null or an empty text in its place."""
    for name in names:
        if parsed.get(name) is None or parsed[name] == "":
            raise RejectedError(Reason.MISSING_FIELD, f"{name} is missing: expected it in every event of this topic")


def text_of(parsed: dict[str, Any], name: str, default: str = "") -> str:
    """A text field; the default where it is missing or null."""
    value = parsed.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a text that is not empty")
    return value


_TIME_EXPECTED: Final = "seconds since 1970, or RFC 3339 with a zone such as 2026-01-31T12:00:00Z"


def time_of(parsed: dict[str, Any], name: str) -> float | datetime:
    """A time field."""
    value = parsed[name]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong(name, value, _TIME_EXPECTED, Reason.BAD_TIMESTAMP)
    if not isinstance(value, str):
        try:
            return float(value)
        except OverflowError as error:
            raise wrong(name, value, _TIME_EXPECTED, Reason.BAD_TIMESTAMP) from error
    try:
        at = msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        raise wrong(name, value, _TIME_EXPECTED, Reason.BAD_TIMESTAMP) from error
    if at.tzinfo is None:
        message = f"{name} = {shown(value)} has no zone: expected {_TIME_EXPECTED}"
        raise RejectedError(Reason.BAD_TIMESTAMP, message)
    return at
