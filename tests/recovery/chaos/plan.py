"""The plan of faults: a pure function of a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What is done to a worker or to the broker."""

    KILL = "kill"
    """SIGKILL, wherever the worker happens to be."""
    KILL_IN_TRANSACTION = "kill_in_transaction"
    """SIGKILL while the broker says that one of the worker's transactions is open."""
    ZOMBIE = "zombie"
    """SIGSTOP inside an open transaction, until others own the partitions; then SIGCONT."""
    BROKER_STOP = "broker_stop"
    """SIGTERM to the broker, and a start."""
    BROKER_KILL = "broker_kill"
    """SIGKILL to the broker, and a start."""
    JOIN = "join"
    """One more worker."""
    LEAVE = "leave"
    """The additional worker ends by SIGTERM."""
    ROLL = "roll"
    """SIGTERM and a start of every worker, one after the other: a rolling upgrade."""


KILLS: Final = frozenset({FaultKind.KILL, FaultKind.KILL_IN_TRANSACTION})
N_WORKERS: Final = 3
_AIMED_EVERY: Final = 5
"""Every fifth kill is aimed at an open transaction."""
_PAUSES_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0)
_DOWN_SECONDS: Final = (0.0, 0.0, 0.0, 0.5, 8.0)
"""How long a killed worker stays away; 8 s is beyond the session, so that a static member loses its partitions too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind
        What is done.
    worker
        To which worker; without meaning for the broker's faults.
    pause_seconds
        How long the system is left alone before.
    down_seconds
        How long until what was ended is started again.
    """

    kind: FaultKind
    worker: int
    pause_seconds: float
    down_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many faults of each kind."""

    kills: int
    broker_restarts: int
    zombies: int
    joins: int
    rolls: int


def make_plan(seed: int, size: Size, *, fenced: bool) -> tuple[Fault, ...]:
    """Draw the faults in their order.

    Parameters
    ----------
    seed
        The same seed gives the same plan.
    size
        How many of each kind.
    fenced
        Whether the guarantee fences owners. Without a fence zombies are left out, and there is no transaction to
        aim at.
    """
    draw = random.Random(f"plan {seed}")
    aimed = max(1, size.kills // _AIMED_EVERY) if fenced and size.kills else 0
    kinds = [FaultKind.KILL_IN_TRANSACTION] * aimed + [FaultKind.KILL] * (size.kills - aimed)
    kinds += [FaultKind.ZOMBIE] * (size.zombies if fenced else 0)
    kinds += [FaultKind.BROKER_KILL if i % 2 else FaultKind.BROKER_STOP for i in range(size.broker_restarts)]
    kinds += [FaultKind.JOIN, FaultKind.LEAVE] * size.joins
    kinds += [FaultKind.ROLL] * size.rolls
    draw.shuffle(kinds)
    return tuple(
        Fault(
            kind=kind,
            worker=draw.randrange(N_WORKERS),
            pause_seconds=draw.choice(_PAUSES_SECONDS),
            down_seconds=draw.choice(_DOWN_SECONDS),
        )
        for kind in _joined_before_left(kinds)
    )


def _joined_before_left(kinds: list[FaultKind]) -> list[FaultKind]:
    """Let the additional worker join before it leaves, wherever the two were shuffled to."""
    ordered, present = [], False
    for kind in kinds:
        if kind in {FaultKind.JOIN, FaultKind.LEAVE}:
            ordered.append(FaultKind.LEAVE if present else FaultKind.JOIN)
            present = not present
        else:
            ordered.append(kind)
    return ordered
