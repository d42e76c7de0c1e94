"""What a task is made of, and what it sees of its stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

from streams.engine.clock import Clock
from streams.engine.commit import Committer
from streams.engine.processor import Processor, Staged
from streams.engine.steps import OnStep, no_fault
from streams.engine.topics import TopicNames
from streams.local.instance import TaskFolder
from streams.settings import Settings, StageName
from streams.stages import STAGES


class TaskState(StrEnum):
    """Where a task is in its life."""

    FENCING = "fencing"
    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class ProcessorCrashedError(Exception):
    """Our own code raised; the Processor is discarded with its batch."""


class Feed(Protocol):
    """What a task needs of its stage's consumer. Topics are the table's names."""

    def seek(self, partition: int, positions: Mapping[str, int]) -> bool:
        """Fetch from these positions on; False where the partition is not ours at the moment."""

    def pause(self, partition: int) -> None:
        """Stop fetching a partition; nothing happens where it is not ours."""

    def resume(self, partition: int) -> None:
        """Go on fetching it."""

    async def position(self, topic: str, partition: int) -> int | None:
        """Return the next offset that will be fetched; None where the partition is not ours."""

    def end(self, topic: str, partition: int) -> int | None:
        """Return the end of the log as the last fetch saw it; None before that."""

    async def bounds(self, partition: int) -> dict[str, tuple[int, int]]:
        """Return first and end offset by input topic."""

    async def changelog_end(self, partition: int) -> int:
        """Return the end of the stage's changelog partition."""

    async def group_positions(self, partition: int) -> dict[str, int | None]:
        """Return the group's committed offsets by input topic."""

    def committed(self, partition: int, positions: Mapping[str, int]) -> None:
        """Note positions that hold, for the group's offsets where the commit did not carry them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskParts:
    """What a task is made of; its runner hands it in."""

    stage: StageName
    partition: int
    settings: Settings
    names: TopicNames
    make_processor: Callable[[int], Processor]
    on_committed: Callable[[StageName, int, Staged], None]
    feed: Feed
    committer: Committer
    clock: Clock
    folder: TaskFolder | None = None
    on_step: OnStep = no_fault

    @property
    def label(self) -> str:
        """The stage, as it labels metrics."""
        return self.stage.value

    @property
    def topics(self) -> tuple[str, ...]:
        """The stage's inputs, by the table's names."""
        return tuple(topic.name for topic in STAGES[self.stage].inputs)
