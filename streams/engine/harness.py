"""Runs a Processor on lists, without Kafka: batches, restarts and crashes where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from streams.engine.processor import CommitContext, DeadLetter, LocalProcessor, Output, Processor, Record, Staged
from streams.local.errors import UnusableStateError
from streams.local.instance import Manifest, TaskFolder


@dataclass(slots=True)
class Harness:
    """A task of one partition whose changelog is a dict.

    Parameters
    ----------
    make_processor
        Called without arguments at the start and at every restart.
    partition
        The task's partition.
    now_ms
        Wall clock handed to `stage`; set it as the test goes on.
    chunk_records
        Records handed to `add` at a time, at most.
    folder
        Local files; a restart uses them, in the state of the last `checkpoint`.
    """

    make_processor: Callable[[], Processor]
    partition: int = 0
    now_ms: int = 0
    chunk_records: int = 500
    folder: TaskFolder | None = None
    outputs: list[Output] = field(default_factory=list, init=False)
    dead_letters: list[DeadLetter] = field(default_factory=list, init=False)
    staged: list[Staged] = field(default_factory=list, init=False)
    """Everything that was committed, in order."""
    changelog: dict[str, bytes] = field(default_factory=dict, init=False)
    """The state by key, compacted."""
    seq: int = field(default=0, init=False)
    positions: dict[str, int] = field(default_factory=dict, init=False)
    processor: Processor = field(init=False)
    n_restored: int = field(default=0, init=False)
    """Entries that the last restart read."""
    _open: dict[str, int] = field(default_factory=dict, init=False)
    _written_at: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.restart()

    def feed(
        self,
        records: Iterable[Record],
        *,
        batch_sizes: int | Sequence[int] = 500,
        restart_after: Sequence[int] = (),
        caught_up: bool = True,
    ) -> None:
        """Run records through in batches.

        Parameters
        ----------
        records
            In arrival order; `topic` is the table's name.
        batch_sizes
            Records per batch: one size for all, or a sequence that is repeated.
        restart_after
            Numbers of batches (from 1) after whose commit the Processor is restored from the changelog.
        caught_up
            Said to the last batch; the ones before it are told that more is there.
        """
        rest = list(records)
        sizes = [batch_sizes] if isinstance(batch_sizes, int) else list(batch_sizes)
        if not sizes or min(sizes) < 1:
            msg = f"batch_sizes is {batch_sizes!r}: expected sizes of at least 1"
            raise ValueError(msg)
        number = 0
        while rest:
            size = sizes[number % len(sizes)]
            batch, rest = rest[:size], rest[size:]
            number += 1
            self.add(batch)
            self.commit(caught_up=caught_up and not rest)
            if number in restart_after:
                self.restart()

    def add(self, records: Iterable[Record]) -> None:
        """Add records to the open batch, in runs of one topic."""
        for topic, run in groupby(records, key=lambda record: record.topic):
            chunk = list(run)
            for start in range(0, len(chunk), self.chunk_records):
                self.processor.add(topic, chunk[start : start + self.chunk_records])
            self._open[topic] = chunk[-1].offset + 1

    def commit(self, *, heartbeat: bool = False, caught_up: bool = True) -> Staged:
        """Stage the open batch, take its outputs and changes, and apply it."""
        staged = self.stage(heartbeat=heartbeat, caught_up=caught_up)
        for change in staged.changes:
            # A key that is written again moves to the end, as in a compacted log.
            self.changelog.pop(change.key, None)
            if change.value is not None:
                self.changelog[change.key] = change.value
            self._written_at[change.key] = self.seq + 1
        if not staged.is_empty:
            self.seq += 1
        self.positions.update(self._open)
        self.outputs.extend(staged.outputs)
        self.dead_letters.extend(staged.dead_letters)
        self.staged.append(staged)
        self.processor.apply(staged)
        self.checkpoint(closing=False)
        return staged

    def stage(self, *, heartbeat: bool = False, caught_up: bool = True) -> Staged:
        """Stage the open batch without committing it: follow with `restart` to play an abort."""
        context = CommitContext(
            partition=self.partition,
            seq=self.seq + 1,
            positions={**self.positions, **self._open},
            previous_positions=dict(self.positions),
            now_ms=self.now_ms,
            caught_up=caught_up,
        )
        return self.processor.stage(context, heartbeat=heartbeat)

    def heartbeat(self, *, now_ms: int | None = None) -> Staged:
        """Commit a heartbeat, at a new wall clock where one is given."""
        if now_ms is not None:
            self.now_ms = now_ms
        return self.commit(heartbeat=True)

    def checkpoint(self, *, closing: bool = True) -> None:
        """Write local files, where there are any: at the end, or if it is time to."""
        if self.folder is None or not isinstance(self.processor, LocalProcessor):
            return
        checkpoint = self.processor.checkpoint(closing=closing)
        if checkpoint is not None:
            self.folder.save(
                position=self.seq, seq=self.seq, snapshot=checkpoint.snapshot, files=list(checkpoint.files)
            )

    def restart(self) -> None:
        """Discard the Processor with its open batch, and restore a new one: from local files where they are of use."""
        self._open = {}
        if self.folder is not None:
            try:
                self._restart(self.folder.load())
            except UnusableStateError as error:
                self.folder.drop(str(error))
            else:
                return
        self._restart(None)

    def _restart(self, local: tuple[Manifest, bytes] | None) -> None:
        self.processor = self.make_processor()
        position = -1
        if self.folder is not None and isinstance(self.processor, LocalProcessor):
            self.processor.use_folder(self.folder.path)
            if local is not None:
                position = local[0].position
                if position > self.seq:
                    msg = f"local files are of commit {position}: expected at most {self.seq}"
                    raise UnusableStateError(msg)
                self.processor.restore_local(local[1])
        entries = [(key, value) for key, value in self.changelog.items() if self._written_at.get(key, 0) > position]
        self.n_restored = len(entries)
        for key, value in entries:
            self.processor.restore(key, value)
        self.processor.restored()

    @property
    def counts(self) -> dict[str, int]:
        """Sum of the committed counts."""
        total: dict[str, int] = {}
        for staged in self.staged:
            for name, count in staged.counts.items():
                total[name] = total.get(name, 0) + count
        return total
