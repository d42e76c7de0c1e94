"""The gate on the demo's flights: v2 is caught before it serves anybody, and v1 under another name is not."""

from __future__ import annotations

import pytest

from demo.flights import Flights
from demo.model import ServedScores
from demo.options import Options
from demo.scenarios import NEW_VERSION, SCENARIOS, Name
from demo.setup import load_entry
from demo.traffic import Traffic
from schemas.base import milliseconds
from schemas.gate import GateResult, GateTerms
from streams.gate.judging import judge
from streams.gate.traffic import Recorded, count


def recorded(flights: Flights, scores: ServedScores, scenario: Name, version: str, days: tuple[int, int]) -> Recorded:
    """Some days' flights before the deployment, as one version answers them."""
    options = Options(scenario=scenario)
    deploy_ms = milliseconds(options.deploy_at)
    first, last = (deploy_ms + day * 86_400_000 for day in days)
    chosen = (flights.departure_ms >= first) & (flights.departure_ms < last)
    serving = SCENARIOS[scenario].serve(flights, scores, options.deploy_at, options.seed)
    traffic = Traffic(flights.between(first, last), {v: each.cut(chosen) for v, each in serving.items()}, seed=1)
    rows = range(len(traffic.flights))
    return (
        [traffic.prediction_event(row, version) for row in rows],
        [traffic.label_event(row) for row in rows if traffic.flights.arrival_ms[row] >= 0],
    )


def judged(flights: Flights, scores: ServedScores, scenario: Name) -> GateResult:
    """v2 as a shadow, on the same week's flights as v1."""
    week = (-8, 0)
    champion, candidate = (recorded(flights, scores, scenario, v, week) for v in ("v1", NEW_VERSION))
    return judge(
        count(load_entry(Options().config).spec(), champion, candidate, reference=None), GateTerms(max_harm=0.05)
    )


@pytest.mark.parametrize(("scenario", "outcome"), [("skew", "failed"), ("placebo", "passed")])
def test_the_gate_on_flights(flights: Flights, scores: ServedScores, scenario: Name, outcome: str) -> None:
    result = judged(flights, scores, scenario)
    failed = {(check.name, check.subject): check for check in result.checks if check.outcome != "passed"}
    assert result.outcome == outcome, failed
    if scenario == "skew":
        assert "too small by 60 (hours where minutes were" in failed["inputs", "dep_delay"].hint
        assert ("harm_miss_rate", "") in failed
