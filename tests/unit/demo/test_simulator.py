from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import msgspec
import pytest
from fake_monitor import FakeWire, make_alert

from demo import account
from demo.journal import Moment
from demo.simulator import Simulator
from schemas import topics
from schemas.base import milliseconds

Make = Callable[..., tuple[Simulator, FakeWire]]


def _events(wire: FakeWire, topic: str) -> list[dict]:
    return [msgspec.json.decode(each.value or b"") for each in wire.sent if each.topic == topic]


def _checks(simulator: Simulator) -> list[account.Check]:
    return [
        *account.accounting(simulator.totals, simulator.sent),
        account.dead_letter_check(simulator.totals, len(simulator.journal.dead_letters)),
        *account.verdict(simulator.options, simulator.journal, simulator.registry, simulator.spec, simulator.sent),
    ]


async def test_a_broken_version_is_rolled_back_and_everything_is_accounted_for(make_simulator: Make) -> None:
    simulator, wire = make_simulator()
    await simulator.run()
    assert [check.name for check in _checks(simulator) if not check.passed] == []
    versions = [event["model_version"] for event in _events(wire, topics.PREDICTIONS.name)]
    first, last = versions.index("v2"), len(versions) - 1 - versions[::-1].index("v2")
    assert set(versions[:first]) == {"v1"}
    assert set(versions[first : last + 1]) == {"v2"}
    assert versions[-1] == "v1"
    assert 500 < versions.count("v2") < 3_000


async def test_events_are_sent_in_the_order_of_event_time(make_simulator: Make) -> None:
    simulator, wire = make_simulator(until=date(2013, 6, 12), step=timedelta(hours=12))
    await simulator.run()
    times = [
        event.get("prediction_timestamp", event.get("label_timestamp"))
        for event in (
            msgspec.json.decode(each.value or b"")
            for each in wire.sent
            if each.topic in {topics.PREDICTIONS.name, topics.LABELS.name}
        )
    ]
    assert len(times) > 30_000
    assert times == sorted(times)


async def test_steps_are_short_on_probation_and_end_at_the_deployment(make_simulator: Make) -> None:
    simulator, _ = make_simulator(until=date(2013, 6, 11), step=timedelta(days=2))
    ends = []
    simulator.on_step = lambda s: ends.append(s.now)
    await simulator.run()
    deployed = simulator.options.deploy_at
    assert deployed in ends
    after = ends[ends.index(deployed) :]
    assert after[1] - after[0] == timedelta(hours=3)


async def test_a_holdback_keeps_its_share_on_the_old_version(make_simulator: Make) -> None:
    simulator, wire = make_simulator(holdback=0.1, wire=FakeWire(limit=2.0), until=date(2013, 6, 16))
    await simulator.run()
    deployed = milliseconds(simulator.options.deploy_at) / 1000
    served = [
        event["model_version"]
        for event in _events(wire, topics.PREDICTIONS.name)
        if event["prediction_timestamp"] >= deployed
    ]
    assert 0.08 < served.count("v1") / len(served) < 0.12
    active = {
        event["model_version"]: event["traffic_ratio"]
        for event in _events(wire, topics.DEPLOYMENTS.name)
        if event["state"] == "active"
    }
    assert active == {"v1": 0.1, "v2": 0.9}


async def test_the_placebo_sends_the_same_answers_under_another_name(make_simulator: Make) -> None:
    simulator, wire = make_simulator(scenario="placebo", until=date(2013, 6, 12))
    await simulator.run()
    assert all(check.passed for check in _checks(simulator))
    assert {event["model_version"] for event in _events(wire, topics.PREDICTIONS.name)} == {"v1", "v2"}
    assert simulator.registry.alias.version == "v2"


async def test_a_lost_prediction_shows(make_simulator: Make) -> None:
    simulator, _ = make_simulator(wire=FakeWire(drop=1), until=date(2013, 6, 12))
    await simulator.run()
    (predictions, labels) = account.accounting(simulator.totals, simulator.sent)
    assert not predictions.passed
    assert labels.passed


async def test_two_runs_with_one_seed_send_the_same_bytes(make_simulator: Make) -> None:
    runs = [make_simulator(until=date(2013, 6, 12)) for _ in range(2)]
    for simulator, _ in runs:
        await simulator.run()
    assert runs[0][1].sent == runs[1][1].sent


async def test_the_worker_is_killed_once(make_simulator: Make) -> None:
    said: list[str] = []
    simulator, _ = make_simulator(kill_worker_on=date(2013, 6, 2), until=date(2013, 6, 11), said=said)
    await simulator.run()
    assert said.count("killed") == 1


async def test_more_pages_on_v1_than_the_budget_allows_fail_the_run(make_simulator: Make) -> None:
    simulator, _ = make_simulator(until=date(2013, 6, 12))
    await simulator.run()
    for days in range(3):
        alert = make_alert(simulator.options.start_at + timedelta(days=days), 100, version="v1")
        simulator.journal._take_alert(alert, Moment(at=alert.starts_at, n_events=0))
    failed = [check.name for check in _checks(simulator) if not check.passed]
    assert "v1's pages are within the budget" in failed


@pytest.mark.parametrize("n_late", [1])
async def test_bad_records_are_of_every_kind(make_simulator: Make, n_late: int) -> None:
    simulator, _ = make_simulator(until=date(2013, 6, 12))
    await simulator.run()
    outcomes = [bad.outcome for bad in simulator.bad_records]
    assert outcomes.count("dead letter") == 8
    assert outcomes.count("late prediction") == n_late
    assert {"duplicate prediction", "duplicate label", "orphan label", "expired prediction"} <= set(outcomes)
    assert any(len(bad.output.value or b"") > 2_000_000 for bad in simulator.bad_records)
