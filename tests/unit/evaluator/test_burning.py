"""Error budgets in the evaluator: cells of six hours, a budget of one miss in five."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.models import ModelSpec
from schemas.monitors import ModelEntry, Monitor
from streams.evaluator.burning import N_BUCKETS, burn_status
from streams.evaluator.signals import Counted
from streams.evaluator.state import BurnHistory
from tests.unit.evaluator.world import CELL_MS, World, alerts, cell_ms, windows

WINDOWS = [{"factor": 2.0, "long": "1d", "short": "6h"}]
BURN: dict[str, Any] = {
    "signal": "miss_rate", "detector": "burn_rate", "severity": "page",
    "burn_rate": {"objective": 0.75, "windows": WINDOWS, "period": "10d"},
}  # fmt: skip


def test_a_budget_that_burns_pages_and_clears_with_its_short_window() -> None:
    world = World([BURN])
    world.deploy("v1", 0)
    for number in range(40):
        world.cell("v1", number, miss=0.9 if 20 <= number < 26 else 0.1)
    harness = world.run()
    found = alerts(harness)
    assert [a.status.value for a in found if a.status is not a.previous_status] == ["firing", "resolved"]
    # Four cells of .9 make a day; with the fourth one at the latest the day's rate is over twice .25.
    assert cell_ms(21) < found[0].starts_at.timestamp() * 1000 <= cell_ms(24)
    assert found[-1].ends_at is not None
    assert found[-1].ends_at.timestamp() * 1000 == cell_ms(27)
    assert found[0].evidence.detector == "burn_rate"
    assert found[0].evidence.statistic > found[0].evidence.threshold == 2.0
    assert "uses up its error budget" in found[0].annotations["summary"]
    status = [w.burns[0] for w in windows(harness, "outcomes")]
    assert all(0 < each.n_bad < each.n for each in status)
    assert status[5].budget_left_ratio > 0.4 > status[26].budget_left_ratio
    (pair,) = status[25].windows
    assert pair.is_burning
    assert pair.long == timedelta(days=1)
    assert pair.long_rate == pytest.approx(0.9 / 0.25, rel=0.2)


def test_a_ratio_whose_fall_is_the_harm_spends_what_is_not_good() -> None:
    world = World([{**BURN, "signal": "recall"}, {**BURN, "monitor_id": "same"}])
    world.deploy("v1", 0)
    for number in range(6):
        world.cell("v1", number)
    for window in windows(world.run(), "outcomes"):
        first, second = window.burns
        assert (first.n_bad, first.n) == (second.n_bad, second.n)


def test_a_service_budget_burns_without_labels() -> None:
    world = World([{**BURN, "signal": "serving_error_ratio", "burn_rate": {"objective": 0.9, "windows": WINDOWS}}])
    world.deploy("v1", 0)
    for number in range(12):
        world.cell("v1", number, errors=0.5 if number >= 8 else 0.0, labelled=False)
    assert [a.status.value for a in alerts(world.run())][:1] == ["firing"]


def test_cells_of_the_longest_window_are_kept_and_older_ones_are_folded() -> None:
    world = World([BURN])
    monitor = Monitor.model_validate(BURN)
    history, total = BurnHistory(), 0
    for number in range(200):
        counts = world.block(world.plan, "v1", number).dense(world.plan.layout.width)
        counted = Counted(world.plan, world.plan.layout, counts)
        start = cell_ms(number)
        status = burn_status(history, monitor, counted, cell_ms=start, end_ms=start + CELL_MS)
        total += status.n
    assert len(history.cells) == 4
    assert len(history.folded) <= N_BUCKETS
    in_period = sum(n for _, _, n in [*history.folded, *history.cells])
    assert in_period == pytest.approx(total / 200 * 40, rel=0.06)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"burn_rate": None}, "burn_rate: missing"),
        ({"signal": "latency_p95"}, "signal: is no ratio"),
        ({"signal": "missing_ratio"}, "features: 0 given"),
        ({"by": ["region"]}, "by: expected none"),
        ({"burn_rate": {"objective": 1.0}}, "objective"),
        ({"burn_rate": {"objective": 0.9, "windows": [{"factor": 1, "long": "1h", "short": "1h"}]}}, "short: no part"),
        (
            {"burn_rate": {"objective": 0.9, "period": "1h", "windows": [{"factor": 1, "long": "2h", "short": "1h"}]}},
            "long: longer than the period",
        ),
        ({"detector": "threshold", "thresholds": {"set": 0.5}}, "burn_rate: expected only with detector: burn_rate"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Monitor.model_validate({**BURN, **change})


def test_windows_are_whole_cells() -> None:
    spec: dict[str, Any] = ModelSpec.model_validate({"name": "m", "cell": "1h"}).model_dump()
    budget = {"signal": "error_rate", "detector": "burn_rate", "burn_rate": {"objective": 0.9}}
    ModelEntry.model_validate({**spec, "monitors": [budget]})
    with pytest.raises(ValidationError, match=r"1h and 5m are no whole cells: expected multiples of cell = 1h"):
        ModelEntry.model_validate({**spec, "monitors": [{**budget, "severity": "page"}]})
