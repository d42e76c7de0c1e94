"""A worker as a process: what it answers, and how it ends."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brokers.kafka import KafkaBroker
from brokers.process import free_port
from brokers.tansu import TansuBroker

SCRIPT = Path(__file__).with_name("counting_worker.py")


class WorkerProcess:
    """A running worker, its address and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.said)
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self) -> tuple[int, float]:
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10), time.monotonic() - started


@contextmanager
def run(tmp_path: Path, bootstrap_servers: str, guarantee: str) -> Iterator[WorkerProcess]:
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, SCRIPT, bootstrap_servers, guarantee], stderr=file)
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.kafka
def test_a_worker_answers_and_ends_on_sigterm(kafka: KafkaBroker, tmp_path: Path) -> None:
    with run(tmp_path, kafka.bootstrap_servers, "exactly_once") as worker:
        worker.wait_until_ready()
        assert worker.get("/healthz") == (200, "ok\n")
        assert worker.get("/") == (200, "<p>counting</p>")
        status, metrics = worker.get("/metrics")
        assert status == 200
        assert 'plumbline_worker_ready{stage="profiler"} 1.0' in metrics
        promtool = shutil.which("promtool")
        if promtool is not None:
            checked = subprocess.run(
                [promtool, "check", "metrics"], input=metrics.encode(), capture_output=True, check=False
            )
            assert (checked.returncode, checked.stdout) == (0, b""), checked
        code, seconds = worker.end()
        assert code == 0, worker.said
        assert seconds < 5
        assert "Traceback" not in worker.said


def test_a_worker_without_a_broker_says_so_and_ends_with_3(tmp_path: Path) -> None:
    port = free_port()
    with run(tmp_path, f"127.0.0.1:{port}", "exactly_once") as worker:
        assert worker.process.wait(10) == 3
        assert f"no broker answered at kafka.bootstrap_servers = '127.0.0.1:{port}'" in worker.said


def test_a_worker_whose_guarantee_the_broker_lacks_ends_with_2(tansu: TansuBroker, tmp_path: Path) -> None:
    with run(tmp_path, tansu.bootstrap_servers, "exactly_once") as worker:
        assert worker.process.wait(15) == 2
        assert "set PLUMBLINE_ENGINE_PROCESSING_GUARANTEE=at_least_once" in worker.said


def test_a_worker_whose_broker_hangs_ends_all_the_same(tmp_path: Path) -> None:
    with (
        TansuBroker(tmp_path / "tansu") as broker,
        run(tmp_path, broker.bootstrap_servers, "at_least_once") as worker,
    ):
        worker.wait_until_ready()
        broker.kill(signal.SIGSTOP)
        _, seconds = worker.end()
        assert seconds < 5


def test_a_worker_ends_on_sigterm_while_it_still_waits_for_a_broker(tmp_path: Path) -> None:
    with run(tmp_path, f"127.0.0.1:{free_port()}", "exactly_once") as worker:
        deadline = time.monotonic() + 10
        while "waiting_for_broker" not in worker.said:
            assert time.monotonic() < deadline, worker.said
            time.sleep(0.02)
        code, seconds = worker.end()
        assert (code, seconds < 5) == (0, True), worker.said
