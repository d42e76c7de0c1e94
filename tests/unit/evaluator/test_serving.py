"""Who serves, from deployments announced and inferred."""

from datetime import UTC, datetime, timedelta

from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from streams.evaluator.serving import champion, in_force, known_deployments, predecessor, state_now

START = datetime(2026, 1, 1, tzinfo=UTC)


def deployed(version: str, day: int, **changes: object) -> DeploymentEvent:
    fields = {
        "deployment_id": f"d-{version}-{day}",
        "model_name": "m",
        "model_version": version,
        "generation": day + 1,
        "deployed_at": START + timedelta(days=day),
        **changes,
    }
    return DeploymentEvent.model_validate(fields)


def versions(deployments: list[DeploymentEvent], day: float) -> list[str]:
    return [d.model_version for d in in_force(deployments, milliseconds(START + timedelta(days=day)))]


def test_a_champion_for_all_traffic_supersedes() -> None:
    both = [deployed("v1", 0), deployed("v2", 10)]
    assert versions(both, 9.9) == ["v1"]
    assert versions(both, 10) == ["v2"]
    assert versions(both, -1) == []


def test_a_champion_for_a_part_leaves_the_rest_to_its_predecessor() -> None:
    parts = [deployed("v0", 0), deployed("v1", 1), deployed("v2", 10, traffic_ratio=0.9)]
    assert versions(parts, 11) == ["v2", "v1"]


def test_shadows_serve_beside_until_the_next_champion() -> None:
    shadowed = [deployed("v1", 0), deployed("s", 5, role="shadow"), deployed("v2", 10)]
    assert versions(shadowed, 6) == ["s", "v1"]
    assert versions(shadowed, 11) == ["v2"]
    found = champion(in_force(shadowed, milliseconds(START + timedelta(days=6))))
    assert found is not None
    assert found.model_version == "v1"


def test_what_nobody_announced_is_inferred_from_its_first_event() -> None:
    seen = {"v1": milliseconds(START), "v9": milliseconds(START + timedelta(days=3))}
    known = known_deployments("production/m", [deployed("v1", 0)], seen)
    assert [(d.model_version, d.inferred, d.generation) for d in known] == [("v1", False, 1), ("v9", True, 2)]


def test_the_predecessor_is_the_last_champion_of_another_version() -> None:
    history = [deployed("v1", 0), deployed("s", 1, role="shadow"), deployed("v2", 2), deployed("v2", 3)]
    found = predecessor(history, history[-1])
    assert found is not None
    assert found.model_version == "v1"
    assert predecessor(history, history[0]) is None


def test_a_person_sees_which_deployment_was_replaced() -> None:
    first, second = deployed("v1", 0), deployed("v2", 4)
    part = deployed("v3", 8, traffic_ratio=0.1)
    assert [state_now(each, [first, second]) for each in (first, second)] == ["replaced", "active"]
    assert [state_now(each, [part, first, second]) for each in (first, second, part)] == [
        "replaced",
        "active",
        "active",
    ]
    failed = second.model_copy(update={"quarantined": True})
    assert [state_now(each, [first, failed]) for each in (first, failed)] == ["replaced", "quarantined"]
