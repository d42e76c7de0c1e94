"""CPU of a worker of all stages that has nothing to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from benchmarks import events, worker
from benchmarks.measuring import usage
from benchmarks.session import Session
from streams.settings import StageName

_READY_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A worker without traffic, on 12 partitions of events."""

    cpu_ratio: float
    """Of one core."""
    resident_megabytes: float
    seconds: float


async def measure(session: Session, *, seconds: float = 30.0) -> Idle:
    """Watch an idle worker for some time, after it has settled."""
    settings = session.fresh()
    await session.apply(settings, specs=[events.spec()], monitors=events.monitors(), references=[events.reference()])
    async with worker.child(settings, tuple(StageName)) as running:
        await running.heard(running.listen("worker_started"), _READY_SECONDS)
        await asyncio.sleep(_SETTLE_SECONDS)
        begin = usage(running.pid)
        await asyncio.sleep(seconds)
        end = usage(running.pid)
        running.check()
    return Idle(
        cpu_ratio=(end.cpu_seconds - begin.cpu_seconds) / (end.at - begin.at),
        resident_megabytes=end.resident_megabytes,
        seconds=end.at - begin.at,
    )
