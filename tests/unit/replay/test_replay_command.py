"""`plumbline replay` as a person runs it: files in, windows, alerts and a page out; mistakes said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
import pytest
from typer.testing import CliRunner, Result

from streams.cli import app

N = 6_000
DAYS = 30
COLUMNS = ["--timestamp", "at", "--id", "id", "--prediction", "said", "--score", "score", "--label", "truth"]
LATE = ["--positive-class", "late"]
REFERENCE = ["--reference", "first:3000", "--cell", "6h", "--positive-class", "late"]
MONITORS = """
models:
  - name: m
    positive_class: late
    cell: 6h
    maturity: 0h
    false_alarm_budget: {{pages: 1, per: 30d}}
    monitors:
      - {{signal: error_rate, severity: page, tolerance: {tolerance}}}
      - {{signal: feature_drift, tolerance: 0.1, reference_context: global}}
"""


def rows(*, drift: bool = True) -> pa.Table:
    rng = np.random.default_rng(1)
    number = np.arange(N)
    after = (number > 4_000) & drift
    said = rng.integers(0, 2, N)
    wrong = rng.random(N) < np.where(after, 0.4, 0.1)
    return pa.table(
        {
            "id": [f"r{i}" for i in number],
            "at": 1_736_121_600 + number * (DAYS * 86_400 / N),
            "x": rng.normal(size=N) + after,
            "colour": rng.choice(["red", "blue"], N),
            "said": np.array(["on", "late"])[said],
            "score": rng.random(N).round(3),
            "truth": np.array(["on", "late"])[np.where(wrong, 1 - said, said)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings")
    table = rows()
    pa_csv.write_csv(table, path / "rows.csv")
    pa_csv.write_csv(table.select(["id", "at", "x", "colour", "said", "score"]), path / "served.csv")
    late = table.column("at").to_numpy() + 3_600.0
    pa_parquet.write_table(table.select(["id", "truth"]).append_column("known", pa.array(late)), path / "truth.parquet")
    for name, tolerance in (("strict", 0.02), ("lax", 0.5)):
        (path / f"{name}.yaml").write_text(MONITORS.format(tolerance=tolerance))
    return path


def plumbline(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def told(*arguments: Any) -> dict[str, Any]:
    result = plumbline(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_drift_is_found_and_written_down(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    found = told(folder / "rows.csv", *COLUMNS, *REFERENCE, "--output", output)
    monitors = {each["labels"]["monitor_id"] for each in found["alerts"]}
    assert monitors == {"error_rate", "feature_drift"}
    windows = [json.loads(line) for line in (output / "windows.jsonl").read_text().splitlines()]
    assert len(windows) == found["n_windows"] == pa_parquet.read_metadata(output / "windows.parquet").num_rows
    verdicts = pa_parquet.read_table(output / "verdicts.parquet")
    assert verdicts.num_rows == sum(len(each["verdicts"]) for each in windows)
    assert "drift" in verdicts.column("status").to_pylist()
    assert pa_parquet.read_table(output / "alerts.parquet").num_rows > 0
    page = (output / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "reference against current" in page
    assert "http-equiv" not in page
    assert "<script" not in page


def test_predictions_and_labels_in_two_files_say_the_same(folder: Path) -> None:
    names = [*COLUMNS, "--label-timestamp", "known", "--labels", folder / "truth.parquet"]
    apart = told(folder / "served.csv", *names, "--monitors", folder / "strict.yaml", "--reference", "first:3000")
    one = told(folder / "rows.csv", *COLUMNS, "--monitors", folder / "strict.yaml", "--reference", "first:3000")
    assert [each["start"] for each in apart["alerts"]] == [each["start"] for each in one["alerts"]] != []


def test_shuffled_rows_hold_the_budget(folder: Path) -> None:
    found = told(folder / "rows.csv", *COLUMNS, "--monitors", folder / "strict.yaml", "--reference", "first:3000",
                 "--shuffle", 7)  # fmt: skip
    assert found["alerts"] == []
    assert [(r["severity"], r["alarms"], r["budget"], r["period"]) for r in found["false_alarms"]] == [
        ("page", 0, 1.0, "30d"),
        ("ticket", 0, 4.0, "30d"),
    ]


def test_another_configuration_is_held_against_the_first(folder: Path) -> None:
    found = told(folder / "rows.csv", *COLUMNS, "--monitors", folder / "strict.yaml", "--reference", "first:3000",
                 "--compare", folder / "lax.yaml")  # fmt: skip
    assert [(each["change"], each["monitor_id"]) for each in found["compared"]] == [("went", "error_rate")]


def test_rejected_rows_are_dead_letters(folder: Path, tmp_path: Path) -> None:
    table = rows(drift=False)
    ids = table.column("id").to_pylist()
    ids[4_500] = None
    path = tmp_path / "rows.parquet"
    pa_parquet.write_table(table.set_column(0, "id", pa.array(ids)), path)
    found = told(path, *COLUMNS, *REFERENCE, "--output", tmp_path / "out")
    assert found["dead_letters"] == {"missing_field": 2}
    of_prediction, _ = [json.loads(line) for line in (tmp_path / "out" / "dead_letters.jsonl").read_text().splitlines()]
    assert of_prediction["message"].startswith("prediction_id is missing")
    assert json.loads(of_prediction["value"])["features"].keys() == {"x", "colour"}


def events() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for row in rows().to_pylist():
        prediction = {
            "prediction_id": row["id"], "model_name": "m", "model_version": "1", "prediction_timestamp": row["at"],
            "prediction_label": row["said"], "prediction_score": row["score"],
            "features": {"x": row["x"], "colour": row["colour"]},
        }  # fmt: skip
        label = {
            "prediction_id": row["id"], "model_name": "m", "label_timestamp": row["at"], "actual_label": row["truth"],
        }  # fmt: skip
        found += [("ml.predictions.v1", prediction), ("ml.labels.v1", label)]
    return found


@pytest.mark.parametrize("envelope", [False, True])
def test_dumps_of_topics_are_read_as_a_worker_reads_them(folder: Path, tmp_path: Path, *, envelope: bool) -> None:
    lines = [
        json.dumps({"topic": topic, "partition": 0, "payload": json.dumps(event)} if envelope else event)
        for topic, event in events()
    ]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join([*lines, "{broken"]) + "\n")
    found = told(path, "--monitors", folder / "strict.yaml", "--reference", "first:3000")
    columns = told(folder / "rows.csv", *COLUMNS, "--monitors", folder / "strict.yaml", "--reference", "first:3000")
    starts = [(each["labels"]["monitor_id"], each["start"]) for each in found["alerts"]]
    assert starts == [(each["labels"]["monitor_id"], each["start"]) for each in columns["alerts"]]
    assert found["dead_letters"] == {"not_json": 1}


def test_a_reference_by_dates_and_from_the_first_events(folder: Path) -> None:
    names = [folder / "rows.csv", *COLUMNS, "--cell", "6h", "--positive-class", "late"]
    assert told(*names, "--reference", "2025-01-06..2025-01-20")["alerts"]
    assert told(*names)["n_windows"] > 100


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--timestamp", "when", "--prediction", "said"],
         "--timestamp is 'when': expected one of the columns of {}/rows.csv: id, at, x, colour, said, score, truth"),
        (["--timestamp", "colour", "--prediction", "said", *LATE], "rows.csv, row 1: colour is "),
        (["--timestamp", "at"], "--prediction and --score are missing"),
        ([], "--timestamp is missing: expected the column of {}/rows.csv with the time"),
        (["--prediction", "said"], "--timestamp is missing: expected the column with the time beside --prediction"),
        ([*COLUMNS, *LATE, "--reference", "first:ten"], "--reference is 'first:ten': expected first:N"),
        ([*COLUMNS, *LATE, "--reference", "first:9000"], "--reference takes all 6000 rows"),
        ([*COLUMNS, *LATE, "--reference", "2020-01-01..2020-02-01"], "expected a part of the recording"),
        ([*COLUMNS, *LATE, "--reference", "nothing.json"], "--reference is 'nothing.json': expected first:N"),
        (COLUMNS, "--positive-class is missing: expected one of the predicted classes: late, on"),
        ([*COLUMNS, "--compare", "x.yaml"], "--compare is given without --monitors"),
        ([*COLUMNS, "--kind", "x=odd"], "--kind is 'x=odd': expected x=numeric or x=categorical"),
        ([*COLUMNS, *LATE, "--kind", "colour=numeric"], "In CSV column 'colour': Row #2"),
        ([*COLUMNS, "--time-zone", "Mars"], "--time-zone is 'Mars'"),
        ([*COLUMNS, "--cell", "11h"], "cell: does not divide a week"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_words(folder: Path, arguments: list[str], expected: str) -> None:
    result = plumbline(folder / "rows.csv", *arguments)
    assert result.exit_code == 2, result.output
    assert expected.format(folder) in result.output


def test_a_monitor_of_an_unknown_feature_is_refused(folder: Path, tmp_path: Path) -> None:
    wrong = (folder / "strict.yaml").read_text().replace("feature_drift,", "feature_drift, features: [y],")
    (tmp_path / "wrong.yaml").write_text(wrong)
    result = plumbline(folder / "rows.csv", *COLUMNS, "--monitors", tmp_path / "wrong.yaml")
    assert result.exit_code == 2
    assert "names the feature 'y': expected one of colour, x" in result.output


def test_a_time_that_cannot_be_read_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("at,said\n2025-01-06T00:00:00Z,on\n2025-01-06 01:00,on\nyesterday,on\n")
    result = plumbline(path, "--timestamp", "at", "--prediction", "said", "--positive-class", "on")
    assert result.exit_code == 2
    assert "rows.csv, row 3: at is 'yesterday': expected seconds since 1970" in result.output
