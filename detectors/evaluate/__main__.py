"""`python -m detectors.evaluate`: the judge, of its own streams or (`--data`) of recorded values."""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from detectors.evaluate.judge import LONG, SHORT, judge
from detectors.evaluate.recorded import RecordedError, judge_recorded, read, recorded_table
from detectors.evaluate.summary import as_json, delay_table, null_table, shortfalls

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and write the summary; 1 where a target is missed, 2 for input that cannot be judged."""
    options = _parser().parse_args(arguments)
    if options.data is not None:
        return _recorded(options)
    plan = SHORT if options.short else LONG
    begin = time.monotonic()
    silences, verdicts = judge(plan)
    summary = as_json(plan, silences, verdicts, time.monotonic() - begin)
    path = options.output or Path("build/evaluate") / ("summary-short.json" if options.short else "summary.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n")
    tables = {"judge-null": null_table(silences)}
    for kind in ("abrupt", "gradual", "values"):
        own = [each for each in verdicts if each.kind == kind]
        if own:
            tables[f"judge-{kind}"] = delay_table(own, at_defaults=False)
            tables[f"judge-{kind}-defaults"] = delay_table(own, at_defaults=True)
    for name, table in tables.items():
        _say(f"\n{name}\n\n{table}")
    if options.write:
        _write(tables)
    missed = [] if options.short else shortfalls(silences, verdicts)
    _say("\n".join(["", *(f"missed: {each}" for each in missed), f"summary: {path}"]))
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m detectors.evaluate", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one generator, few repetitions: does it run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/statistics.md")
    parser.add_argument("--output", type=Path, help="the summary; build/evaluate/summary.json by default")
    parser.add_argument("--data", type=Path, help="a CSV with a header")
    parser.add_argument("--value", help="its column: 0 and 1 are errors, anything else values")
    parser.add_argument("--changepoints", type=Path, help="row numbers, one a line, counted from 0")
    parser.add_argument("--reference", type=int, help="rows at the start that are sound; up to the first change")
    parser.add_argument("--tolerance", type=int, default=200, help="rows after a change within which an alarm is none")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles")
    return parser


def _recorded(options: argparse.Namespace) -> int:
    try:
        if options.value is None or options.changepoints is None:
            raise RecordedError("--data: given alone, expected --value and --changepoints with it")
        recorded = read(options.data, options.value, options.changepoints)
        n_reference = recorded.changes[0] if options.reference is None else options.reference
        found = judge_recorded(recorded, n_reference, options.tolerance, options.seed)
    except RecordedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    _say(recorded_table(found, recorded.values.size - n_reference))
    return 0


def _write(tables: dict[str, str]) -> None:
    text = PAGE.read_text()
    for name, table in tables.items():
        marked = f"<!-- {name}:begin -->\n{table}\n<!-- {name}:end -->"
        text, n = re.subn(rf"<!-- {name}:begin -->.*?<!-- {name}:end -->", marked, text, flags=re.DOTALL)
        if n != 1:
            msg = f"{PAGE.name}: {n} places for {name}, expected one"
            raise ValueError(msg)
    PAGE.write_text(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
