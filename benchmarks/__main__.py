"""`python -m benchmarks`: the rooms one after the other, tables, one JSON line, and build/bench/summary.json.

`--only contest --only idle` measures some rooms anew and leaves the others as they are. The summary is written after
every room, so a run that is cut off keeps what it has; each room says when, and at which commit, it was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from benchmarks import alerting, arrow, closing, contest, growth, idle, profiling, report, scaling
from benchmarks.children import ROOT, ChildError
from benchmarks.session import BenchBroker, Recording, Session

SUMMARY: Final = Path("build/bench/summary.json")
RATIOS: Final = ("naive_faust", "quix", "bytewax", "ceiling", "arrow_vs_json")
_HALF: Final = 0.5
_ALERT_EVENTS_PER_SECOND: Final = 50_000.0
"""Half load where the contest has not said what full load is."""
_RESTORE: Final = "benchmarks.restore"
N_PENDING: Final = 10_000_000


@dataclass(slots=True)
class Bench:
    """What a room needs: the broker, how much, and what the rooms before it found."""

    session: Session
    summary: dict[str, Any]
    n_pairs: int
    rounds: int
    short: bool
    output: Path

    async def recording(self) -> Recording:
        """The recording that the contest reads, too."""
        return await self.session.record(self.n_pairs)


async def _contest(bench: Bench) -> Any:
    n_contender_pairs = bench.n_pairs if bench.short else None
    return await contest.hold(
        bench.session,
        n_pairs=bench.n_pairs,
        rounds=bench.rounds,
        n_contender_pairs=n_contender_pairs,
        at_once=bench.short,
    )


async def _scaling(bench: Bench) -> Any:
    found = await scaling.measure(bench.session, await bench.recording(), rounds=bench.rounds)
    return {**asdict(found), "ratio": found.ratio}


async def _profile(bench: Bench) -> Any:
    return {"steps": await profiling.measure(bench.session, await bench.recording())}


async def _alerting(bench: Bench) -> Any:
    rows = bench.summary["rooms"].get("contest", {}).get("rows", ())
    full = next((row["rate"]["median"] for row in rows if row["key"] == contest.PLUMBLINE), None)
    return await alerting.measure(bench.session, rate=_ALERT_EVENTS_PER_SECOND if full is None else _HALF * full)


async def _idle(bench: Bench) -> Any:
    return await idle.measure(bench.session)


async def _pending(bench: Bench) -> Any:
    """Run the benchmark of local state, on a broker of its own; its last line is what it found."""
    del bench
    command = [sys.executable, "-m", _RESTORE, "--rows", str(N_PENDING)]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await running.communicate()
    if running.returncode != 0:
        msg = f"{' '.join(command)} ended with code {running.returncode}: expected 0"
        raise ChildError(msg)
    return json.loads(said.splitlines()[-1])


async def _closing(bench: Bench) -> Any:
    sizes = closing.SIZES[:1] if bench.short else closing.SIZES
    found = [closing.measure(*size, profile=size == sizes[-1]) for size in sizes]
    return {"rows": [row for row, _ in found], "hot": found[-1][1]}


async def _growth(bench: Bench) -> Any:
    del bench
    return {"rows": growth.measure()}


async def _arrow(bench: Bench) -> Any:
    """It has a broker and a loop of its own, so it runs in a thread; this one waits."""
    del bench
    return await asyncio.to_thread(arrow.measure)


ROOMS: Final[dict[str, Callable[[Bench], Awaitable[Any]]]] = {
    "contest": _contest,
    "arrow": _arrow,
    "scaling": _scaling,
    "profile": _profile,
    "alerting": _alerting,
    "idle": _idle,
    "pending": _pending,
    "closing": _closing,
    "growth": _growth,
}
SHORT: Final = ("contest", "closing")
ALONE: Final = frozenset({"arrow", "pending", "closing", "growth"})
"""Rooms without a broker, or with one of their own."""


async def run(bench: Bench, rooms: tuple[str, ...]) -> None:
    """Run some rooms; what they find goes into the summary, beside what others found before."""
    for name in rooms:
        begin = time.perf_counter()
        found = _plain(await ROOMS[name](bench))
        took = time.perf_counter() - begin
        if found is not None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            found["taken"] = {"at": now, "commit": commit(), "seconds": took, "load_average": os.getloadavg()[0]}
        bench.summary["rooms"][name] = found
        bench.summary["ratios"] = ratios(bench.summary["rooms"])
        print(f"\n{name} ({took:.0f} s)\n", flush=True)
        print(report.table(name, bench.summary) or "not measured", flush=True)
        bench.output.parent.mkdir(parents=True, exist_ok=True)
        bench.output.write_text(json.dumps(bench.summary, indent=2) + "\n")


def ratios(rooms: dict[str, Any]) -> dict[str, float | None]:
    """What the targets are about; None where a room or a contender is missing."""
    held = (rooms.get("contest") or {}).get("ratios", {})
    batches = rooms.get("arrow") or {}
    return {name: held.get(name) for name in RATIOS} | {"arrow_vs_json": batches.get("arrow_vs_json")}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    cpu = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if "model name" in line]
    names = ("aiokafka", "msgspec", "numpy", "faust-streaming", "river")
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in names},
    }


def commit() -> str:
    """Which code is measured."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


@contextlib.contextmanager
def _session(broker: str | None, folder: Path, rooms: tuple[str, ...]) -> Iterator[Session]:
    if broker is not None or ALONE.issuperset(rooms):
        yield Session(broker or "", folder)
        return
    with BenchBroker(folder / "broker") as own:
        yield Session(own.bootstrap_servers, folder, own.folder / "data")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(ROOMS), help="a room; repeat for more. All by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=600_000, help="predictions, and as many labels, of the contest")
    parser.add_argument("--short", action="store_true", help="a few thousand events: does everything run")
    parser.add_argument("--broker", help="host:port of a broker that runs; its own by default")
    parser.add_argument("--output", type=Path, help=f"the summary; {SUMMARY} by default, beside it with --short")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    output: Path = options.output or (SUMMARY.with_name("short.json") if options.short else SUMMARY)
    known = json.loads(output.read_text()) if output.exists() and not options.short else {}
    summary: dict[str, Any] = {"rooms": known.get("rooms", {}), "machine": machine()}
    rooms = tuple(options.only or (SHORT if options.short else ROOMS))
    folder = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    try:
        with (
            _session(options.broker, folder, rooms) as session,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            bench = Bench(
                session=session,
                summary=summary,
                n_pairs=2_000 if options.short else options.pairs,
                rounds=1 if options.short else options.rounds,
                short=options.short,
                output=output,
            )
            runner.run(run(bench, rooms))
    finally:
        shutil.rmtree(folder)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
