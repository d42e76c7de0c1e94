"""The registry: names that Prometheus accepts, counts from commits, series that go with their task."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from streams import telemetry


def value(name: str, **labels: str) -> float | None:
    return telemetry.REGISTRY.get_sample_value(name, labels)


def test_counts_of_the_profiler_are_its_outcomes_too() -> None:
    before = value("plumbline_profiler_events_total", outcome="orphan") or 0
    telemetry.count_events("profiler", {"orphan": 3, "late": 0})
    telemetry.count_events("evaluator", {"orphan": 5})
    assert value("plumbline_profiler_events_total", outcome="orphan") == before + 3
    assert value("plumbline_events_total", stage="evaluator", event="orphan") == 5
    assert value("plumbline_events_total", stage="profiler", event="late") is None


def test_a_closed_task_takes_its_gauges_along_and_leaves_the_others() -> None:
    for partition in ("0", "1"):
        telemetry.CONSUMER_LAG.labels(stage="s", topic="t", partition=partition).set(7)
    telemetry.drop_task("s", 0)
    assert value("plumbline_consumer_lag_records", stage="s", topic="t", partition="0") is None
    assert value("plumbline_consumer_lag_records", stage="s", topic="t", partition="1") == 7


def test_a_model_that_went_elsewhere_takes_its_gauges_along() -> None:
    labels = {"environment": "e", "model_name": "m", "model_version": "1"}
    telemetry.LABEL_COVERAGE.labels(**labels).set(0.5)
    telemetry.LABEL_COVERAGE.labels(**{**labels, "model_name": "other"}).set(0.6)
    telemetry.drop_model("e", "m")
    assert value("plumbline_label_coverage_ratio", **labels) is None
    assert value("plumbline_label_coverage_ratio", **{**labels, "model_name": "other"}) == 0.6


def test_build_info_has_one_series() -> None:
    telemetry.set_build_info("1", "exactly_once")
    telemetry.set_build_info("2", "at_least_once")
    assert telemetry.render().count(b"plumbline_build_info{") == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say() -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=telemetry.render(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
