"""The demo as people run it, on slices of the year: undisturbed, with the worker killed, and with nothing wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from brokers.process import free_port

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


def test_a_placebo_is_left_alone_and_then_served_until_an_interrupt(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("--scenario", "placebo", "--from", "2013-05-20", "--until", "2013-06-20", "--port", str(port))
    with (tmp_path / "said").open("wb") as said:
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo", "--out", str(tmp_path), "--serve", *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        _wait_for(demo, tmp_path / "said", "serving until it is interrupted")
        _check_pages(f"http://127.0.0.1:{port}")
        children = _children(demo.pid)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(5) == 0, (tmp_path / "said").read_text()
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(20)
    assert len(children) == 2  # the broker and the worker
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in (tmp_path / "said").read_text()
    log = (tmp_path / "worker.log").read_text()
    assert "worker_started" in log
    assert log.rstrip().splitlines()[-1].count("worker_stopped") == 1
    assert "\x1b" not in log

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["rollback"]["final_state"] is None
    assert summary["processing_guarantee"] == "at_least_once"
    assert (tmp_path / "report.html").stat().st_size > 50_000


def _wait_for(demo: subprocess.Popen[bytes], said: Path, words: str) -> None:
    deadline = time.monotonic() + 300
    while words not in said.read_text():
        assert demo.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.2)


def _check_pages(url: str) -> None:
    assert httpx.get(f"{url}/healthz").text == httpx.get(f"{url}/readyz").text == "ok\n"
    page = httpx.get(f"{url}/")
    assert page.headers["content-type"].startswith("text/html")
    assert "flight-delay" in page.text
    metrics = httpx.get(f"{url}/metrics")
    assert metrics.is_success
    if promtool := shutil.which("promtool"):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=metrics.content, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_without_a_broker_it_says_so_and_ends_with_three(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--broker", "127.0.0.1:9", PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS="1")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
