"""Two worker processes against one on the same recording: what a second core gives."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import worker
from benchmarks.measuring import Spread
from benchmarks.session import Recording, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Events a second of one process and of two; the broker shares the cores with both."""

    one: Spread
    two: Spread
    one_cpu_us: Spread
    two_cpu_us: Spread

    @property
    def ratio(self) -> float:
        """Two against one."""
        return self.two.median / self.one.median


async def measure(session: Session, recording: Recording, *, rounds: int) -> Scaling:
    """Run both in alternating order."""
    found: dict[int, list[worker.WorkerRun]] = {1: [], 2: []}
    for turn in range(rounds):
        for n_processes in (1, 2) if turn % 2 == 0 else (2, 1):
            found[n_processes].append(await worker.measure(session, recording, n_processes=n_processes))
    rates = {n: Spread.of([run.measurement.rate for run in runs]) for n, runs in found.items()}
    cpu = {n: Spread.of([run.measurement.cpu_us for run in runs]) for n, runs in found.items()}
    return Scaling(one=rates[1], two=rates[2], one_cpu_us=cpu[1], two_cpu_us=cpu[2])
