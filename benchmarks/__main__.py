"""`python -m benchmarks`: the rooms one after the other, tables, one JSON line, and build/bench/summary.json."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import subprocess
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

from benchmarks import alerting, arrow, closing, contest, growth, idle, pending, profiling, report, scaling
from benchmarks.session import BenchBroker, Recording, Session

SUMMARY: Final = Path("build/bench/summary.json")
RATIOS: Final = ("naive_faust", "quix", "bytewax", "ceiling", "arrow_vs_json")
_HALF: Final = 0.5
_ALERT_EVENTS_PER_SECOND: Final = 50_000.0
"""Half load where the contest has not said what full load is."""


@dataclass(slots=True)
class Bench:
    """What a room needs: the broker, how much, and what the rooms before it found."""

    session: Session
    summary: dict[str, Any]
    n_pairs: int
    rounds: int
    short: bool

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
    return await profiling.measure(bench.session, await bench.recording())


async def _alerting(bench: Bench) -> Any:
    rows = bench.summary["rooms"].get("contest", {}).get("rows", ())
    full = next((row["rate"]["median"] for row in rows if row["key"] == contest.PLUMBLINE), None)
    return await alerting.measure(bench.session, rate=_ALERT_EVENTS_PER_SECOND if full is None else _HALF * full)


async def _idle(bench: Bench) -> Any:
    return await idle.measure(bench.session)


async def _pending(bench: Bench) -> Any:
    return await pending.measure(bench.session)


async def _closing(bench: Bench) -> Any:
    sizes = closing.SIZES[:1] if bench.short else closing.SIZES
    return [closing.measure(*size)[0] for size in sizes]


async def _growth(bench: Bench) -> Any:
    del bench
    return growth.measure()


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


async def run(bench: Bench, rooms: tuple[str, ...]) -> None:
    """Run some rooms; what they find goes into the summary, beside what others found before."""
    for name in rooms:
        begin = time.perf_counter()
        found = await ROOMS[name](bench)
        bench.summary["rooms"][name] = _plain(found)
        print(f"\n{name} ({time.perf_counter() - begin:.0f} s)\n", flush=True)
        print(report.table(name, bench.summary) or "not measured", flush=True)
    ratios = bench.summary["rooms"].get("contest", {}).get("ratios", {})
    arrow = bench.summary["rooms"].get("arrow") or {}
    bench.summary["ratios"] = {name: ratios.get(name) for name in RATIOS} | {
        "arrow_vs_json": arrow.get("arrow_vs_json")
    }


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
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    names = ("aiokafka", "msgspec", "numpy", "faust-streaming", "river")
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git.stdout.strip(),
        "versions": {name: metadata.version(name) for name in names},
    }


@contextlib.contextmanager
def _session(broker: str | None, folder: Path) -> Iterator[Session]:
    if broker is not None:
        yield Session(broker, folder)
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
    parser.add_argument("--output", type=Path, default=SUMMARY)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    known = json.loads(options.output.read_text()) if options.output.exists() and not options.short else {}
    summary: dict[str, Any] = {"rooms": known.get("rooms", {}), "machine": machine()}
    rooms = tuple(options.only or (SHORT if options.short else ROOMS))
    folder = Path(tempfile.mkdtemp(prefix="plumbline-bench-"))
    try:
        with (
            _session(options.broker, folder) as session,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            bench = Bench(
                session=session,
                summary=summary,
                n_pairs=2_000 if options.short else options.pairs,
                rounds=1 if options.short else options.rounds,
                short=options.short,
            )
            runner.run(run(bench, rooms))
    finally:
        shutil.rmtree(folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps({"ratios": summary["ratios"]}))


if __name__ == "__main__":
    main()
