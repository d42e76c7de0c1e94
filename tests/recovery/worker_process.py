"""`plumbline worker` as a process, and the events that it counts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from schemas import topics
from schemas.profiles import ProfileDelta, ProfileRecord
from streams.control.blocks import unpack_blocks
from streams.engine.processor import Output, Record
from streams.settings import Settings

PLUMBLINE = [sys.executable, "-m", "streams.cli", "worker"]
ROOT = Path(__file__).resolve().parents[2]
MOMENT = 1_760_000_000.0
"""Event time of all events, give or take an hour."""


class WorkerProcess:
    """A running worker, its pages and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; 0 before it answers."""
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.said)
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self) -> None:
        self.wait_until_said("worker_started")
        deadline = time.monotonic() + 30
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def wait_until_said(self, words: str, *, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self) -> int:
        """SIGTERM; it ends within five seconds, and says with which code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there five seconds after SIGTERM:\n{self.said}") from None


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a worker reads them."""
    chosen = {
        "kafka": ["bootstrap_servers"],
        "topics": ["prefix", "events_partitions", "models_partitions"],
        "web": ["port"],
    }
    engine = list(settings.engine.model_fields_set)
    variables = {
        f"PLUMBLINE_{group}_{name}".upper(): str(getattr(getattr(settings, group), name))
        for group, names in {**chosen, "engine": engine}.items()
        for name in names
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLUMBLINE_")}
    return {**kept, **variables}


@contextmanager
def run(
    settings: Settings, tmp_path: Path, *arguments: str, command: Sequence[str] = tuple(PLUMBLINE)
) -> Iterator[WorkerProcess]:
    """A worker; killed at the end where it is still there."""
    log = tmp_path / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment(settings), stderr=file)
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def predictions(first: int, n: int) -> Iterator[Output]:
    """Some predictions with ids of their own."""
    for number in range(first, first + n):
        event = {
            "prediction_id": f"p{number}", "model_name": "m", "model_version": "v1",
            "prediction_timestamp": MOMENT + number % 3600, "prediction_label": "on", "features": {"x": number % 7},
        }  # fmt: skip
        yield Output(topic=topics.PREDICTIONS.name, key=b"p%d" % number, value=json.dumps(event).encode())


def n_counted(profiles: Sequence[Record]) -> int:
    """Predictions in all deltas: the first place of every layout is their number."""
    total = 0
    for record in profiles:
        said = msgspec.msgpack.decode(record.value or b"", type=ProfileRecord)
        for part in said.parts if isinstance(said, ProfileDelta) else ():
            for block in unpack_blocks(part.columns):
                if block.segment == "__all__":
                    total += int(block.counts[block.slots == 0].sum())
    return total
