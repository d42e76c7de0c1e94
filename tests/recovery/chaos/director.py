"""The director: performs the plan, one fault after the other, and notes what the broker said meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from brokers.kafka import KafkaBroker

from .cluster import ChaosError, Cluster, WorkerProcess
from .load import Load
from .plan import N_WORKERS, Fault, FaultKind
from .transactions import Transaction, describe_transactions

WORKERS: Final = tuple(f"worker-{number}" for number in range(N_WORKERS))
STATIC: Final = frozenset(WORKERS[:2])
"""Two workers have a name of their own in the group; the third, and the one that joins and leaves, have none."""
EXTRA: Final = "worker-extra"
SESSION_SECONDS: Final = 6.0

_AIM_SECONDS: Final = 60.0
_TAKEN_OVER_SECONDS: Final = 25.0
"""Less than the deadline of a commit (three transaction timeouts of 10 s): the thawed one has to meet the fence."""
_FENCED_SECONDS: Final = 60.0
_BESIDE_SECONDS: Final = 0.02
"""Between two looks at a frozen worker's transactions: what it had sent before may still be under way to the broker."""
_BROKER_DOWN_SECONDS: Final = 3.0
_MEMORY: Final = 0.8
"""Weight of the past in the running mean of how long a fault takes, by which the load is paced."""
_FENCE_ERRORS: Final = ("ProducerFenced", "InvalidProducerEpoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSeen:
    """A kill, and the transactions of the worker that the broker called open when it was killed."""

    worker: str
    open: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZombieSeen:
    """A frozen and thawed worker."""

    worker: WorkerProcess
    frozen: tuple[Transaction, ...]
    """Its open transactions when it was frozen."""
    taken_over: tuple[Transaction, ...]
    """The same ids before it was thawed: of another epoch."""
    frozen_seconds: float
    fenced_lines: tuple[str, ...]
    """What it said of it afterwards."""


@dataclass(slots=True)
class Director:
    """Performs faults.

    Parameters
    ----------
    cluster, broker, load
        What is disturbed.
    application_id
        Prefix of transactional ids.
    fenced
        Whether there are transactions to look at.
    seed
        Of the waits while it aims.
    """

    cluster: Cluster
    broker: KafkaBroker
    load: Load
    application_id: str
    fenced: bool
    seed: int
    done: Counter[FaultKind] = field(default_factory=Counter)
    kills: list[KillSeen] = field(default_factory=list)
    zombies: list[ZombieSeen] = field(default_factory=list)
    rolled: list[int] = field(default_factory=list)
    """Exit codes of the rolling upgrades."""
    _draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(f"director {self.seed}")

    async def perform(self, plan: tuple[Fault, ...]) -> None:
        """Perform all faults, and let the load out in step with them."""
        mean_seconds = 5.0
        for number, fault in enumerate(plan, start=1):
            started = time.monotonic()
            self.load.allow(1 / len(plan), seconds=mean_seconds)
            await asyncio.sleep(fault.pause_seconds)
            await self._perform(fault)
            self.done[fault.kind] += 1
            seconds = time.monotonic() - started
            mean_seconds = _MEMORY * mean_seconds + (1 - _MEMORY) * seconds
            sys.stderr.write(
                f"{number:4d}/{len(plan)} {fault.kind.value:<20} {WORKERS[fault.worker]:<10} {seconds:6.1f} s,"
                f" {self.load.n_sent:,} events sent\n"
            )

    async def _perform(self, fault: Fault) -> None:
        name = WORKERS[fault.worker]
        if fault.kind in {FaultKind.KILL, FaultKind.KILL_IN_TRANSACTION}:
            await self._kill(name, fault, aimed=fault.kind is FaultKind.KILL_IN_TRANSACTION)
        elif fault.kind is FaultKind.ZOMBIE:
            await self._zombie(name)
        elif fault.kind is FaultKind.JOIN:
            self.cluster.start(EXTRA)
        elif fault.kind is FaultKind.LEAVE:
            self.rolled.append(await self.cluster.leave(EXTRA))
        elif fault.kind is FaultKind.ROLL:
            await self._roll()
        else:
            await self._restart_broker(fault)

    # Workers

    async def _kill(self, name: str, fault: Fault, *, aimed: bool) -> None:
        worker = await self.cluster.ready(name)
        if aimed:
            worker, seen = await self._freeze_inside(name)
        else:
            worker.signal(signal.SIGSTOP)
            seen = await self._open_of(worker)
        worker.kill()
        self.kills.append(KillSeen(worker=worker.log.stem, open=seen))
        if fault.down_seconds:
            asyncio.get_running_loop().call_later(fault.down_seconds, self.cluster.start, name)
        else:
            self.cluster.start(name)

    async def _freeze_inside(self, name: str) -> tuple[WorkerProcess, tuple[Transaction, ...]]:
        """Stop a worker again and again, until the broker says that a transaction of it is open."""
        deadline = time.monotonic() + _AIM_SECONDS
        while time.monotonic() < deadline:
            worker = await self.cluster.ready(name)
            worker.signal(signal.SIGSTOP)
            seen = await self._open_of(worker)
            if seen:
                return worker, seen
            worker.signal(signal.SIGCONT)
            await asyncio.sleep(self._draw.uniform(0.005, 0.05))
        msg = f"{name} had no open transaction in {_AIM_SECONDS:g} s of looking: expected some under load"
        raise ChaosError(msg)

    async def _open_of(self, worker: WorkerProcess) -> tuple[Transaction, ...]:
        """The transactions of a frozen worker that are open, and stay so."""
        ids = [f"{self.application_id}-{stage}-{partition}" for stage, partition in worker.tasks]
        if not self.fenced or not ids:
            return ()
        first = self._describe(ids)
        if not any(each.is_open for each in first.values()):
            return ()
        await asyncio.sleep(_BESIDE_SECONDS)
        second = self._describe(ids)
        return tuple(each for name, each in first.items() if each.is_open and second.get(name) == each)

    def _describe(self, ids: Iterable[str]) -> dict[str, Transaction]:
        return describe_transactions(self.broker.port, ids)

    async def _zombie(self, name: str) -> None:
        for each in WORKERS:
            await self.cluster.ready(each)
        worker, frozen = await self._freeze_inside(name)
        since = time.monotonic()
        try:
            taken_over = await self._taken_over(frozen, since)
        finally:
            n_before = len(worker.lines)
            worker.signal(signal.SIGCONT)
        seconds = time.monotonic() - since
        tasks = {(each.transactional_id.split("-")[-2], each.transactional_id.split("-")[-1]) for each in frozen}

        def fenced() -> tuple[str, ...]:
            return tuple(
                f"{line['stage']} {line['partition']}: {line['error']}"
                for line in worker.lines[n_before:]
                if line.get("event") == "task_lost"
                and (line["stage"], str(line["partition"])) in tasks
                and any(name in line["error"] for name in _FENCE_ERRORS)
            )

        await self.cluster.until(
            lambda: fenced() or not worker.is_running,
            what=f"{worker.log.stem}, thawed after {seconds:.1f} s, was fenced",
            timeout_seconds=_FENCED_SECONDS,
        )
        self.zombies.append(
            ZombieSeen(
                worker=worker,
                frozen=frozen,
                taken_over=taken_over,
                frozen_seconds=seconds,
                fenced_lines=fenced(),
            )
        )

    async def _taken_over(self, frozen: tuple[Transaction, ...], since: float) -> tuple[Transaction, ...]:
        """Wait until the broker knows younger owners of a frozen worker's ids, beyond its session."""
        now: dict[str, Transaction] = {}

        def is_over() -> bool:
            now.update(self._describe([each.transactional_id for each in frozen]))
            beyond = time.monotonic() - since > SESSION_SECONDS
            return beyond and all(_is_younger(now.get(each.transactional_id), each) for each in frozen)

        await self.cluster.until(
            is_over, what="others own a frozen worker's partitions", timeout_seconds=_TAKEN_OVER_SECONDS
        )
        return tuple(now.values())

    async def _roll(self) -> None:
        for name in WORKERS:
            worker = await self.cluster.ready(name)
            self.rolled.append(await worker.end())
            self.cluster.start(name)
        for name in WORKERS:
            await self.cluster.ready(name)

    # The broker

    async def _restart_broker(self, fault: Fault) -> None:
        if fault.kind is FaultKind.BROKER_KILL:
            await asyncio.to_thread(self.broker.kill)
        else:
            await asyncio.to_thread(self.broker.stop)
        await asyncio.sleep(min(fault.down_seconds, _BROKER_DOWN_SECONDS))
        await asyncio.to_thread(self.broker.start)


def _is_younger(now: Transaction | None, before: Transaction) -> bool:
    """Whether an id has another owner than before; two epochs on, since the fence itself takes one."""
    if now is None:
        return False
    return (now.producer_id, now.producer_epoch) != (before.producer_id, before.producer_epoch) and not (
        now.is_open and now.started_ms == before.started_ms
    )
