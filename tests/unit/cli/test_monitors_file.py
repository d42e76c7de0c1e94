from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from streams.commands.console import UsageError
from streams.commands.monitors_file import load_monitors_file, parse_monitors_file


def mistakes(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse_monitors_file(text, name="m.yaml")
    return str(caught.value).splitlines()


def test_one_line_is_a_valid_file() -> None:
    (entry,) = parse_monitors_file("models: [{name: flight-delay}]", name="m.yaml").models
    assert entry.model_name == "flight-delay"
    assert entry.rollback.mode == "dry_run"
    assert entry.owned_monitors()


def test_off_is_a_word_and_true_is_not() -> None:
    text = "models:\n  - name: m\n    rollback: {mode: off}\n    monitors: [{signal: miss_rate, retired: true}]\n"
    (entry,) = parse_monitors_file(text, name="m.yaml").models
    assert entry.rollback.mode == "off"
    assert entry.owned_monitors()[0].retired is True
    assert entry.cell == timedelta(hours=1)


def test_each_mistake_has_line_path_value_and_expectation() -> None:
    text = """\
models:
  - name: flight-delay
    positve_class: late
    cell: 6 hours
    monitors:
      - {signal: mis_rate}
      - signal: miss_rate
        min_samples: 0
  - task: binary
"""
    found = mistakes(text)
    assert found[0].startswith("m.yaml:3: models[0].positve_class is no known key: expected one of")
    assert found[0].endswith("; did you mean positive_class?")
    assert found[1].startswith("m.yaml:4: models[0].cell = '6 hours': '6 hours' is no duration: expected a number")
    assert found[2].startswith("m.yaml:6: models[0].monitors[0].signal = 'mis_rate': expected 'feature_drift', ")
    assert found[3].startswith("m.yaml:8: models[0].monitors[1].min_samples = 0: expected greater")
    assert found[4:] == ["m.yaml:9: models[1].name is missing: expected a value"]


def test_a_mistake_between_fields_names_one_of_them() -> None:
    text = "models:\n  - name: m\n    monitors:\n      - {signal: miss_rate, by: [carrier]}\n"
    assert mistakes(text) == ["m.yaml:4: models[0].monitors[0].by = ['carrier']: expected some of segments = []"]


def test_a_repeated_key_is_a_mistake() -> None:
    assert mistakes("models:\n  - name: a\n    name: b\n") == [
        "m.yaml:3: models[0].name is given twice: expected each key once"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("models: [", "m.yaml:1: "),
        ("models:\n\t- a", "m.yaml:2: "),
        ("", "m.yaml:1: models is missing: expected a value"),
        ("- a\n", "m.yaml:1: the file = ['a']: "),
        ("models: 3\n", "m.yaml:1: models = 3: expected a list"),
    ],
)
def test_what_is_no_such_file(text: str, line: str) -> None:
    assert mistakes(text)[0].startswith(line)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        load_monitors_file(tmp_path / "none.yaml")
