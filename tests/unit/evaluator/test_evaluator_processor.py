"""The evaluator on profile deltas written by hand."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from schemas import topics
from schemas.alerts import AlertStatus
from schemas.deployments import ResourceEvent
from schemas.profiles import Outcomes
from streams.control.blocks import Block
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from tests.unit.evaluator.world import START, World, alerts, cell_ms, evidence, windows

PAGE: dict[str, Any] = {"signal": "miss_rate", "severity": "page", "tolerance": 0.05}
DRIFT: dict[str, Any] = {"signal": "feature_drift", "reference_context": "global"}
ERRORS: dict[str, Any] = {"signal": "serving_error_ratio", "tolerance": 0.01, "reference_context": "global"}


def broken_after(cell: int, total: int, **terms: Any) -> World:
    world = World([PAGE, DRIFT, ERRORS])
    world.deploy("v1", 0)
    for number in range(total):
        world.cell("v1", number, **(terms if number >= cell else {}))
    return world


def test_windows_close_once_inputs_first_outcomes_at_maturity() -> None:
    harness = broken_after(99, 10).run()
    inputs, outcomes = windows(harness, "inputs"), windows(harness, "outcomes")
    assert [(w.window_start.timestamp() * 1000 - cell_ms(0)) / 21_600_000 for w in inputs] == list(range(10))
    assert len(outcomes) == 8  # two cells of six hours have not matured yet
    assert all(w.n_predictions == 400 for w in inputs)
    assert {v.status for w in inputs + outcomes for v in w.verdicts} == {"stable"}
    assert alerts(harness) == []


def test_values_are_those_of_the_counts() -> None:
    harness = broken_after(99, 8).run()
    window = windows(harness, "outcomes")[0]
    assert window.label_coverage_ratio == 1.0
    assert window.values["miss_rate"] == pytest.approx(0.2, abs=0.1)
    assert window.values["recall"] == pytest.approx(1 - (window.values["miss_rate"] or 0.0))
    assert window.values["accuracy"] == pytest.approx(1 - (window.values["error_rate"] or 0.0))


def test_a_rise_of_the_miss_rate_pages_and_clears_when_it_is_gone() -> None:
    world = World([PAGE])
    world.deploy("v1", 0)
    for number in range(80):
        world.cell("v1", number, miss=0.6 if 20 <= number < 30 else 0.2)
    found = alerts(world.run())
    assert next(a.status.value for a in found) == "firing"
    assert found[-1].status.value == "resolved"
    assert found[-1].resolution is not None
    assert found[-1].resolution.value == "recovered"
    assert len({a.alert_id for a in found}) == 1
    assert [a.sequence for a in found] == list(range(1, len(found) + 1))
    assert found[0].labels["severity"] == "page"
    assert found[0].evidence.statistic >= found[0].evidence.threshold
    assert cell_ms(20) < found[0].starts_at.timestamp() * 1000 <= cell_ms(24)


def test_a_thin_stream_is_not_blind() -> None:
    """Ten positives a window never are the thirty of `min_samples`; ten windows of them are evidence all the same."""
    world = World([PAGE])
    world.deploy("v1", 0)
    for number in range(60):
        world.cell("v1", number, n=30, miss=1.0 if number >= 20 else 0.2)
    found = alerts(world.run())
    assert found[0].status is AlertStatus.FIRING
    assert found[0].evidence.window.n < 30
    assert cell_ms(20) < found[0].starts_at.timestamp() * 1000 <= cell_ms(30)


def test_what_is_wrong_with_an_event_and_no_feature_is_a_finding() -> None:
    world = World([{"signal": "schema_violation_ratio", "tolerance": 0.01, "reference_context": "global"}])
    world.deploy("v1", 0)
    for number in range(30):
        block = world.block(world.plan, "v1", number)
        counts = block.dense(world.plan.layout.width)
        counts[world.plan.layout.slice("finding:type").stop - 1] = 0 if number < 10 else 200
        world.delta([Block.from_dense("v1", "__all__", cell_ms(number), counts)], until=number)
    harness = world.run()
    assert [window.findings.get("type:event", 0) for window in windows(harness, "inputs")] == [0] * 10 + [200] * 20
    assert {alert.labels["alertname"] for alert in alerts(harness)} == {"SchemaViolationRatio"}


def test_a_shifted_feature_is_one_ticket_that_names_it() -> None:
    found = alerts(broken_after(20, 40, shift=1).run())
    assert {a.labels["alertname"] for a in found} == {"FeatureDrift"}
    assert found[0].evidence.series[0].feature == "x"
    assert found[0].explanation.attribution == "data"
    assert found[0].explanation.top_features[0].name == "x"
    assert "in the reference" in found[0].explanation.top_features[0].summary


def test_serving_errors_are_told_before_any_label() -> None:
    found = alerts(broken_after(20, 24, errors=0.3, labelled=False).run())
    assert [a.labels["alertname"] for a in found][:1] == ["ServingErrorRatio"]


@pytest.mark.parametrize("batch_sizes", [1, 7, [1, 3, 50], 1000])
def test_batches_and_restarts_change_nothing(batch_sizes: Any) -> None:
    world = broken_after(20, 40, miss=0.6, shift=1)
    plain, broken = world.run(batch_sizes=1), world.run(batch_sizes=batch_sizes, restart_after=range(1, 50))
    assert [(o.topic, o.value) for o in broken.outputs] == [(o.topic, o.value) for o in plain.outputs]


def test_a_watermark_that_runs_far_ahead_decides_the_same() -> None:
    """After an outage many cells close at once, when another version serves already: theirs was the one before."""

    def world() -> tuple[World, list[Block]]:
        made = World([PAGE])
        made.deploy("v1", 0)
        made.deploy("v2", 60)
        harmed = range(20, 30)
        blocks = [
            made.block(made.plan, "v1" if c < 60 else "v2", c, miss=0.6 if c in harmed or c >= 60 else 0.2)
            for c in range(80)
        ]
        return made, blocks

    steady, blocks = world()
    for number, block in enumerate(blocks):
        steady.delta([block], until=number)
    jumped, blocks = world()
    jumped.delta(blocks, until=79)
    one_by_one, at_once = steady.run(), jumped.run()
    assert {a.labels["model_version"] for a in alerts(one_by_one)} == {"v1", "v2"}
    assert _steps(at_once) == _steps(one_by_one)
    assert [(e.as_of, e.e_value) for e in evidence(at_once)] == [(e.as_of, e.e_value) for e in evidence(one_by_one)]


def _steps(harness: Harness) -> list[tuple[str, int, AlertStatus, datetime]]:
    return [(a.alert_id, a.sequence, a.status, a.updated_at) for a in alerts(harness)]


def test_a_batch_that_is_aborted_leaves_no_trace() -> None:
    world = broken_after(20, 40, miss=0.6, shift=1)
    plain = world.run(batch_sizes=5)
    harness = world.harness()
    for start in range(0, len(world.records), 5):
        batch = world.records[start : start + 5]
        harness.add(batch)
        harness.stage()
        harness.restart()
        harness.add(batch)
        harness.commit()
    assert [o.value for o in harness.outputs] == [o.value for o in plain.outputs]


def test_a_delta_that_comes_twice_is_counted_once() -> None:
    world = broken_after(99, 10)
    world.records = [record for record in world.records for _ in range(2)]
    harness = world.run()
    assert all(w.n_predictions == 400 for w in windows(harness, "inputs"))
    assert harness.counts["deltas_skipped"] == 10


def test_a_silent_source_holds_time_back_an_idle_one_does_not() -> None:
    world = World([PAGE], n_sources=2)
    for number in range(6):
        world.cell("v1", number)
    assert windows(world.run(), "inputs") == []
    world.heartbeat(until=None, now_ms=1_000, source=1)
    assert windows(world.run(), "inputs") == []
    world.heartbeat(until=None, now_ms=302_000, source=1)
    assert len(windows(world.run(), "inputs")) == 6


def test_late_labels_restate_and_decide_nothing() -> None:
    world = World([PAGE])
    for number in range(8):
        world.cell("v1", number, miss=0.2)
    world.delta([world.block(world.plan, "v1", 1, n=300, miss=1.0)], until=8)
    world.cell("v1", 9)
    harness = world.run()
    restated = windows(harness, "restatement")
    assert [(w.revision, w.n_predictions) for w in restated] == [(1, 700)]
    assert alerts(harness) == []


def test_thresholds_wait_for_their_time_and_have_two_levels() -> None:
    world = World([{"signal": "f1", "detector": "threshold", "thresholds": {"set": 0.5, "clear": 0.7}, "for": "12h"}])
    for number in range(30):
        world.cell("v1", number, miss=0.9 if 5 <= number < 12 else 0.2)
    found = alerts(world.run())
    steps = [a for a in found if a.status is not a.previous_status]
    assert [a.status.value for a in steps] == ["pending", "firing", "resolved"]
    assert steps[1].starts_at - steps[0].starts_at == timedelta(hours=12)


def test_river_reads_the_outcome_sequence() -> None:
    world = World([{"signal": "error_rate", "detector": "adwin"}])
    rng = np.random.default_rng(3)
    for number in range(30):
        rate = 0.05 if number < 15 else 0.5
        errors = rng.binomial(1, rate, 400).astype(np.uint8).tobytes()
        sequence = Outcomes("v1", cell_ms(number), errors)
        world.delta([world.block(world.plan, "v1", number)], until=number, outcomes=[sequence])
    found = alerts(world.run(batch_sizes=4, restart_after=[2, 5]))
    assert found[0].evidence.detector == "adwin"
    assert cell_ms(15) < found[0].starts_at.timestamp() * 1000 <= cell_ms(18)


def served(world: World, *, bad: str | None, until: int) -> None:
    """v1 for 60 cells, v2 to cell 80, then v1 again."""
    for number in range(until):
        version = "v1" if number < 60 or number >= 80 else "v2"
        world.cell(version, number, miss=0.7 if version == bad else 0.2)


def test_evidence_for_a_broken_version_and_recovery_after_the_rollback() -> None:
    world = World([PAGE])
    world.deploy("v1", 0)
    world.deploy("v2", 60)
    served(world, bad="v2", until=80)
    harness = world.run()
    found = evidence(harness)
    assert {e.deployment_id for e in found} == {"d-v2"}
    complete = [e for e in found if e.is_complete]
    assert complete, "the evidence never became complete"
    first = complete[0]
    assert first.as_of.timestamp() * 1000 <= cell_ms(66)
    assert first.onset_cells_after_deployment == 0
    assert first.previous is not None
    assert (first.previous.model_version, first.previous.in_reference) == ("v1", True)
    assert [t.model_version for t in first.targets] == ["v1"]
    world.deploy("v1", 80, deployment_id="d-back", generation=3, cause="rollback-1")
    served_after = World([PAGE], control=world.control, seed=2)
    served_after._seq = 1_000
    for number in range(80, 92):
        served_after.cell("v1", number)
    harness.feed(served_after.records)
    after = [e for e in evidence(harness) if e.recovery is not None]
    assert after[-1].recovery is not None
    assert after[-1].recovery.has_recovered
    assert after[-1].recovery.rollback_id == "rollback-1"
    superseded = [a for a in alerts(harness) if a.resolution is not None]
    assert {a.resolution.value for a in superseded if a.resolution} == {"superseded"}


def test_no_evidence_against_a_placebo() -> None:
    world = World([PAGE])
    world.deploy("v1", 0)
    world.deploy("v2", 60)
    served(world, bad=None, until=80)
    found = evidence(world.run())
    assert found
    assert not any(e.is_complete for e in found)


def test_a_control_that_shifts_too_is_seen() -> None:
    world = World([PAGE])
    world.deploy("v1", 0)
    world.deploy("v2", 60, traffic_ratio=0.9)
    for number in range(60):
        world.cell("v1", number)
    for number in range(60, 80):
        world.delta([world.block(world.plan, version, number, miss=0.7) for version in ("v1", "v2")], until=number)
    last = evidence(world.run())[-1]
    assert last.is_complete
    assert [(arm.name, arm.is_fed, arm.has_shifted) for arm in last.controls] == [("v1", True, True)]


def controls_after(n_cells: int, *, n_of_control: int, control_miss: float, miss: float) -> list[tuple[bool, bool]]:
    """Whether a holdback is fed and has shifted, so many cells after the deployment of a version that errs more."""
    world = World([PAGE])
    world.deploy("v1", 0)
    world.deploy("v2", 60, traffic_ratio=0.9)
    for number in range(60):
        world.cell("v1", number)
    for number in range(60, 60 + n_cells):
        both = [
            world.block(world.plan, "v1", number, n=n_of_control, miss=control_miss),
            world.block(world.plan, "v2", number, miss=miss),
        ]
        world.delta(both, until=number)
    last = evidence(world.run())[-1]
    assert last.is_complete
    assert sum(arm.n for arm in last.controls) >= 50, "more than min_samples"
    return [(arm.is_fed, arm.has_shifted) for arm in last.controls]


def test_a_control_that_is_better_than_the_version_under_test_is_a_witness() -> None:
    assert controls_after(20, n_of_control=400, control_miss=0.2, miss=0.7) == [(True, False)]


def test_a_small_control_that_shifts_too_is_no_witness_before_it_is_sure() -> None:
    assert controls_after(16, n_of_control=15, control_miss=0.34, miss=0.34) == [(False, False)]


def test_resources_are_judged_by_threshold() -> None:
    world = World([{"signal": "cpu_ratio", "detector": "threshold", "thresholds": {"set": 0.9}}])
    harness = world.harness()
    events = [
        ResourceEvent(model_name="m", model_version="v1", cpu_ratio=0.95 if 2 <= hour // 6 < 4 else 0.3,
                      measured_at=START.replace(day=5 + hour // 24, hour=hour % 24))
        for hour in range(48)
    ]  # fmt: skip
    harness.feed([ListRecord(topic=topics.RESOURCES.name, value=e.to_bytes()) for e in events], batch_sizes=5)
    assert next(a.status.value for a in alerts(harness)) == "firing"
    assert alerts(harness)[-1].status.value == "resolved"
    assert windows(harness, "resources")[0].values["cpu_ratio"] == pytest.approx(0.3)


def test_before_the_reference_takes_effect_nothing_is_judged() -> None:
    world = World([PAGE, DRIFT], reference_from=20)
    for number in range(30):
        world.cell("v1", number, miss=0.9, shift=1)
    harness = world.run()
    statuses = {w.window_start.timestamp() * 1000: {v.status for v in w.verdicts} for w in windows(harness, "inputs")}
    assert all(found == {"warming_up"} for start, found in statuses.items() if start < cell_ms(20))
    assert all("warming_up" not in found for start, found in statuses.items() if start >= cell_ms(20))
    assert alerts(harness)
    assert all(a.starts_at.timestamp() * 1000 > cell_ms(20) for a in alerts(harness))


def test_what_cannot_be_read_is_a_dead_letter() -> None:
    harness = World([PAGE]).harness()
    harness.feed(
        [ListRecord(topic=topics.PROFILES.name, value=b"\xc1"), ListRecord(topic=topics.RESOURCES.name, value=b"{}")]
    )
    assert [letter.reason for letter in harness.dead_letters] == ["schema", "schema"]
