"""`python -m tests.fuzz --records 1000000 --seed 7`: the long form; a line of JSON, also in build/fuzz/summary.json."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import structlog

from tests.fuzz import arrow, decisions
from tests.fuzz.profiler import run

SUMMARY = Path(__file__).resolve().parents[2] / "build" / "fuzz" / "summary.json"
_SHARE = 0.01
"""Records of each of the slower readers, as a share of stage 1's."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records for stage 1; others get a share")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same records")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started = time.monotonic()
    n_others = max(200, round(options.records * _SHARE))
    figures = {
        "seed": options.seed,
        "profiler": run(options.records, options.seed),
        "arrow": arrow.run(n_others, options.seed),
        "evaluator": decisions.fuzz_evaluator(options.seed, n_others),
        "governor": decisions.fuzz_governor(options.seed, n_others),
        "control": decisions.fuzz_control(options.seed, n_others // 5),
        "seconds": round(time.monotonic() - started, 1),
    }
    line = json.dumps(figures)
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(line + "\n")
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
