"""Where the microseconds of an event go: py-spy looks into the running worker, stacks are sorted into steps."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from benchmarks import events, worker
from benchmarks.children import Child, ChildError
from benchmarks.contenders import ENVIRONMENT
from benchmarks.measuring import between, usage
from benchmarks.session import Recording, Session
from streams.engine.lag import LagReader
from streams.engine.topics import TopicNames

STEPS: Final[tuple[tuple[str, str], ...]] = (
    ("fetch: requests, batches, records", r"aiokafka/(consumer|record)/|aiokafka/protocol/fetch"),
    ("ingest: decode, columns, ids", r"streams/ingest/"),
    ("count: bins, bincount", r"streams/profiler/(counting|slots|families|batch|samples)\.py|detectors/"),
    ("join: look up, hold, drop rows", r"streams/profiler/(join|table|runs|model|restoring|maturity|acceptance|files)"),
    ("state: runs, deltas, encoding", r"streams/profiler/"),
    ("evaluator", r"streams/evaluator/"),
    ("commit: changelog, transactions, sends", r"streams/engine/(commit|changelog|cutting|tenure)|aiokafka/producer/"),
    ("connections: sockets, protocol", r"aiokafka/"),
    ("engine: queues, tasks, runner", r"streams/engine/"),
    ("metrics, logs, pages", r"streams/(telemetry|logs|worker|web/)|prometheus_client|structlog"),
)
OTHER: Final = "event loop, and other"
"""Also what uvloop does in C: its innermost Python frame is where the loop was started."""
_RATE: Final = 200
_SECONDS: Final = 60.0
_FRAME: Final = re.compile(r"\(([^:()]+)(?::\d+)?\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the path, and its part of the CPU time."""

    step: str
    share_ratio: float
    us_per_event: float


def sampler() -> str | None:
    """py-spy of the contenders' environment, or None."""
    found = ENVIRONMENT.resolve() / "bin" / "py-spy"
    return str(found) if found.exists() else None


async def measure(session: Session, recording: Recording) -> list[Step]:
    """Run the worker on a recording, and sample its stacks from the first task on until all is committed.

    Raises
    ------
    ChildError
        Where there is no py-spy, or it may not look into the process.
    """
    program = sampler()
    if program is None:
        msg = "py-spy is not installed: expected it in build/bench/venv (make bench)"
        raise ChildError(msg)
    settings = session.fresh(recording, engine=worker.THROUGHPUT)
    await session.apply(settings, specs=[events.spec()], monitors=events.monitors(), references=[events.reference()])
    raw = session.folder / "stacks.txt"
    async with worker.child(settings) as running, LagReader(settings, TopicNames(settings)) as lag:
        begin = await running.heard(running.listen("task_restored", '"profiler"'), _SECONDS)
        command = [program, "record", "--pid", str(running.pid), "--rate", str(_RATE), "--format", "raw"]
        command += ["--full-filenames", "--output", str(raw), "--duration", "3600", "--nonblocking"]
        async with Child(command) as looking:
            await worker.consumed(settings, lag)
            end = usage(running.pid)
            looking.check()
            await looking.interrupt()
    measured = between("profile", recording.n_events, begin, end)
    return steps(raw.read_text(), measured.cpu_us)


def steps(raw: str, cpu_us: float) -> list[Step]:
    """Sort folded stacks into steps; a stack belongs to the innermost frame that a step names."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, n = line.rpartition(" ")
        counts[_step(stack)] += int(n)
    total = sum(counts.values())
    if not total:
        msg = "py-spy took no sample: expected some hundred"
        raise ChildError(msg)
    order = [*(name for name, _ in STEPS), OTHER]
    return [
        Step(step=name, share_ratio=counts[name] / total, us_per_event=cpu_us * counts[name] / total)
        for name in order
        if counts[name]
    ]


def _step(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        found = _FRAME.search(frame)
        if found is None:
            continue
        for name, pattern in STEPS:
            if re.search(pattern, found[1]):
                return name
    return OTHER
