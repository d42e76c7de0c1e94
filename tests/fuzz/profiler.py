"""Stage 1 under fire: every record is accounted for, and what is kept stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import msgspec
import psutil

from schemas import topics
from schemas.profiles import Heartbeat, ProfileRecord, Totals
from streams.engine.changelog import change_records
from streams.engine.dead_letters import to_output
from streams.engine.harness import Harness
from streams.engine.names import TopicNames
from streams.engine.processor import ListRecord, Output
from streams.engine.topics import CHANGELOG_MAX_BYTES
from streams.profiler.processor import ProfilerProcessor
from streams.settings import IngestSettings, Settings, StageName
from tests.fuzz import valid
from tests.fuzz.mutations import Mutator, Raw

MAX_RECORD_BYTES: Final = 20_000
MAX_MODELS: Final = 60
MAX_GROWTH_BYTES: Final = 150_000_000
"""Of resident memory over a run: rows of three hours, and all the names that 60 models may have."""
BATCH: Final = 1_000
_STRUCTURED: Final = b"application/cloudevents+json"
_MARK: Final = b"plumbline.watermark.v1"
_MAX_BYTES: Final = {topic.name: topic.max_message_bytes for topic in topics.TOPICS}


class UnaccountedError(AssertionError):
    """A record is missing from the sums, or a bound does not hold; the message has seed and batch."""


@dataclass
class Figures:
    """What a run saw."""

    n_records: int = 0
    n_dead: int = 0
    n_restarts: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    n_models: int = 0
    largest_output_bytes: int = 0
    largest_change_bytes: int = 0
    changelog_bytes: int = 0
    resident_bytes: list[int] = field(default_factory=list)
    """At equal distances over the run."""


def settings() -> Settings:
    """Tight bounds, so that they are reached."""
    return Settings(ingest=IngestSettings(max_record_bytes=MAX_RECORD_BYTES, max_models=MAX_MODELS))


class Run:
    """Feeds mutated records to a ProfilerProcessor, and checks the sums after every batch.

    Parameters
    ----------
    seed
        Of records and mutations.
    restart_every
        Batches between two restarts from the changelog.
    """

    def __init__(self, seed: int, *, restart_every: int = 25) -> None:
        self._seed = seed
        self._restart_every = restart_every
        view, chosen = valid.control(), settings()
        self._names = TopicNames(chosen)
        self._harness = Harness(lambda: ProfilerProcessor(partition=0, settings=chosen, control=view))
        self._offsets: dict[str, int] = {}
        self._sent = {Totals.PREDICTIONS: 0, Totals.LABELS: 0}
        self._marks = {Totals.PREDICTIONS: 0, Totals.LABELS: 0}
        self.figures = Figures()

    def feed(self, n_records: int) -> Figures:
        """Run so many records through.

        Raises
        ------
        UnaccountedError
            Where a sum or a bound does not hold.
        """
        mutate = Mutator(self._seed, max_record_bytes=MAX_RECORD_BYTES, strangers=valid.STRANGERS)
        source = map(mutate, valid.records(self._seed, n_records))
        n_batches = -(-n_records // BATCH)
        for number in range(1, n_batches + 1):
            self._batch(source, number)
            if number % self._restart_every == 0:
                self._harness.restart()
                self.figures.n_restarts += 1
                self._check_sums(number)
            if number % max(1, n_batches // 10) == 0:
                self.figures.resident_bytes.append(psutil.Process().memory_info().rss)
        resident = self.figures.resident_bytes
        grown = resident[-1] - resident[0]
        self._expect(grown < MAX_GROWTH_BYTES, n_batches, f"resident memory grew by {grown} bytes")
        return self.figures

    def _batch(self, source: Iterator[Raw], number: int) -> None:
        batch = [self._record(raw) for raw in islice(source, BATCH)]
        # As from a broker: chunks of one topic; every other batch with a change of topic after each record.
        self._harness.add(batch if number % 4 == 0 else sorted(batch, key=lambda record: record.topic))
        staged = self._harness.commit(caught_up=number % 3 == 0)
        dead = {(letter.record.topic, letter.record.offset) for letter in staged.dead_letters}
        self._expect(len(dead) == len(staged.dead_letters), number, "a record is two dead letters")
        for record in batch:
            kind = _kind(record.topic)
            self._sent[kind] += 1
            # A watermark event that can be read is no event of its topic; where it cannot, it is a dead letter.
            if says_watermark(record) and (record.topic, record.offset) not in dead:
                self._marks[kind] += 1
        self.figures.n_records += len(batch)
        self.figures.n_dead += len(dead)
        for letter in staged.dead_letters:
            self.figures.reasons[letter.reason] = self.figures.reasons.get(letter.reason, 0) + 1
        letters = [to_output(letter, stage=StageName.PROFILER, names=self._names) for letter in staged.dead_letters]
        self._check_sizes([*staged.outputs, *letters], number)
        change_records(staged.changes, max_bytes=CHANGELOG_MAX_BYTES)  # raises where one is too large
        sizes = [len(change.value) for change in staged.changes if change.value is not None]
        self.figures.largest_change_bytes = max([self.figures.largest_change_bytes, *sizes])
        if number % 5 == 0:
            self._check_sums(number)
        self._forget()

    def _record(self, raw: Raw) -> ListRecord:
        offset = self._offsets[raw.topic] = self._offsets.get(raw.topic, -1) + 1
        return ListRecord(
            topic=raw.topic, offset=offset, timestamp=raw.timestamp, key=raw.key, value=raw.value, headers=raw.headers  # type: ignore[arg-type]
        )  # fmt: skip

    def _check_sizes(self, outputs: list[Output], number: int) -> None:
        for output in outputs:
            size = len(output.value or b"") + len(output.key or b"")
            size += sum(
                len(name.encode("utf-8", "surrogatepass")) + len(value or b"") for name, value in output.headers
            )
            self.figures.largest_output_bytes = max(self.figures.largest_output_bytes, size)
            self._expect(size < _MAX_BYTES[output.topic], number, f"{output.topic} would get {size} bytes")

    def _check_sums(self, number: int) -> None:
        staged = self._harness.heartbeat()
        beat: Any = msgspec.msgpack.decode(staged.outputs[-1].value or b"", type=ProfileRecord)
        self._expect(isinstance(beat, Heartbeat), number, "no heartbeat")
        total: dict[str, int] = {}
        for key, said in beat.totals.items():
            for whole, parts in (
                (Totals.PREDICTIONS, Totals.PREDICTION_OUTCOMES),
                (Totals.LABELS, Totals.LABEL_OUTCOMES),
            ):
                self._expect(
                    said[whole] == sum(said[p] for p in parts), number, f"the sum of {whole} of {key!r}: {said}"
                )
            self._expect(min(said.values()) >= 0, number, f"a total of {key!r} is negative: {said}")
            for name, value in said.items():
                total[name] = total.get(name, 0) + value
        for whole, sent in self._sent.items():
            expected = sent - self._marks[whole]
            self._expect(total[whole] == expected, number, f"{whole}: {total[whole]} in the sums, {expected} sent")
        n_dead = total["predictions_dead"] + total["labels_dead"]
        self._expect(n_dead == self.figures.n_dead, number, f"{n_dead} dead in the sums, {self.figures.n_dead} letters")
        self.figures.totals = total
        self.figures.n_models = len(beat.totals) - 1
        self._expect(self.figures.n_models <= MAX_MODELS, number, f"{self.figures.n_models} models are followed")
        self.figures.changelog_bytes = sum(map(len, self._harness.changelog.values()))

    def _forget(self) -> None:
        """The harness remembers everything that it was told; this run must not."""
        self._harness.outputs.clear()
        self._harness.dead_letters.clear()
        self._harness.staged.clear()

    def _expect(self, holds: bool, number: int, what: str) -> None:
        if not holds:
            msg = f"seed {self._seed}, batch {number}: {what}"
            raise UnaccountedError(msg)


def says_watermark(record: ListRecord | Raw) -> bool:
    """Whether a record calls itself a watermark event, by what EVENTS says of headers: the last of a name holds."""
    said = {name.lower().replace("-", "_"): value for name, value in record.headers if value is not None}
    if said.get("content_type", b"").strip().lower().startswith(_STRUCTURED):
        return b'"type":"plumbline.watermark.v1"' in (record.value or b"")
    return said.get("ce_type") == _MARK


def _kind(topic: str) -> str:
    return Totals.PREDICTIONS if topic == topics.PREDICTIONS.name else Totals.LABELS


def run(n_records: int, seed: int) -> dict[str, object]:
    """Run, and return the figures as plain values."""
    return dict(msgspec.to_builtins(Run(seed).feed(n_records)))
