"""How the demo ends where it cannot begin: its code, what it names, and what it leaves of the run before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.options import parse

ROOT = Path(__file__).resolve().parents[3]


def test_a_broker_that_does_not_answer_is_named_as_it_was_asked_for_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("the last run")
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "--broker", "127.0.0.1:1", "--out", str(tmp_path)],
        env={**os.environ, "PLUMBLINE_KAFKA_CONNECT_TIMEOUT_SECONDS": "0.2"},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert "none answered at --broker 127.0.0.1:1 (`make demo BROKER=…`)" in ended.stdout
    assert "PLUMBLINE_" not in ended.stdout
    assert (tmp_path / "report.html").read_text() == "the last run"


def test_what_makes_no_sense_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--broker", "foo"])
    assert ended.value.code == 2
    assert "expected tansu, kafka, memory, or host:port" in capsys.readouterr().err
