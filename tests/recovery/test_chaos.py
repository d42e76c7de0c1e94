"""The short forms of `make chaos`: workers and broker killed and frozen under load, and counted against the oracle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokers.kafka import missing_tool
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, TopicSettings
from tests.recovery.chaos import workload
from tests.recovery.chaos.observed import Observed
from tests.recovery.chaos.oracle import Oracle
from tests.recovery.chaos.plan import FaultKind, Size, make_plan
from tests.recovery.chaos.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
SIZE = Size(kills=20, broker_restarts=4, zombies=2, joins=3, rolls=1)


@pytest.fixture
def kafka_installed() -> None:
    """Skip, or fail in CI, where Apache Kafka is missing; the runs start a broker of their own, to kill it."""
    missing = missing_tool()
    if missing is not None:
        reason = f"needs Apache Kafka: `{missing}` is not installed (Java 17 and Maven)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def run_chaos(out: Path, *arguments: str) -> dict[str, Any]:
    """Run it as `make chaos` does; its own handler ends what it started where it takes too long."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.recovery.chaos", "--short", "--out", str(out), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 0, said[-4000:]
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return summary


def check_nothing_is_lost(summary: dict[str, Any]) -> None:
    assert summary["passed"], summary["problems"]
    assert (summary["n_lost"], summary["n_doubled"]) == (0, 0)
    assert summary["alerts_seen"] == summary["alerts_expected"] > 0
    assert summary["kills"] >= 5
    assert summary["broker_restarts"] >= 1


@pytest.mark.recovery
@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("kafka_installed")
def test_exactly_once_survives_kills_a_broker_restart_and_a_zombie(tmp_path: Path) -> None:
    summary = run_chaos(tmp_path / "chaos", "--seed", "1")
    check_nothing_is_lost(summary)
    assert summary["n_kills_inside_transaction"] >= 1
    assert summary["n_fenced_zombies"] == 1
    assert summary["n_resent"] == 0


@pytest.mark.recovery
@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("kafka_installed")
def test_at_least_once_loses_nothing_and_what_comes_twice_is_known_by_its_id(tmp_path: Path) -> None:
    arguments = ("--guarantee", "at_least_once", "--seed", "2", "--joins", "0", "--events", "30000")
    check_nothing_is_lost(run_chaos(tmp_path / "chaos", *arguments))


def test_a_plan_is_a_function_of_its_seed() -> None:
    assert make_plan(7, SIZE, fenced=True) == make_plan(7, SIZE, fenced=True)
    assert make_plan(7, SIZE, fenced=True) != make_plan(8, SIZE, fenced=True)
    kinds = [fault.kind for fault in make_plan(7, SIZE, fenced=True)]
    assert kinds.count(FaultKind.KILL) + kinds.count(FaultKind.KILL_IN_TRANSACTION) == 20
    assert kinds.count(FaultKind.BROKER_STOP) == kinds.count(FaultKind.BROKER_KILL) == 2
    membership = [kind for kind in kinds if kind in {FaultKind.JOIN, FaultKind.LEAVE}]
    assert membership == [FaultKind.JOIN, FaultKind.LEAVE] * 3


def test_without_a_fence_no_owner_is_frozen_and_no_transaction_is_aimed_at() -> None:
    kinds = {fault.kind for fault in make_plan(7, SIZE, fenced=False)}
    assert not kinds & {FaultKind.ZOMBIE, FaultKind.KILL_IN_TRANSACTION}


def test_the_oracle_counts_each_event_once_whatever_became_of_it() -> None:
    oracle = Oracle({name: each.model_dump(mode="json") for name, each in workload.references(3).items()})
    sent = list(workload.stream(3, 4_000))
    assert sent == list(workload.stream(3, 4_000))
    for record in sent:
        oracle.take(record)
    n_predictions = sum(record.topic == "ml.predictions.v1" for record in sent)
    outcomes = ("joined", "expired", "dead", "duplicate", "late")
    assert sum(oracle.outcomes[f"predictions_{name}"] for name in outcomes) == n_predictions
    assert sum(oracle.outcomes[f"labels_{name}"] for name in ("joined", "orphan")) == len(sent) - n_predictions
    counted = {"n": 0, "feature:amount": 0, "labelled": 0, "confusion": 0}
    for (_, _, segment, _, what, _), n in oracle.counts.items():
        if segment == "__all__" and what in counted:
            counted[what] += n
    n_good = oracle.outcomes["predictions_joined"] + oracle.outcomes["predictions_expired"]
    n_labelled = oracle.outcomes["predictions_joined"]
    assert counted == {"n": n_good, "feature:amount": n_good, "labelled": n_labelled, "confusion": n_labelled}


def test_the_verdict_sees_one_lost_and_one_doubled_delta() -> None:
    references = workload.references(3)
    control = ControlView()
    for output in workload.control_outputs(references):
        control.apply(output.topic, output.value or b"")
    oracle = Oracle({name: each.model_dump(mode="json") for name, each in references.items()})
    settings = Settings(topics=TopicSettings(events_partitions=1))
    profiler = Harness(lambda: ProfilerProcessor(partition=0, settings=settings, control=control))
    records = []
    for offset, sent in enumerate(workload.stream(3, 4_000)):
        oracle.take(sent)
        records.append(ListRecord(topic=sent.topic, offset=offset, key=sent.key.encode(), value=sent.value))
    profiler.feed([replace(record, timestamp=2_000_000_000_000) for record in records], batch_sizes=100)
    said = [ListRecord(topic=o.topic, key=o.key, value=o.value, headers=o.headers) for o in profiler.outputs]

    def difference(seen: Sequence[ListRecord], *, skips_resent: bool = False) -> tuple[int, int, int]:
        observed = Observed(control, skips_resent=skips_resent)
        for record in seen:
            observed.take(record.topic, record)
        lost, doubled = Verdict().same("counts", oracle.counts, observed.counts)
        return lost, doubled, observed.n_resent

    assert difference(said) == (0, 0, 0)
    assert difference(said[:7] + said[8:])[0] > 0
    lost, doubled, n_resent = difference([*said, said[7]])
    assert (lost, n_resent) == (0, 1)
    assert doubled > 0
    assert difference([*said, said[7]], skips_resent=True) == (0, 0, 1)
