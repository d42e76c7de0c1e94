"""What can be asked of the demo on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from demo.scenarios import SCENARIOS, Name
from schemas.base import parse_duration

ROOT: Final = Path(__file__).resolve().parents[1]
HOME_ZONE_WINTER_NIGHT: Final = 6
"""Hour of UTC at which it is one at night in New York in winter, two in summer: a boundary of the cells."""
FIRST_DAY: Final = date(2013, 1, 1)
LAST_DAY: Final = date(2014, 1, 1)
"""Flights that were due on 31 December may leave after midnight."""
IN_MEMORY: Final = "memory"
"""Instead of a broker: the stages on lists, in this process."""
_FORTNIGHT: Final = timedelta(days=14)
_MONDAY: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run of the demo."""

    broker: str = "tansu"
    deploy: date = date(2013, 6, 10)
    seed: int = 7
    scenario: Name = "skew"
    holdback: float = 0.0
    start: date = FIRST_DAY
    until: date = LAST_DAY
    step: timedelta = timedelta(hours=48)
    probation_step: timedelta = timedelta(hours=3)
    kill_worker_on: date | None = None
    serve: bool = False
    port: int = 0
    out: Path = ROOT / "build" / "demo"
    config: Path = ROOT / "demo" / "monitors.yaml"

    @property
    def start_at(self) -> datetime:
        """The first event of the run is not before this."""
        return _night(self.start)

    @property
    def until_at(self) -> datetime:
        """Departures from here on are left out."""
        return _night(self.until + timedelta(days=1))

    @property
    def deploy_at(self) -> datetime:
        """When v2 goes out: in the night to that Monday, as nobody should."""
        return _night(self.deploy)


def _night(day: date) -> datetime:
    """When almost nothing flies, and a cell begins."""
    return datetime.combine(day, time(HOME_ZONE_WINTER_NIGHT), tzinfo=UTC)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; exits with code 2 and a reason where it makes no sense."""
    parser = _parser()
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    options = Options(**{**_usual(given.get("scenario", "skew")), **given})
    if problem := _problem(options):
        parser.error(problem)
    return options


def _usual(name: Name) -> dict[str, Any]:
    """What a scenario takes, unless it is told otherwise."""
    scenario = SCENARIOS[name]
    return {each: getattr(scenario, each) for each in ("start", "until", "holdback", "config")}


def _problem(options: Options) -> str:
    host, _, port = options.broker.rpartition(":")
    if options.broker not in {"tansu", "kafka", IN_MEMORY} and not (host and port.isdigit()):
        return f"--broker is {options.broker!r}: expected tansu, kafka, memory, or host:port"
    if options.serve and options.broker == IN_MEMORY:
        return "--serve is given with --broker memory: expected a broker, since only a worker has pages"
    return _days_problem(options) or _numbers_problem(options)


def _days_problem(options: Options) -> str:
    if options.deploy.weekday() != _MONDAY or not 3 <= options.deploy.month <= 11:
        return f"--deploy is {options.deploy} ({options.deploy:%A}): expected a Monday from March to November 2013"
    if not options.start < options.deploy <= options.until:
        return f"--deploy {options.deploy} lies outside --from {options.start} to --until {options.until}"
    return ""


def _numbers_problem(options: Options) -> str:
    if not 0 <= options.holdback < 1:
        return f"--holdback is {options.holdback}: expected a share from 0 to below 1, such as .1"
    for name, step in (("--step", options.step), ("--probation-step", options.probation_step)):
        if not timedelta(0) < step <= _FORTNIGHT or _FORTNIGHT % step:
            return f"{name} is {step}: expected a length that divides a fortnight, such as 6h, 1d or 2d"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Serve a year of flights, deploy a broken version, and watch it being caught and rolled back.",
    )
    add = parser.add_argument
    add(
        "--broker",
        help="tansu (embedded, the default), kafka, host:port of one that runs, or memory: the same stages on lists",
    )
    add("--deploy", type=date.fromisoformat, metavar="MONDAY", help="when v2 goes out (default 2013-06-10)")
    add("--seed", type=int, help="seed of everything that is random (default 7)")
    add("--scenario", choices=list(SCENARIOS), help="which story (default skew); demo/README.md tells them")
    add("--holdback", type=float, metavar="SHARE", help="keep this share of the traffic on v1 (default 0)")
    add("--from", dest="start", type=date.fromisoformat, metavar="DAY", help="first day (default 2013-01-01)")
    add("--until", type=date.fromisoformat, metavar="DAY", help="last day (default: the year's end)")
    add("--step", type=parse_duration, help="event time between two looks at the commands (default 2d)")
    add("--probation-step", type=parse_duration, help="the same, in the week after a deployment (default 3h)")
    add("--kill-worker-on", type=date.fromisoformat, metavar="DAY", help="SIGKILL the worker there, and start another")
    add("--serve", action="store_true", default=None, help="keep the worker and its pages up afterwards")
    add("--port", type=int, help="port of the worker's pages (default: a free one; 6066 with --serve)")
    add("--out", type=Path, metavar="FOLDER", help="takes summary.json, report.html and logs (default build/demo)")
    add("--config", type=Path, metavar="FILE", help="monitors.yaml (default: the demo's own)")
    return parser
