from __future__ import annotations

from schemas import topics
from schemas.monitors import MonitorsFile
from streams.commands.apply import Change, Published, changes, outputs
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
