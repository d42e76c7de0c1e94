"""What a stream task calls: a Processor is pure, and knows nothing of Kafka.

The engine owns fetching, positions, transactions and the changelog. A Processor turns records into a staged
change and its outputs; the engine commits both with the input positions, and only then tells the Processor to
apply the change. The same Processor runs on lists in tests and replays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """A consumed record; aiokafka's ConsumerRecord has this shape, and so has `ListRecord`."""

    @property
    def topic(self) -> str:
        """Name in use, with prefix and overrides."""

    @property
    def partition(self) -> int:
        """Partition it was read from."""

    @property
    def offset(self) -> int:
        """Offset within the partition."""

    @property
    def timestamp(self) -> int:
        """Append time, in milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Key as it was sent."""

    @property
    def value(self) -> bytes | None:
        """Value as it was sent; None for a tombstone."""

    @property
    def headers(self) -> Headers:
        """Headers in order; a name may come twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRecord:
    """A record that never saw a broker: for harnesses, replays and tests."""

    topic: str
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A record to be sent. `topic` is the table's name; the engine adds prefix and overrides.

    `partition` is None for the key's own partition, a number for that one, and `EVERY_PARTITION` for all.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


EVERY_PARTITION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key of the task's state: its new value, or None where the key is gone. Goes to the changelog."""

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that cannot be read: the record untouched, and why.

    `reason` is one of a few fixed words (it labels a metric); `message` names field, value and expectation.
    """

    record: Record
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitContext:
    """What the engine knows of the commit that is being staged.

    Attributes
    ----------
    partition
        The task's partition, which is also its identity as a source for the next stage.
    seq
        Number of this commit, from 1, without gaps over the life of the task's changelog.
    positions
        Next offset to read per input topic, after this commit.
    previous_positions
        The same, before this commit.
    now_ms
        Wall clock, milliseconds since the epoch; for heartbeats and deadlines alone, never for event time.
    caught_up
        True where no input had anything left to read when the batch was cut.
    """

    partition: int
    seq: int
    positions: Mapping[str, int]
    previous_positions: Mapping[str, int]
    now_ms: int
    caught_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The result of a batch: what to send, what to remember, and what to apply once that is committed."""

    outputs: Sequence[Output] = ()
    changes: Sequence[Change] = ()
    dead_letters: Sequence[DeadLetter] = ()
    overlay: Any = None
    """The Processor's own; handed back to `apply` after the commit, dropped after an abort."""
    observations: Sequence[object] = ()
    """What was decided (closed windows, alerts, commands), for metrics and pages; handed on after the commit."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What happened, by name; the engine adds it to the metrics after the commit, so that aborts do not count."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say: then only positions move."""
        return not (self.outputs or self.changes or self.dead_letters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A Processor's state as of its last commit: what it restores from, and the files that this speaks of."""

    snapshot: bytes
    files: Sequence[str]


class Processor(Protocol):
    """One partition's worth of a stage.

    The engine calls `restore` for every live changelog entry in log order, then `restored` once; then, for ever,
    `add` for every fetched chunk, `stage` at the end of a batch, and `apply` after the commit. After an abort the
    instance is discarded and a new one restored. None of the calls may block or do I/O.
    """

    def restore(self, key: str, value: bytes | None) -> None:
        """Take one entry of the changelog; None where the key was deleted."""

    def restored(self) -> None:
        """End of the changelog: build what is derived."""

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Take a chunk (at most some hundred records of one topic, in offset order) into the pending batch.

        `topic` is the table's name. Bad records become dead letters in the next `stage`; this never raises for
        what a record contains.
        """

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        """Close the pending batch. Leaves the committed state as it is.

        With `heartbeat` the Processor also says that it is alive (and may decide what hangs on the wall clock);
        then the batch may be empty.
        """

    def apply(self, staged: Staged) -> None:
        """The commit holds: make the staged overlay the state."""


@runtime_checkable
class LocalProcessor(Processor, Protocol):
    """A Processor that keeps what memory has no room for in files of its own.

    They are a cache: the changelog alone would do. `use_folder` is called first; then `restore_local` where there is
    a checkpoint that can be trusted, and `restore` with the changelog from there on; `restoring` instead of
    `restored`. Reading and writing these files is the only I/O that it does; a disk that fails is a `StorageError`.
    """

    def use_folder(self, folder: Path) -> None:
        """Keep files there; nobody else does."""

    def restore_local(self, snapshot: bytes) -> None:
        """Take a checkpoint's snapshot; its files are intact."""

    def restoring(self) -> Iterator[None]:
        """End of the changelog: build what is derived, with pauses in which others may run.

        Raises `UnusableStateError` where the checkpoint and the changelog do not go together.
        """

    def checkpoint(self, *, closing: bool) -> Checkpoint | None:
        """Return a checkpoint of the last commit where it is time for one; always at the end."""

    def close(self) -> None:
        """Leave no half-written file behind."""
