from __future__ import annotations

from schemas import topics
from schemas.monitors import MonitorsFile
from streams.commands.apply import Change, Published, changes, diff, outputs
from streams.commands.console import utc_now
from streams.commands.monitors_file import parse_monitors_file
from streams.engine.processor import ListRecord


def file(*monitors: str, extra: str = "") -> MonitorsFile:
    lines = "".join(f"      - {monitor}\n" for monitor in monitors)
    return parse_monitors_file(f"models:\n  - name: m\n{extra}    monitors:\n{lines}", name="m.yaml")


def publish(published: Published, found: list[Change]) -> None:
    for output in outputs(found, utc_now()):
        published.take(output.topic, ListRecord(topic=output.topic, key=output.key, value=output.value))


def actions(found: list[Change]) -> list[tuple[str, str]]:
    return [(change.action, change.key) for change in found]


def test_first_everything_is_created_then_nothing_changes() -> None:
    published = Published()
    wanted = file("{signal: miss_rate}", "{signal: latency_p95}")
    first = changes(wanted, published)
    assert actions(first) == [
        ("create", "production/m"),
        ("create", "production/m/miss_rate"),
        ("create", "production/m/latency_p95"),
    ]
    publish(published, first)
    again = changes(wanted, published)
    assert {change.action for change in again} == {"keep"}
    assert outputs(again, utc_now()) == []


def test_what_is_named_no_more_is_retired_once_and_can_come_back() -> None:
    published = Published()
    both, one = file("{signal: miss_rate}", "{signal: latency_p95}"), file("{signal: miss_rate, severity: page}")
    publish(published, changes(both, published))
    found = changes(one, published)
    assert actions(found)[1:] == [("update", "production/m/miss_rate"), ("retire", "production/m/latency_p95")]
    assert found[1].fields == ("severity",)
    publish(published, found)
    assert published.monitors["production/m/latency_p95"].retired
    assert {change.action for change in changes(one, published)} == {"keep"}
    back = changes(both, published)
    assert ("update", "production/m/latency_p95") in actions(back)


def test_other_models_are_left_alone() -> None:
    published = Published()
    publish(published, changes(file("{signal: miss_rate}"), published))
    other = parse_monitors_file("models: [{name: other, monitors: [{signal: miss_rate}]}]", name="x")
    assert {change.action for change in changes(other, published)} == {"create"}


def test_records_are_cloud_events_with_their_key() -> None:
    record = outputs(changes(file("{signal: miss_rate}"), Published()), utc_now())[0]
    headers = dict(record.headers)
    assert record.topic == topics.MODELS.name
    assert record.key == b"production/m"
    assert headers["ce_type"] == b"plumbline.models.v1"
    assert headers["ce_subject"] == b"production/m"


def test_with_prune_monitors_of_models_that_the_file_does_not_name_are_retired_in_its_environments() -> None:
    published = Published()
    for name, environment in (("a", "production"), ("b", "production"), ("b", "staging")):
        text = f"models: [{{name: {name}, environment: {environment}, monitors: [{{signal: miss_rate}}]}}]"
        publish(published, changes(parse_monitors_file(text, name="x"), published))
    only_a = parse_monitors_file("models: [{name: a, monitors: [{signal: miss_rate}]}]", name="x")
    assert {change.action for change in changes(only_a, published)} == {"keep"}
    found = changes(only_a, published, prune=True)
    assert [c for c in actions(found) if c[0] != "keep"] == [("retire", "production/b/miss_rate")]
    publish(published, found)
    assert {change.action for change in changes(only_a, published, prune=True)} == {"keep"}


def test_monitors_for_every_model_are_published_under_a_star() -> None:
    every = parse_monitors_file("models: [{name: '*', monitors: [{signal: miss_rate}, {signal: mae}]}]", name="x")
    assert actions(changes(every, Published())) == [
        ("create", "production/*"),
        ("create", "production/*/miss_rate"),
        ("create", "production/*/mae"),
    ]


def test_the_diff_says_field_by_field_what_changes() -> None:
    published = Published()
    publish(published, changes(file("{signal: miss_rate}", "{signal: latency_p95}"), published))
    lines = list(
        diff(
            changes(
                file(
                    "{signal: miss_rate, severity: page}",
                    "{signal: cost_mean, detector: threshold, thresholds: {set: 2}}",
                ),
                published,
            )
        )
    )
    assert lines == [
        "~ ml.monitors.v1 production/m/miss_rate",
        '    severity: "ticket" -> "page"',
        "+ ml.monitors.v1 production/m/cost_mean-threshold",
        '    detector: "threshold"',
        '    environment: "production"',
        '    model_name: "m"',
        '    signal: "cost_mean"',
        '    thresholds: {"set": 2.0, "clear": null}',
        "- ml.monitors.v1 production/m/latency_p95",
        "    retired: false -> true",
    ]
