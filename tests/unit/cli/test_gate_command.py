"""`plumbline gate` at the command line: exit codes, files, and what CI is told."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from decision_samples import record
from test_cli import Shelf, run, shelf  # noqa: F401 - a fixture

from schemas import topics
from schemas.deployments import ValidationEvent
from schemas.gate import GateResult
from tests.unit.gate.gate_world import START, recorded

MONITORS = """\
models:
  - name: m
    classes: ["no", "yes"]
    positive_class: "yes"
    cell: 6h
    segments: [region]
    groups: [sex]
    rollback: {evidence: error_rate}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gate")
    (made / "monitors.yaml").write_text(MONITORS)
    (made / "gate.yaml").write_text("max_harm: 0.05\n")
    for name, version, n, wrong in (("v1", "v1", 3_000, 0.15), ("good", "v2", 3_000, 0.15), ("bad", "v2", 3_000, 0.4)):
        predictions, labels = recorded(version, n, seed=len(name), wrong=wrong)
        (made / f"{name}.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, predictions)))
        (made / f"{name}-labels.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, labels)))
    return made


def arguments(folder: Path, candidate: str, *more: str, terms: str = "gate.yaml") -> list[str]:
    files = {
        "--monitors": "monitors.yaml", "--champion": "v1.jsonl", "--champion-labels": "v1-labels.jsonl",
        "--candidate": f"{candidate}.jsonl", "--candidate-labels": f"{candidate}-labels.jsonl", "--terms": terms,
    }  # fmt: skip
    return [
        "gate",
        "--model",
        "m",
        *(part for name, file in files.items() for part in (name, str(folder / file))),
        *more,
    ]


def test_a_good_candidate_ends_with_0_and_a_bad_one_with_1(folder: Path) -> None:
    good = run(*arguments(folder, "good"))
    assert "v2 against v1: passed." in good.stderr
    written = folder / "gate.json", folder / "gate.md"
    bad = run(*arguments(folder, "bad", "--json-output", str(written[0]), "--markdown", str(written[1])), code=1)
    assert "harm_error_rate" in bad.stdout
    result = GateResult.model_validate_json(written[0].read_text())
    assert result.outcome == "failed"
    assert written[1].read_text().startswith("# Gate: m v2 against v1")
    lines = run(*arguments(folder, "bad", "--json"), code=1).stdout.splitlines()
    assert len(lines) == len(result.checks)
    assert {"name", "outcome"} <= json.loads(lines[0]).keys()


def test_without_labels_too_little_is_known_and_it_ends_with_2(folder: Path) -> None:
    without = [part for part in arguments(folder, "good") if not part.endswith("good-labels.jsonl")]
    without.remove("--candidate-labels")
    assert "too little data" in run(*without, code=2).stderr


def test_suites_are_read_and_the_outcome_is_published(folder: Path, shelf: Shelf) -> None:  # noqa: F811
    (folder / "suites.yaml").write_text("max_harm: 0.05\nrequired_suites: [offline]\n")
    given = arguments(folder, "good", "--publish", terms="suites.yaml")
    assert "nothing published" in run(*given, code=2).stdout
    for passed, code in ((False, 1), (True, 0)):
        said = ValidationEvent(model_name="m", model_version="v2", suite="offline", passed=passed, validated_at=START)
        shelf.records.append(record(topics.VALIDATIONS.name, said, offset=len(shelf.records)))
        run(*given, code=code)
    events = [
        ValidationEvent.model_validate_json(o.value or b"")
        for o in shelf.published
        if o.topic == topics.VALIDATIONS.name
    ]
    assert [(event.suite, event.passed, event.model_version) for event in events] == [
        ("gate", False, "v2"), ("gate", False, "v2"), ("gate", True, "v2"),
    ]  # fmt: skip
    assert "selection_rate_difference:sex" in events[-1].fairness


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--from-topics"], "--champion and --from-topics exclude each other"),
        (["--terms", "none.yaml"], "none.yaml cannot be read"),
        (["--reference", "none.json"], "expected what `plumbline references build --output` wrote"),
        (["--model", "other"], "'production/other': expected one of"),
    ],
)
def test_a_request_that_makes_no_sense(folder: Path, change: list[str], says: str) -> None:
    assert says in run(*arguments(folder, "good"), *change, code=2).stderr


def test_terms_that_make_no_sense_name_field_and_value(folder: Path) -> None:
    (folder / "wrong.yaml").write_text("max_harm: 2\nspeed: 1\n")
    said = run(*arguments(folder, "good", terms="wrong.yaml"), code=2).stderr
    assert "max_harm = 2" in said
    assert "speed" in said
