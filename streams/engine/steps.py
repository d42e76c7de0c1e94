"""The steps of a commit, in their order, and the points between them where a crash can fall.

Who wants to know hands in an `OnStep`; it is awaited at every point. Tests end or hold the process there. Nothing
else can set one: it comes with the runner's constructor, never from a setting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final, NamedTuple

from streams.settings import ProcessingGuarantee


class Step(StrEnum):
    """What a commit does, one after the other."""

    OUTPUTS = "outputs"
    """Dead letters are sent; under exactly_once the other outputs too."""
    CHANGELOG = "changelog"
    """Changes and commit record are sent, and every send so far is acknowledged; under at_least_once this is the
    commit, with changes and outputs inside the record."""
    OFFSETS = "offsets"
    """The group's offsets: part of the transaction, or, under at_least_once, some time later, for lag tools."""
    COMMIT = "commit"
    """The transaction is committed."""
    APPLY = "apply"
    """The Processor makes what was committed its state."""
    FORWARD_CHANGES = "forward_changes"
    """Under at_least_once changes are copied from the commit record to their own keys ..."""
    FORWARD_OUTPUTS = "forward_outputs"
    """... and outputs to their topics."""


class Moment(StrEnum):
    """Where at a step."""

    BEFORE = "before"
    AFTER = "after"


class FaultPoint(NamedTuple):
    """A place where a crash can fall."""

    moment: Moment
    step: Step

    def __str__(self) -> str:
        return f"{self.moment}-{self.step}"


OnStep = Callable[[FaultPoint], Awaitable[None]]

STEPS: Final = {
    ProcessingGuarantee.EXACTLY_ONCE: (Step.OUTPUTS, Step.CHANGELOG, Step.OFFSETS, Step.COMMIT, Step.APPLY),
    ProcessingGuarantee.AT_LEAST_ONCE: (
        Step.OUTPUTS,
        Step.CHANGELOG,
        Step.APPLY,
        Step.FORWARD_CHANGES,
        Step.FORWARD_OUTPUTS,
        Step.OFFSETS,
    ),
}
"""The steps of each guarantee, in order."""


async def no_fault(point: FaultPoint) -> None:
    """Go on."""
    del point


@asynccontextmanager
async def around(on_step: OnStep, step: Step) -> AsyncIterator[None]:
    """Enclose a step; where it raises there is no point after it."""
    await on_step(FaultPoint(Moment.BEFORE, step))
    yield
    await on_step(FaultPoint(Moment.AFTER, step))
