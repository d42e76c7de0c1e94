"""The short form of the benchmarks: the real worker and every contender that is installed count the same events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.contenders import CONTENDERS, interpreter
from brokers.kafka import KafkaBroker

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_everybody_runs_and_the_counts_agree(kafka: KafkaBroker, tmp_path: Path) -> None:
    output = tmp_path / "short.json"
    command = [sys.executable, "-m", "benchmarks", "--short", "--broker", kafka.bootstrap_servers]
    done = subprocess.run(
        [*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]
    summary = json.loads(output.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == summary
    # A row is there only if its program told of every pair: `contest` compares.
    rows = {row["key"]: row for row in summary["rooms"]["contest"]["rows"]}
    installed = {contender.name for contender in CONTENDERS} if interpreter() is not None else set()
    assert rows.keys() == {"plumbline", "ceiling"} | installed
    assert {row["n_events"] for row in rows.values()} == {4_000}
    assert all(summary["ratios"][name] is not None for name in installed | {"ceiling"})
    assert report.table("contest", summary)
    assert report.table("closing", summary)
