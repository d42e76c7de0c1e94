from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import yaml

from schemas import generate, topics
from streams.engine import dead_letters


def test_generated_files_match_the_code() -> None:
    assert generate.differences() == [], "run `python -m schemas.generate`"


def test_every_topic_has_a_message_and_every_message_a_schema() -> None:
    assert set(generate.MESSAGES) | {topics.DEAD_LETTERS.name} == {topic.name for topic in topics.TOPICS}
    for name in generate.MESSAGES:
        schema = json.loads((generate.FOLDER / f"{name}.json").read_text())
        assert schema["$id"] == f"urn:plumbline:schema:{name}"
        assert {"properties", "anyOf"} & set(schema)


def test_references_inside_asyncapi_resolve() -> None:
    document = yaml.safe_load((generate.FOLDER / generate.ASYNCAPI).read_text())
    assert document == generate.asyncapi()

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            here = [node["$ref"]] if "$ref" in node else []
            return here + [found for child in node.values() for found in references(child)]
        if isinstance(node, list):
            return [found for child in node for found in references(child)]
        return []

    for reference in references(document):
        if reference.startswith("./"):
            assert (generate.FOLDER / reference).is_file()
            continue
        place: object = document
        for step in reference.removeprefix("#/").split("/"):
            assert isinstance(place, dict)
            place = place[step]


def test_the_watermark_travels_on_predictions_and_labels() -> None:
    channels = generate.asyncapi()["channels"]
    carriers = [name for name, channel in channels.items() if "plumbline-watermark-v1" in channel["messages"]]
    assert carriers == ["ml-predictions-v1", "ml-labels-v1"]


def test_decision_topics_have_one_partition() -> None:
    kafka = generate.asyncapi()["channels"]["ml-rollbacks-v1"]["bindings"]["kafka"]
    assert kafka["partitions"] == 1
    assert "partitions" not in generate.asyncapi()["channels"]["ml-labels-v1"]["bindings"]["kafka"]


def test_attribute_docstrings_describe_the_hot_events() -> None:
    schema = generate.json_schema(generate.PredictionEvent, name="x")
    assert schema["properties"]["backfill"]["description"] == "Old data replayed: counted, never alerted on."
    assert "description" not in schema["properties"]["variant"]


def test_dead_letter_headers_are_the_engine_s() -> None:
    source = inspect.getsource(dead_letters.to_output)
    for header in generate.DEAD_LETTER_HEADERS:
        assert header.startswith(dead_letters.PREFIX)
        assert f'("{header.removeprefix(dead_letters.PREFIX)}"' in source


def test_durations_and_timestamps_are_strings_on_the_wire() -> None:
    schema = generate.json_schema(generate.ModelSpec, name="x")
    assert schema["properties"]["cell"]["type"] == "string"
    assert "model_name" in schema["properties"]
    file_schema = generate.json_schema(generate.MonitorsFile, name="x", mode="validation")
    assert "name" in file_schema["$defs"]["ModelEntry"]["properties"]


def test_check_names_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "asyncapi.yaml" in generate.write(tmp_path)
    assert generate.differences(tmp_path) == []
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "ml.alerts.v1.json").write_text("{}")
    assert generate.differences(tmp_path) == ["ml.alerts.v1.json", "old.json"]
    assert generate.write(tmp_path) == ["ml.alerts.v1.json", "old.json"]
    assert not (tmp_path / "old.json").exists()
    monkeypatch.setattr(generate, "differences", lambda: ["ml.alerts.v1.json"])
    assert generate.main(["--check"]) == 1
