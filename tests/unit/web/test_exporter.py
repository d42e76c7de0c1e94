from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from decision_samples import NOW, alert, command, record

from schemas import topics
from schemas.alerts import AlertStatus
from schemas.deployments import ResourceEvent
from schemas.metrics import SeriesVerdict, WindowMetrics
from schemas.rollbacks import RollbackReason, RollbackState
from streams import telemetry
from streams.engine.processor import Staged
from streams.settings import Settings, StageName, WebSettings
from streams.web.exporter import Exporter

MODEL = {"environment": "production", "model_name": "flight-delay"}
PROMTOOL = Path("/usr/bin/promtool")


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter(settings=Settings(web=WebSettings(max_series_per_model=10)), now=lambda: NOW)
    yield made
    made.closed(StageName.EVALUATOR, 0)
    telemetry.drop_model(*MODEL.values())


def commit(exporter: Exporter, *observations: object, partition: int = 0) -> None:
    exporter.committed(StageName.EVALUATOR, partition, Staged(observations=observations))


def window(*, version: str = "7", kind: str = "inputs", hours: int = 0, **changes: Any) -> WindowMetrics:
    fields: dict[str, Any] = {
        "model_name": "flight-delay",
        "model_version": version,
        "kind": kind,
        "window_start": NOW + timedelta(hours=hours - 1),
        "window_end": NOW + timedelta(hours=hours),
        "values": {"latency_p95": 0.2},
    }
    return WindowMetrics.model_validate({**fields, **changes})


def verdict(status: str = "stable", **changes: Any) -> SeriesVerdict:
    fields: dict[str, Any] = {"monitor_id": "drift", "signal": "feature_drift", "status": status}
    return SeriesVerdict.model_validate({**fields, "statistic": 1.0, "threshold": 20.0, **changes})


def sample(name: str, **labels: str) -> float | None:
    return telemetry.REGISTRY.get_sample_value(f"plumbline_{name}", {**MODEL, **labels})


def value_of(signal: str, version: str = "7", segment: str = "__all__") -> float | None:
    return sample("metric_value", model_version=version, signal=signal, segment=segment)


def test_a_window_becomes_gauges(exporter: Exporter) -> None:
    commit(
        exporter,
        window(
            segments={"origin=JFK": {"latency_p95": 0.4}},
            verdicts=[verdict(feature="a"), verdict("drift", feature="b", statistic=30.0), verdict(feature="c")],
        ),
    )
    assert value_of("latency_p95") == 0.2
    assert value_of("latency_p95", segment="origin=JFK") == 0.4
    labels = {"model_version": "7", "segment": "__all__", "monitor_id": "drift"}
    assert sample("detector_statistic", **labels) == 30.0, "of many features the one nearest to its threshold"
    assert sample("detector_threshold", **labels) == 20.0
    assert sample("event_time_watermark_seconds", kind="inputs") == NOW.timestamp()


def test_a_window_counts_by_its_most_telling_verdict(exporter: Exporter) -> None:
    before = sample("windows_total", status="drift") or 0
    commit(exporter, window(verdicts=[verdict(), verdict("drift")]))
    commit(exporter, window(kind="restatement", verdicts=[verdict("drift")]))
    assert sample("windows_total", status="drift") == before + 1


def test_no_value_is_no_zero_and_what_is_gone_goes(exporter: Exporter) -> None:
    commit(exporter, window(values={"latency_p95": 0.2, "volume": 5.0}, verdicts=[verdict()]))
    commit(exporter, window(hours=1, values={"latency_p95": None}))
    assert value_of("latency_p95") is None
    assert value_of("volume") is None
    assert sample("detector_statistic", model_version="7", segment="__all__", monitor_id="drift") is None


def test_an_older_window_does_not_overwrite_a_newer_one(exporter: Exporter) -> None:
    commit(exporter, window(kind="outcomes", hours=2, values={"error_rate": 0.2}))
    commit(exporter, window(kind="restatement", hours=1, revision=1, values={"error_rate": 0.9}))
    assert value_of("error_rate") == 0.2
    commit(exporter, window(kind="restatement", hours=2, revision=1, values={"error_rate": 0.3}))
    assert value_of("error_rate") == 0.3


def test_series_are_bounded_and_the_bound_is_a_metric(exporter: Exporter) -> None:
    before = sample("series_limit_reached_total") or 0
    commit(exporter, window(values={f"signal_{number}": 1.0 for number in range(13)}))
    assert value_of("signal_9") == 1.0
    assert value_of("signal_10") is None
    assert sample("series_limit_reached_total") == before + 3


def test_an_old_version_gives_way_to_a_new_one(exporter: Exporter) -> None:
    commit(exporter, window(version="6", values={f"signal_{number}": 1.0 for number in range(10)}))
    commit(exporter, window(version="7", hours=1, values={"error_rate": 0.1, "volume": 9.0}))
    assert value_of("error_rate") == 0.1
    assert [value_of(f"signal_{number}", version="6") for number in (0, 1, 2)] == [None, None, 1.0]


def test_a_partition_that_moved_away_takes_its_series_along(exporter: Exporter) -> None:
    other = window(model_name="other")
    commit(exporter, window(), alert())
    commit(exporter, other, partition=1)
    exporter.closed(StageName.EVALUATOR, 0)
    assert value_of("latency_p95") is None
    assert sample("alerts", severity="page", state="firing") is None
    labels = {**MODEL, "model_name": "other", "model_version": "7", "signal": "latency_p95", "segment": "__all__"}
    assert telemetry.REGISTRY.get_sample_value("plumbline_metric_value", labels) == 0.2
    exporter.closed(StageName.EVALUATOR, 1)
    assert telemetry.REGISTRY.get_sample_value("plumbline_metric_value", labels) is None
    exporter.closed(StageName.GOVERNOR, 0)


def test_alerts_in_force_by_state(exporter: Exporter) -> None:
    before = sample("alert_transitions_total", severity="page", state="firing") or 0
    commit(exporter, alert(AlertStatus.PENDING), alert(name="other"))
    assert sample("alerts", severity="page", state="pending") == 1
    assert sample("alerts", severity="page", state="firing") == 1
    commit(exporter, alert(sequence=2), alert(name="other", sequence=2, previous_status="firing"))
    assert sample("alerts", severity="page", state="pending") == 0
    assert sample("alerts", severity="page", state="firing") == 2
    assert sample("alert_transitions_total", severity="page", state="firing") == before + 2, "re-assertion is none"
    commit(exporter, alert(AlertStatus.RESOLVED, sequence=3), alert(AlertStatus.RESOLVED, name="other", sequence=3))
    assert sample("alerts", severity="page", state="firing") == 0


def test_alerts_from_before_a_restart_count_once_the_model_is_ours(exporter: Exporter) -> None:
    exporter.board.apply_record(topics.ALERTS.name, record(topics.ALERTS.name, alert()))
    assert sample("alerts", severity="page", state="firing") is None
    commit(exporter, window())
    assert sample("alerts", severity="page", state="firing") == 1


def test_the_governor_s_alerts_count_where_the_model_is_ours_and_own_nothing(exporter: Exporter) -> None:
    exporter.committed(StageName.GOVERNOR, 0, Staged(observations=[alert(name="ineffective")]))
    assert sample("alerts", severity="page", state="firing") is None
    commit(exporter, window())
    exporter.committed(StageName.GOVERNOR, 0, Staged(observations=[alert(name="retrain")]))
    assert sample("alerts", severity="page", state="firing") == 2
    exporter.closed(StageName.GOVERNOR, 0)
    assert value_of("latency_p95") == 0.2


def test_resources_of_instances_are_put_together(exporter: Exporter) -> None:
    def measured(instance: str, minutes: int, **fields: float) -> ResourceEvent:
        at = NOW + timedelta(minutes=minutes)
        return ResourceEvent.model_validate(
            {"model_name": "flight-delay", "model_version": "7", "instance": instance, "measured_at": at, **fields}
        )

    commit(
        exporter, measured("a", 0, cpu_ratio=0.2, memory_bytes=100), measured("b", 1, cpu_ratio=0.9, memory_bytes=50)
    )
    assert sample("resource_cpu_ratio", model_version="7") == 0.9
    assert sample("resource_memory_bytes", model_version="7") == 150
    assert sample("resource_gpu_ratio", model_version="7") is None
    commit(exporter, measured("a", 12, cpu_ratio=0.3))
    assert sample("resource_cpu_ratio", model_version="7") == 0.3, "b has been silent for too long"


def test_rollbacks_count_by_outcome_or_reason(exporter: Exporter) -> None:
    def outcome(name: str) -> float:
        return telemetry.REGISTRY.get_sample_value("plumbline_rollbacks_total", {"outcome": name}) or 0

    before = outcome("no_healthy_target"), outcome("approved")
    refusal = RollbackReason(summary="no", refusal="no_healthy_target")
    observations = (command(RollbackState.REFUSED, reason=refusal), command(RollbackState.APPROVED, rollback_id="b"))
    exporter.committed(StageName.GOVERNOR, 0, Staged(observations=observations))
    assert (outcome("no_healthy_target"), outcome("approved")) == (before[0] + 1, before[1] + 1)


@pytest.mark.skipif(not PROMTOOL.exists(), reason="promtool is not installed")
def test_a_scrape_passes_promtool(exporter: Exporter) -> None:
    commit(exporter, window(verdicts=[verdict()], label_coverage_ratio=0.5), alert())
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=telemetry.render(), capture_output=True, check=False, timeout=20
    )
    ours = [line for line in (done.stdout + done.stderr).decode().splitlines() if line.startswith("plumbline")]
    assert ours == []
    assert done.returncode == 0, done.stderr.decode()
