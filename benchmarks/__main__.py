"""`make bench`: run the standard set, print its tables and one JSON line, and keep them in build/bench/summary.json.

`--only contest --only idle` measures some sections anew and leaves the others as they are; each one says when, and at
which commit, it was taken. `--short` runs the same programs on a few thousand events: counts have to agree, times are
for nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from benchmarks import report, suite
from benchmarks.session import Session
from brokers.kafka import KAFKA_VERSION, KafkaBroker

SUMMARY: Final = Path("build/bench/summary.json")


def main() -> None:
    """Measure, print, and write the summary after every section: what is cut off keeps what it has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=suite.SECTIONS, help="this section; to be repeated")
    parser.add_argument("--short", action="store_true", help="a few thousand events: does it run, do the counts agree")
    parser.add_argument("--broker", help="host:port of a broker that runs already; sizes of topics are then unknown")
    parser.add_argument("--output", type=Path, help=f"where the summary goes (default {SUMMARY}; short: nowhere)")
    options = parser.parse_args()
    chosen = options.only or list(suite.SHORT_SECTIONS if options.short else suite.SECTIONS)
    output = options.output or (None if options.short else SUMMARY)
    # Sections of the short form never mix with measured ones.
    summary = {} if options.short else _known(output)
    gc.set_threshold(50_000, 50, 50)  # as the worker's
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    sizes = suite.SHORT if options.short else suite.Sizes()
    _measure(chosen, sizes, summary, options.broker, output)
    for table in report.tables(summary).values():
        print(table, end="\n\n")
    print(json.dumps(summary))


def _measure(
    chosen: list[str], sizes: suite.Sizes, summary: dict[str, Any], broker: str | None, output: Path | None
) -> None:
    summary.setdefault("sections", {})
    summary["machine"] = _machine()
    with_broker = [name for name in suite.ON_BROKER if name in chosen]
    with contextlib.ExitStack() as stack:
        if with_broker:
            session = _session(stack, broker)
            runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
            context = suite.Context(session, sizes, summary["sections"])
        for name in with_broker:
            begin = time.monotonic()
            _keep(summary, name, runner.run(_awaited(name, context)), begin, output)
    for name in (name for name in suite.ALONE if name in chosen):
        begin = time.monotonic()
        _keep(summary, name, suite.ALONE[name](sizes), begin, output)


async def _awaited(name: str, context: suite.Context) -> dict[str, Any]:
    return await suite.ON_BROKER[name](context)


def _session(stack: contextlib.ExitStack, broker: str | None) -> Session:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    if broker is not None:
        return Session(broker, folder)
    started = stack.enter_context(KafkaBroker(folder / "kafka"))
    return Session(started.bootstrap_servers, folder, data=folder / "kafka" / "data")


def _keep(summary: dict[str, Any], name: str, found: dict[str, Any], begin: float, output: Path | None) -> None:
    took = time.monotonic() - begin
    taken = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(), "took_seconds": took}
    summary["sections"][name] = {**found, "taken": taken}
    summary["ratios"] = suite.ratios(summary["sections"])
    print(f"{name}: {took:.0f} s", flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(summary, indent=1) + "\n")


def _known(output: Path | None) -> dict[str, Any]:
    if output is None or not output.exists():
        return {}
    known: dict[str, Any] = json.loads(output.read_text())
    return known


def _machine() -> dict[str, Any]:
    model = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "cpu": model,
        "n_cores": os.cpu_count(),
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "load_average": os.getloadavg()[0],
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
