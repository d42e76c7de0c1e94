"""The demo as people run it, on slices of the year: undisturbed, with the worker killed, and with nothing wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
SLICE = ("--from", "2013-05-20", "--until", "2013-06-14")


def _demo(out: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo", "--out", str(out), *arguments],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def _summary(out: Path, *arguments: str) -> dict[str, Any]:
    done = _demo(out, *arguments)
    worker_log = (out / "worker.log").read_text(errors="replace") if (out / "worker.log").exists() else ""
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}\n{worker_log[-2000:]}"
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def _decided(summary: dict[str, Any]) -> dict[str, Any]:
    """Counts, alerts and rollback steps: what must not depend on how the run went."""
    counts = {name: value for name, value in summary.items() if name.startswith("n_")}
    return {
        **counts,
        "predictions": summary["predictions"],
        "labels": summary["labels"],
        "alerts": summary["alerts"],
        "rollback": summary["rollback"],
        "delays": summary["delays"],
    }


@pytest.mark.kafka
def test_a_killed_worker_changes_no_count_no_alert_and_no_step(tmp_path: Path) -> None:
    calm = _summary(tmp_path / "calm", "--broker", "kafka", *SLICE)
    killed = _summary(tmp_path / "killed", "--broker", "kafka", "--kill-worker-on", "2013-06-10", *SLICE)
    assert calm["processing_guarantee"] == killed["processing_guarantee"] == "exactly_once"
    assert calm["rollback"]["final_state"] == "verified"
    assert _decided(killed) == _decided(calm)


def test_a_placebo_is_left_alone(tmp_path: Path) -> None:
    summary = _summary(tmp_path, "--scenario", "placebo", "--from", "2013-05-20", "--until", "2013-06-20")
    assert summary["rollback"]["final_state"] is None
    assert summary["processing_guarantee"] == "at_least_once"
    assert (tmp_path / "report.html").stat().st_size > 50_000


def test_without_a_broker_it_says_so_and_ends_with_three(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--broker", "127.0.0.1:9", PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS="1")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
