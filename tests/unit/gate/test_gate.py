"""A candidate before it goes out: what passes, what fails and looks like what, and what too little data says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.gate import GateCheck, GateResult, GateTerms
from streams.gate.judging import markdown, worst
from tests.unit.gate.gate_world import Change, judged, recorded


def by_outcome(result: GateResult, outcome: str) -> list[tuple[str, str]]:
    return [(check.name, check.subject) for check in result.checks if check.outcome == outcome]


def of(result: GateResult, name: str, subject: str = "") -> GateCheck:
    return next(check for check in result.checks if (check.name, check.subject) == (name, subject))


def in_hours(row: dict[str, Any], rng: np.random.Generator) -> None:
    del rng
    row["features"]["minutes"] /= 60.0


def mostly_missing(row: dict[str, Any], rng: np.random.Generator) -> None:
    if rng.random() < 0.9:
        row["features"]["age"] = None


def swapped(row: dict[str, Any], rng: np.random.Generator) -> None:
    del rng
    features = row["features"]
    features["minutes"], features["age"] = features["age"], features["minutes"]


def forgotten(row: dict[str, Any], rng: np.random.Generator) -> None:
    del rng
    del row["features"]["age"]


def unfair(row: dict[str, Any], rng: np.random.Generator) -> None:
    row["says"] = bool(rng.random() < (0.7 if row["features"]["sex"] == "m" else 0.2))


def test_a_candidate_that_is_as_good_passes() -> None:
    result = judged(recorded("v2", 3_000, seed=2))
    assert by_outcome(result, "failed") == by_outcome(result, "too_little_data") == []
    assert (result.outcome, result.champion, result.candidate) == ("passed", "v1", "v2")
    assert {check.name for check in result.checks} >= {
        "schema", "inputs", "scores", "serving_errors", "harm_error_rate", "fairness_selection_rate_difference",
        "latency_p95", "cost_mean", "quality_missing_ratio",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "check", "hint"),
    [
        (in_hours, ("inputs", "minutes"), "values are too small by 60 (hours where minutes were"),
        (mostly_missing, ("inputs", "age"), "of the values are missing"),
        (swapped, ("inputs", "age"), "the columns are swapped"),
    ],
)
def test_inputs_of_another_shape_fail_and_are_recognised(change: Change, check: tuple[str, str], hint: str) -> None:
    result = judged(recorded("v2", 3_000, seed=2, change=change))
    assert result.outcome == "failed"
    assert of(result, *check).outcome == "failed"
    assert hint in of(result, *check).hint


@pytest.mark.parametrize(
    ("terms", "name", "subject"),
    [
        ({"change": forgotten}, "schema", ""),
        ({"change": mostly_missing}, "quality_missing_ratio", "age"),
        ({"wrong": 0.35}, "harm_error_rate", ""),
        ({"wrong_in": {"west": 0.45}}, "harm_error_rate", "region=west"),
        ({"change": unfair}, "fairness_selection_rate_difference", "sex"),
        ({"latency": 0.08}, "latency_p95", ""),
        ({"cost": 0.002}, "cost_mean", ""),
        ({"failing": 0.05}, "serving_errors", ""),
    ],
)
def test_each_check_finds_what_it_is_for(terms: dict[str, Any], name: str, subject: str) -> None:
    result = judged(recorded("v2", 3_000, seed=2, **terms))
    assert (name, subject) in by_outcome(result, "failed")
    assert result.outcome == "failed"


@pytest.mark.parametrize(
    ("terms", "name", "subject"),
    [
        ({"n": 300}, "enough_predictions", "candidate"),
        ({"n": 3_000, "labelled": 0.02}, "harm_error_rate", ""),
    ],
)
def test_it_never_passes_on_too_little_data(terms: dict[str, Any], name: str, subject: str) -> None:
    result = judged(recorded("v2", terms.pop("n"), seed=2, **terms))
    assert result.outcome == "too_little_data"
    assert (name, subject) in by_outcome(result, "too_little_data")


def test_a_difference_in_doubt_is_no_pass() -> None:
    result = judged(recorded("v2", 1_200, seed=2, wrong=0.19), max_harm=0.05)
    assert of(result, "harm_error_rate").outcome == "too_little_data"


def test_limits_that_are_null_are_not_looked_at() -> None:
    nothing = {name: None for name in GateTerms.model_fields if name.startswith("max_")}
    result = judged(recorded("v2", 3_000, seed=2, change=in_hours, wrong=0.9), **nothing)
    assert {check.name for check in result.checks} == {"enough_predictions", "schema"}
    assert result.outcome == "passed"


def test_nothing_checked_is_no_pass() -> None:
    assert worst([]) == "too_little_data"


def test_the_report_begins_with_what_did_not_pass() -> None:
    lines = list(markdown(judged(recorded("v2", 3_000, seed=2, change=in_hours))))
    assert lines[0] == "# Gate: m v2 against v1"
    assert lines[2].startswith("**failed** on 3000 predictions")
    rows = [line for line in lines if line.startswith("| ") and "Check" not in line]
    assert "| failed |" in rows[0]
    assert "| passed |" in rows[-1]
