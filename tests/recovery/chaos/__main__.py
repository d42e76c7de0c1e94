"""`python -m tests.recovery.chaos`: the long form by default, `--short` for CI.

Prints one JSON line of figures, and writes them to `build/chaos/summary.json`. Exit code 1 where anything was lost,
doubled or otherwise; the command that repeats the run is printed then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog
import uvloop

from streams.settings import ProcessingGuarantee

from .cluster import ROOT
from .plan import Size
from .run import Options, run

_LONG: Final = Size(kills=100, broker_restarts=10, zombies=3, joins=6, rolls=1)
_SHORT: Final = Size(kills=5, broker_restarts=1, zombies=1, joins=1, rolls=0)
_LONG_EVENTS, _SHORT_EVENTS = 1_000_000, 60_000
_LONG_PARTITIONS, _SHORT_PARTITIONS = 6, 3


def parse(arguments: list[str] | None = None) -> tuple[Options, list[str]]:
    """Read the command line; returns the options, and the arguments that repeat the run."""
    parser = argparse.ArgumentParser(prog="python -m tests.recovery.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    parser.add_argument("--seed", type=int, help="of plan and load; drawn where it is not given")
    parser.add_argument("--guarantee", choices=[each.value for each in ProcessingGuarantee], default="exactly_once")
    parser.add_argument("--events", type=int, help="predictions and labels together")
    for name in ("kills", "broker-restarts", "zombies", "joins", "rolls"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "chaos", help="logs, the broker, the summary")
    given = parser.parse_args(arguments)
    size = _SHORT if given.short else _LONG
    sizes = {name: getattr(given, name) for name in Size.__dataclass_fields__}
    size = replace(size, **{name: value for name, value in sizes.items() if value is not None})
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    options = Options(
        seed=seed,
        n_events=given.events or (_SHORT_EVENTS if given.short else _LONG_EVENTS),
        size=size,
        guarantee=ProcessingGuarantee(given.guarantee),
        partitions=_SHORT_PARTITIONS if given.short else _LONG_PARTITIONS,
        out=given.out,
    )
    kept = ["--short"] if given.short else []
    kept += [f"--{n.replace('_', '-')} {v}" for n, v in {**sizes, "events": given.events}.items() if v is not None]
    return options, [*kept, f"--guarantee {options.guarantee.value}", f"--seed {seed}"]


def main(arguments: list[str] | None = None) -> int:
    """Run it; 0 where everything held."""
    options, again = parse(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # outages are part of the plan
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # either way, end what was started
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    repeat = f"python -m tests.recovery.chaos {' '.join(again)}"
    sys.stderr.write(f"seed {options.seed}; {repeat}\n")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            summary = runner.run(run(options))
    except BaseException:
        sys.stderr.write(f"the run did not come to its end; to repeat it: {repeat}\n")
        raise
    _write(options.out, summary)
    for problem in summary["problems"]:
        sys.stderr.write(f"WRONG: {problem}\n")
    if not summary["passed"]:
        sys.stderr.write(f"seed {options.seed} failed; to repeat it: {repeat}\n")
    return 0 if summary["passed"] else 1


def _write(out: Path, summary: dict[str, Any]) -> None:
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    line = {name: value for name, value in summary.items() if name not in {"evidence", "books", "problems"}}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
