"""The standard set: every section by its name, what it needs, and how large it is in the standard and the short form."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks import alerting, arrow, closing, contest, growth, idle, profiling, traffic, worker
from benchmarks.children import ROOT
from benchmarks.measuring import Measurement, Spread
from benchmarks.session import Recording, Session

MAX_LOAD: Final = 40_000.0
"""Events a second that the load generator reaches beside worker and broker on two cores."""
_PENDING_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    n_pairs: int = 300_000
    rounds: int = 3
    n_contender_pairs: int | None = None
    alert_seconds: float = 45.0
    idle_seconds: float = 30.0
    closings: tuple[tuple[int, int], ...] = closing.SIZES
    n_growth_events: int = 60_000
    growth_curves: tuple[tuple[str, tuple[int, ...]], ...] = tuple(growth.CURVES.items())
    n_pending: int = 10_000_000
    n_arrow: int = 200_000


SHORT: Final = Sizes(
    n_pairs=4_000,
    rounds=1,
    n_contender_pairs=2_000,
    closings=((4, 3),),
    n_growth_events=6_000,
    growth_curves=(("features", (5, 50)), ("partitions", (1, 10))),
    n_arrow=2_000,
)
SHORT_SECTIONS: Final = ("contest", "processes", "closing", "growth", "arrow")


@dataclass(slots=True)
class Context:
    """What the sections share; the recording is put on the broker when the first one asks for it.

    Parameters
    ----------
    session
        The broker.
    sizes
        How much of everything.
    known
        Sections that were measured before, by name: the alerts' load is half of the rate in there.
    """

    session: Session
    sizes: Sizes
    known: dict[str, Any]
    _recording: Recording | None = None

    async def recording(self) -> Recording:
        """The events that worker and ceiling read."""
        if self._recording is None:
            self._recording = await self.session.record("bench", self.sizes.n_pairs)
        return self._recording


async def _contest(context: Context) -> dict[str, Any]:
    held = await contest.hold(
        context.session,
        recording=await context.recording(),
        rounds=context.sizes.rounds,
        n_contender_pairs=context.sizes.n_contender_pairs,
    )
    return asdict(held)


async def _processes(context: Context) -> dict[str, Any]:
    """One process and two, in turn."""
    recording, runs = await context.recording(), {1: list[Measurement](), 2: list[Measurement]()}
    used = None
    for turn in range(context.sizes.rounds):
        for n_processes in (1, 2) if turn % 2 == 0 else (2, 1):
            run = await worker.measure(context.session, recording, n_processes=n_processes)
            runs[n_processes].append(run.measurement)
            used = run.settings if n_processes == 1 else used
    rates = {n: Spread.of([each.rate for each in found]) for n, found in runs.items()}
    cpu = {n: Spread.of([each.cpu_us for each in found]) for n, found in runs.items()}
    wrote = None if used is None else traffic.measure(context.session, recording, used)
    return {
        "rows": [{"n_processes": n, "rate": asdict(rates[n]), "cpu_us": asdict(cpu[n])} for n in runs],
        "speedup": rates[2].median / rates[1].median,
        "traffic": None if wrote is None else asdict(wrote),
    }


async def _profile(context: Context) -> dict[str, Any]:
    return {"steps": [asdict(step) for step in await profiling.measure(context.session, await context.recording())]}


async def _alerting(context: Context) -> dict[str, Any]:
    rows = context.known.get("contest", {}).get("rows", [])
    rate = next((row["rate"]["median"] for row in rows if row["key"] == contest.PLUMBLINE), 2 * MAX_LOAD)
    asked = min(MAX_LOAD, rate / 2)
    found = await alerting.measure(context.session, rate=asked, seconds=context.sizes.alert_seconds)
    return {**asdict(found), "asked_events_per_second": asked, "full_events_per_second": rate}


async def _idle(context: Context) -> dict[str, Any]:
    return asdict(await idle.measure(context.session, seconds=context.sizes.idle_seconds))


def _closing(sizes: Sizes) -> dict[str, Any]:
    rows = [asdict(closing.measure(*size)[0]) for size in sizes.closings]
    hot = closing.measure(*sizes.closings[-1], profile=True)[1]
    return {"rows": rows, "hot": [asdict(spot) for spot in hot]}


def _growth(sizes: Sizes) -> dict[str, Any]:
    rows = growth.measure(n_events=sizes.n_growth_events, curves=dict(sizes.growth_curves))
    return {"rows": [asdict(row) for row in rows]}


def _pending(sizes: Sizes) -> dict[str, Any]:
    """Run `benchmarks.restore`, which starts its own broker; its last line is what it found."""
    module = "benchmarks.restore"
    if importlib.util.find_spec(module) is None:
        msg = f"{module} is not in this checkout: expected it for the section pending"
        raise ModuleNotFoundError(msg)
    command = [sys.executable, "-m", module, "--rows", str(sizes.n_pending)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, timeout=_PENDING_SECONDS)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _arrow(sizes: Sizes) -> dict[str, Any]:
    measure = arrow.measure_in_memory if sizes is SHORT else arrow.measure
    found = measure(sizes.n_arrow, sizes.rounds)
    return {"rows": [asdict(row) for row in found["results"]], "arrow_vs_json": found["arrow_vs_json"]}


ON_BROKER: Final[dict[str, Callable[[Context], Awaitable[dict[str, Any]]]]] = {
    "contest": _contest,
    "processes": _processes,
    "profile": _profile,
    "alerting": _alerting,
    "idle": _idle,
}
ALONE: Final[dict[str, Callable[[Sizes], dict[str, Any]]]] = {
    "closing": _closing,
    "growth": _growth,
    "pending": _pending,
    "arrow": _arrow,
}
SECTIONS: Final = (*ON_BROKER, *ALONE)


def ratios(sections: dict[str, Any]) -> dict[str, float | None]:
    """What the targets are about; None where a section or a contender is missing."""
    held = sections.get("contest", {}).get("ratios", {})
    names = ("naive_faust", "quix", "bytewax", "ceiling")
    return {name: held.get(name) for name in names} | {
        "arrow_vs_json": sections.get("arrow", {}).get("arrow_vs_json"),
    }
