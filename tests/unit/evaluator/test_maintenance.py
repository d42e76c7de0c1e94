"""In maintenance a model is counted, and not judged."""

from typing import Any

from schemas.base import from_milliseconds
from tests.unit.evaluator.world import SPEC, World, alerts, cell_ms, evidence, windows

PAGE: dict[str, Any] = {"signal": "miss_rate", "severity": "page", "tolerance": 0.05}
THRESHOLD: dict[str, Any] = {
    "signal": "serving_error_ratio", "detector": "threshold", "thresholds": {"set": 0.5}, "severity": "page",
}  # fmt: skip
WORK = {"starts_at": from_milliseconds(cell_ms(20)).isoformat(), "duration": "60h", "comment": "new warehouse"}
"""Cells 20 to 29."""


def broken_in(cells: range, *, maintenance: tuple[Any, ...] = (WORK,)) -> World:
    world = World([PAGE, THRESHOLD], spec={**SPEC, "maintenance": maintenance})
    world.deploy("v1", 0)
    for number in range(60):
        world.cell("v1", number, **({"miss": 0.9, "errors": 0.9} if number in cells else {}))
    return world


def test_nobody_is_paged_for_what_happens_in_maintenance_and_without_it_somebody_is() -> None:
    assert {a.labels["alertname"] for a in alerts(broken_in(range(20, 30), maintenance=()).run())} == {
        "MissRate", "ServingErrorRatio",
    }  # fmt: skip
    harness = broken_in(range(20, 30)).run()
    assert alerts(harness) == []
    of_work = [w for w in windows(harness, "inputs") if "maintenance" in w.details]
    assert [w.window_start for w in of_work] == [from_milliseconds(cell_ms(i)) for i in range(20, 30)]
    assert all(w.values["serving_error_ratio"] > 0.5 and not w.verdicts for w in of_work)
    assert {w.details["maintenance"] for w in of_work} == {"new warehouse"}


def test_what_lasts_longer_is_told_afterwards() -> None:
    found = alerts(broken_in(range(20, 40)).run())
    assert {a.labels["alertname"] for a in found} == {"MissRate", "ServingErrorRatio"}
    assert min(a.starts_at for a in found) > from_milliseconds(cell_ms(30))


def test_what_is_raised_stays_raised_while_nobody_looks() -> None:
    found = [a for a in alerts(broken_in(range(15, 35)).run()) if a.labels["alertname"] == "ServingErrorRatio"]
    assert [a.status.value for a in found][-1] == "resolved"
    assert found[-1].updated_at == from_milliseconds(cell_ms(36))
    assert len({a.alert_id for a in found}) == 1


def test_it_is_no_evidence_against_a_version() -> None:
    world = World([PAGE], spec={**SPEC, "maintenance": (WORK,)})
    world.deploy("v1", 0)
    world.deploy("v2", 20)
    for number in range(45):
        world.cell("v1" if number < 20 else "v2", number, miss=0.9 if 20 <= number < 30 else 0.2)
    found = [e for e in evidence(world.run()) if e.model_version == "v2"]
    assert found
    assert found[0].as_of == from_milliseconds(cell_ms(31))
    assert max(e.e_value for e in found) < 20
