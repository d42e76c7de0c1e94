"""A version beside the one that it may replace: harm, benefit, and when the two must not be compared."""

from typing import Any

import pytest

from schemas.alerts import AlertStatus
from schemas.base import milliseconds
from schemas.metrics import CanaryStatus
from streams.engine.harness import Harness
from tests.unit.evaluator.world import SPEC, World, alerts, cell_ms, windows

HARM: dict[str, Any] = {
    "signal": "canary_harm", "detector": "threshold", "thresholds": {"set": 0.05}, "severity": "page",
}  # fmt: skip
PROMOTE: dict[str, Any] = {
    "signal": "promote_recommended", "detector": "threshold", "thresholds": {"set": 1.0}, "keep_firing_for": "7d",
}  # fmt: skip
RAMPED = 40


def beside(
    total: int, *, ratio: float = 0.5, role: str = "champion", n: int = 200, other_n: int = 200, miss: float = 0.2,
    base: float = 0.2, unlabelled: float = 0.0, **changes: Any,
) -> World:  # fmt: skip
    """v2 beside v1 from cell 10 on; a share of v2's cells has no labels."""
    world = World([HARM, PROMOTE], spec={**SPEC, "rollback": {"evidence": "miss_rate", "min_samples": 50}})
    world.deploy("v1", 0)
    world.deploy("v2", 10, traffic_ratio=ratio, role=role)
    for number in range(10):
        world.cell("v1", number)
    for number in range(10, total):
        at = changes.get("at")
        terms = {"n": n, "other_n": other_n, "miss": miss, "base": base} | (at(number) if at else {})
        labelled = (number * unlabelled) % 1.0 >= unlabelled if unlabelled else True
        world.delta(
            [
                world.block(world.plan, "v1", number, n=terms["other_n"], miss=terms["base"]),
                world.block(world.plan, "v2", number, n=terms["n"], miss=terms["miss"], labelled=labelled),
            ],
            until=number,
        )
    return world


def statuses(harness: Harness) -> list[CanaryStatus]:
    return [w.canary for w in windows(harness, "outcomes") if w.canary is not None]


def firing(harness: Harness) -> list[str]:
    return [a.labels["alertname"] for a in alerts(harness) if a.status is AlertStatus.FIRING and a.sequence == 1]


def test_a_harmful_candidate_is_found_and_pages() -> None:
    harness = beside(50, miss=0.6).run()
    last = statuses(harness)[-1]
    assert (last.candidate, last.baseline, last.verdict) == ("v2", "v1", "harm")
    assert last.harm_lower > 0.05
    assert last.harm_lower < 0.4 < last.harm_upper
    assert firing(harness) == ["CanaryHarm"]
    page = next(a for a in alerts(harness) if a.labels["alertname"] == "CanaryHarm")
    assert page.labels["model_version"] == "v2"
    assert page.lineage.deployment_id == "d-v2"


def test_a_candidate_that_is_as_good_is_recommended_once_that_is_sure() -> None:
    harness = beside(160, n=800, other_n=800).run()
    verdicts = [each.verdict for each in statuses(harness)]
    assert verdicts[0] == "inconclusive"
    assert verdicts[-1] == "no_harm"
    assert firing(harness) == ["PromoteRecommended"]
    assert statuses(harness)[-1].harm_upper < 0.05


def test_a_shadow_is_compared_too_and_its_share_is_nobody_s_promise() -> None:
    last = statuses(beside(40, role="shadow", ratio=0.0, miss=0.6).run())[-1]
    assert (last.verdict, last.blocked_by) == ("harm", [])


def test_another_split_than_announced_blocks_the_verdict() -> None:
    harness = beside(50, ratio=0.5, n=100, other_n=300, miss=0.9).run()
    last = statuses(harness)[-1]
    assert last.verdict == "blocked"
    assert last.blocked_by == ["sample_ratio_mismatch: 25.0% of the traffic, announced 50.0%"]
    assert firing(harness) == []


def test_labels_that_come_for_one_arm_only_block_the_verdict() -> None:
    last = statuses(beside(60, unlabelled=0.5, miss=0.9).run())[-1]
    assert last.verdict == "blocked"
    assert last.blocked_by[0].startswith("label_coverage: ")


def test_another_share_begins_anew_and_a_rising_base_rate_harms_nobody() -> None:
    """5 %, then 50 %, while everybody's misses rise from .1 to .5: pooled, v2 looks twice as bad as it is."""

    def rising(number: int) -> dict[str, Any]:
        rate = 0.1 + 0.4 * (number - 10) / 70
        share = 0.05 if number < RAMPED else 0.5
        return {"miss": rate, "base": rate, "n": round(600 * share), "other_n": round(600 * (1 - share))}

    world = World([HARM], spec={**SPEC, "rollback": {"evidence": "miss_rate", "min_samples": 50}})
    world.deploy("v1", 0)
    world.deploy("v2", 10, traffic_ratio=0.05)
    for number in range(10):
        world.cell("v1", number)
    bad, of = {"v1": 0.0, "v2": 0.0}, {"v1": 0, "v2": 0}
    harness = world.harness()
    for number in range(10, 80):
        if number == RAMPED:
            harness.feed(world.records)
            world.records.clear()
            world.deploy("v2", RAMPED, deployment_id="d-v2-half", traffic_ratio=0.5, generation=99)
        terms = rising(number)
        for version, n in (("v2", terms["n"]), ("v1", terms["other_n"])):
            bad[version] += n * terms["base"]
            of[version] += n
        blocks = [
            world.block(world.plan, "v1", number, n=terms["other_n"], miss=terms["base"]),
            world.block(world.plan, "v2", number, n=terms["n"], miss=terms["miss"]),
        ]
        world.delta(blocks, until=number)
    harness.feed(world.records)
    found = statuses(harness)
    assert bad["v2"] / of["v2"] - bad["v1"] / of["v1"] > 0.05, "pooled, it looks harmful"
    assert all(each.verdict != "harm" for each in found)
    assert firing(harness) == []
    assert {milliseconds(each.since) for each in found} == {cell_ms(10), cell_ms(RAMPED)}
    assert found[-1].deployment_id == "d-v2-half"


def test_without_a_second_version_there_is_no_canary() -> None:
    world = World([HARM, PROMOTE])
    world.deploy("v1", 0)
    for number in range(30):
        world.cell("v1", number)
    harness = world.run()
    assert statuses(harness) == []
    assert alerts(harness) == []


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_and_restarts_change_nothing(batch: int) -> None:
    plain, other = beside(40, miss=0.4).harness(), beside(40, miss=0.4).harness()
    plain.feed(beside(40, miss=0.4).records, batch_sizes=1)
    other.feed(beside(40, miss=0.4).records, batch_sizes=batch, restart_after=range(1, 5))
    assert statuses(plain) == statuses(other)
