from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.base import from_milliseconds
from schemas.events import WATERMARK_TYPE
from schemas.models import ModelSpec
from schemas.references import BuiltFrom, Reference
from streams.commands import broker, references
from streams.commands.console import CommandError, UsageError
from streams.commands.recordings import Choice, Recording, event_time, read_files, taker
from streams.commands.references import Request, build
from streams.engine.processor import ListRecord
from streams.settings import Settings

CHOICE = Choice(environment="production", model_name="m")


def prediction(number: int, **changes: Any) -> dict[str, Any]:
    fields = {"prediction_id": f"p{number}", "model_name": "m", "model_version": "1"}
    return {**fields, "prediction_timestamp": 1_767_225_600 + number, **changes}


def label(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number}",
        "model_name": "m",
        "label_timestamp": 1_767_300_000,
        "actual_label": 1,
        **changes,
    }


def write(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, events)) + "\n\n")
    return path


def fake_build(spec: ModelSpec, predictions: Any, labels: Any, **more: Any) -> Reference:
    built_from = BuiltFrom(kind="recording", n_predictions=len(predictions), n_labels=len(labels))
    return Reference(model_name=spec.model_name, built_from=built_from, cell=spec.cell, bins=[], **more)


def test_files_are_filtered_by_model_version_and_time(tmp_path: Path) -> None:
    events = [prediction(0), prediction(1, model_version="2"), prediction(2, model_name="x"), prediction(3)]
    path, labels = write(tmp_path / "p", *events), write(tmp_path / "l", label(0), label(1), label(3))
    first = event_time(1_767_225_600)
    choice = Choice(
        environment="production", model_name="m", model_version="1", start=first, end=event_time(1_767_225_603)
    )
    found = read_files([path], [labels], choice)
    assert [each.prediction_id for each in found.predictions] == ["p0"]
    assert [each.prediction_id for each in found.labels] == ["p0"]
    assert len(read_files([path], [labels], CHOICE).labels) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "truncated"), ('{"prediction_id": 3}', "prediction_id"), ("[]", "object")],
)
def test_a_line_that_cannot_be_read_has_a_number(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(prediction(0)) + f"\n{line}\n")
    with pytest.raises(UsageError, match=rf"p\.jsonl:2: .*{says}"):
        read_files([path], [], CHOICE)
    with pytest.raises(UsageError, match="cannot be read"):
        read_files([tmp_path / "none"], [], CHOICE)


def test_records_of_the_topics() -> None:
    found = Recording()
    take = taker(found, CHOICE)

    def give(topic: str, value: Any, **more: Any) -> None:
        take(topic, ListRecord(topic=topic, value=msgspec.json.encode(value), **more))

    give(topics.PREDICTIONS.name, prediction(0))
    give(topics.PREDICTIONS.name, prediction(1, prediction_timestamp="2026-01-01T00:00:00"))
    give(topics.LABELS.name, label(0))
    give(topics.LABELS.name, label(9))
    give(topics.LABELS.name, {"model_name": "m"}, headers=[("Ce-Type", WATERMARK_TYPE.encode())])
    give(topics.LABELS.name, [])
    take(topics.LABELS.name, ListRecord(topic=topics.LABELS.name, key=b"p0"))
    assert (len(found.settle().predictions), len(found.labels), found.n_unreadable) == (1, 1, 2)


def test_event_time() -> None:
    assert event_time(1.5) == from_milliseconds(1500)
    assert event_time(datetime(2026, 1, 1, tzinfo=UTC)).year == 2026


async def test_a_reference_is_written_without_a_broker(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("models: [{name: m, cell: 6h}]")
    request = Request(
        choice=CHOICE,
        predictions=(write(tmp_path / "p", prediction(0), prediction(1)),),
        labels=(write(tmp_path / "l", label(0)),),
        monitors=file,
        output=tmp_path / "r.json",
    )
    await build(Settings(), request, build_with=fake_build)
    first = Reference.model_validate_json((tmp_path / "r.json").read_bytes())
    assert (first.built_from.n_predictions, first.built_from.n_labels, first.cell.total_seconds()) == (2, 1, 21_600)
    await build(Settings(), request, build_with=fake_build)
    assert Reference.model_validate_json((tmp_path / "r.json").read_bytes()).reference_id == first.reference_id


async def test_a_reference_is_published_with_the_published_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Any] = []

    async def scan(_settings: Any, _topics: Any, take: Any, **_more: Any) -> None:
        take(topics.MODELS.name, ListRecord(topic=topics.MODELS.name, value=ModelSpec(model_name="m").to_bytes()))

    async def publish(_settings: Any, _topics: Any, outputs: Any) -> int:
        published.extend(outputs)
        return len(published)

    monkeypatch.setattr(broker, "scan", scan)
    monkeypatch.setattr(broker, "publish", publish)
    path = write(tmp_path / "p", prediction(0))
    await build(Settings(), Request(choice=CHOICE, predictions=(path,), reference_id="r1"), build_with=fake_build)
    assert (published[0].topic, published[0].key) == (topics.REFERENCES.name, b"r1")
    other = Choice(environment="production", model_name="other")
    path = write(tmp_path / "o", prediction(0, model_name="other"))
    with pytest.raises(UsageError, match="--model is 'production/other': expected one of the published models"):
        await build(Settings(), Request(choice=other, predictions=(path,)), build_with=fake_build)
    with pytest.raises(CommandError, match="no prediction of 'production/m' was found"):
        await build(Settings(), Request(choice=CHOICE, predictions=(write(tmp_path / "e"),)), build_with=fake_build)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "nothing to build from"),
        ({"from_topics": True, "predictions": (Path("p"),)}, "expected exactly one of them"),
        ({"from_topics": True}, "expected both with --from-topics"),
    ],
)
def test_a_request_that_makes_no_sense(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        references.check(Request(choice=CHOICE, **changes))


def test_times_in_order() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    choice = Choice(environment="production", model_name="m", start=at, end=at)
    with pytest.raises(UsageError, match="expected a time after --start"):
        references.check(Request(choice=choice, from_topics=True))
