"""The demo's other stories, on lists: when a rollback must not happen, and what happens when nobody executes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_demo import _summary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]


def played(out: Path, scenario: str, *, start: str, until: str) -> dict[str, Any]:
    """What a scenario's summary says; the demo has held it against what should have come of it already."""
    days = ("--from", start, "--until", until)
    return _summary(out, "--broker", "memory", "--scenario", scenario, *days)


def rules(summary: dict[str, Any]) -> list[str]:
    return [refusal["rule"] for refusal in summary["refusals"]]


def pages(summary: dict[str, Any], version: str) -> set[str]:
    return {a["alertname"] for a in summary["alerts"] if a["severity"] == "page" and a["model_version"] == version}


def test_the_weather_feed_breaks_days_after_a_good_version_went_live_and_the_old_one_tells(tmp_path: Path) -> None:
    """The holdback is silent at first, so this is the scenario without one as well."""
    summary = played(tmp_path, "upstream-holdback", start="2013-05-13", until="2013-07-14")
    assert rules(summary) == ["not_deployment_aligned", "upstream_cause"]
    assert pages(summary, "v2") == {"FalsePositiveRate"}
    assert summary["rollback"]["requested_at"] is None


def test_a_better_version_is_left_alone(tmp_path: Path) -> None:
    summary = played(tmp_path, "better", start="2013-05-20", until="2013-06-29")
    assert rules(summary) == []
    assert pages(summary, "v2") == set()
    assert "PromoteRecommended" in {a["alertname"] for a in summary["alerts"]}


def test_nobody_executes_the_rollback(tmp_path: Path) -> None:
    summary = played(tmp_path, "executor-down", start="2013-05-20", until="2013-06-16")
    states = [(command["attempt"], command["state"]) for command in summary["commands"]]
    assert states == [(n, state) for n in (1, 2, 3) for state in ("requested", "approved", "expired")]
    assert pages(summary, "v2") == {"MissRate", "RollbackExpired"}


def test_the_version_before_is_ill_too(tmp_path: Path) -> None:
    summary = played(tmp_path, "unhealthy-target", start="2013-05-20", until="2013-06-16")
    assert rules(summary) == ["no_healthy_target"]
    assert pages(summary, "v1")
    assert "RetrainRequested" in {a["alertname"] for a in summary["alerts"]}
