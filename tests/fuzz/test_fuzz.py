"""The short form of `make fuzz`: a few seconds for each reader."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.fuzz import decisions
from tests.fuzz.profiler import MAX_MODELS, Run


def test_every_record_of_stage_1_is_accounted_for_and_memory_is_bounded() -> None:
    figures = Run(11, restart_every=8).feed(25_000)
    assert figures.n_records == 25_000
    assert figures.n_restarts == 3
    assert figures.n_models <= MAX_MODELS
    assert set(figures.reasons) >= {
        "not_json", "schema", "missing_field", "bad_timestamp", "future_timestamp", "too_large", "empty_value",
        "bad_key",
    }  # fmt: skip
    # It is no use if nothing gets through: every outcome is among them.
    assert {name for name, n in figures.totals.items() if n == 0} == set()
    assert figures.changelog_bytes < 10_000_000


@pytest.mark.parametrize("seed", [1, 2])
def test_garbage_between_the_stages_stops_none(seed: int) -> None:
    assert 200 < decisions.fuzz_evaluator(seed, 1_000)["n_dead"] < 900
    assert 200 < decisions.fuzz_governor(seed, 2_000)["n_dead"] < 1_800


def test_garbage_on_control_topics_is_refused_in_words_and_stops_nobody() -> None:
    assert 100 < decisions.fuzz_control(3, 300)["n_rejected"] < 290


def test_mutated_arrow_batches_end_in_rows_or_in_dead_letters() -> None:
    # In a process of its own: what is feared most is a library that reads beyond its buffers.
    command = [sys.executable, "-m", "tests.fuzz.arrow", "--records", "1500", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["n_silent"] == 0
    assert figures["n_rows"] > 1_000
    assert figures["reasons"]["bad_batch"] > 500
