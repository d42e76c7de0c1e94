"""Performance without labels, held against published figures: the car loan set, ten chunks of 5,000.

    python -m benchmarks.estimation

The data are three files in the wheel of nannyml 0.13.1, which pip fetches into build/; it is not installed.
Drift begins at row 25,000. Prints a table and a JSON line; exits with 1 where a promise does not hold.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from detectors.calibration import fit_calibration
from detectors.classification import N_SCORE_BINS, encode_scores, score_metrics
from detectors.estimation import estimate_classification
from detectors.exact import exact_auc

WHEEL = "nannyml-0.13.1-py3-none-any.whl"
FOLDER = Path("build/nannyml")
CHUNK = 5000
REALISED = (0.970962, 0.970248, 0.976282, 0.967721, 0.969886, 0.96005, 0.95853, 0.959041, 0.963094, 0.957556)
PUBLISHED = (0.970744, 0.970971, 0.971407, 0.971091, 0.971123, 0.96109, 0.961825, 0.961073, 0.962533, 0.961316)
REALISED_TOLERANCE, ESTIMATE_TOLERANCE = 1e-6, 0.003
FETCH_SECONDS = 120
Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


def fetch() -> Path | None:
    """The wheel in build/, fetched if it is not there; None, after a line on stderr, where it cannot be had."""
    path = FOLDER / WHEEL
    if not path.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        asked = [*pip, "--python-version", "3.11", "-d", str(FOLDER), "nannyml==0.13.1"]
        done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=FETCH_SECONDS)
        if done.returncode or not path.exists():
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            print(f"the wheel {WHEEL} cannot be had: {last}", file=sys.stderr)
            return None
    return path


def read(wheel: Path, part: str, target: str | None = None) -> Columns:
    """Score, predicted and actual of a part of the set."""
    with zipfile.ZipFile(wheel) as archive:

        def rows(name: str) -> list[dict[str, str]]:
            text = archive.read(f"nannyml/datasets/data/synthetic_car_loan_{name}.csv").decode()
            return list(csv.DictReader(io.StringIO(text)))

        table = rows(part)
        truth = {row["id"]: row["repaid"] for row in (rows(target) if target else table)}
    return (
        np.array([float(row["y_pred_proba"]) for row in table]),
        np.array([int(float(row["y_pred"])) for row in table]),
        np.array([int(float(truth[row["id"]])) for row in table]),
    )


def count(rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Shape (2, bins): a 0/1 column by score bin."""
    counts = np.zeros((2, N_SCORE_BINS))
    np.add.at(counts, (rows, encode_scores(scores)), 1)
    return counts


def measure(wheel: Path) -> list[dict[str, float]]:
    """Per chunk: the realised AUC, exact and from bins, and both estimates."""
    scores, _, actual = read(wheel, "reference")
    calibration = fit_calibration(count(actual, scores))
    scores, predicted, actual = read(wheel, "analysis", "analysis_target")
    found: list[dict[str, float]] = []
    for k, (realised, published) in enumerate(zip(REALISED, PUBLISHED, strict=True)):
        part = slice(k * CHUNK, (k + 1) * CHUNK)
        estimate, lower, upper = estimate_classification(count(predicted[part], scores[part]), calibration)["auc"]
        exact = exact_auc(actual[part], scores[part])
        binned = score_metrics(count(actual[part], scores[part]))["auc"]
        if exact is None or binned is None:
            raise ValueError(f"chunk {k + 1}: labels of one class, expected both")
        row = {"published_realised": realised, "exact": exact, "binned": binned, "published": published}
        found.append(row | {"estimate": estimate, "lower": lower, "upper": upper})
    return found


def summary(rows: list[dict[str, float]]) -> dict[str, float | bool]:
    """The three promises, and what they came to."""

    def gap(a: str, b: str) -> np.ndarray:
        return np.abs([row[a] - row[b] for row in rows])

    realised, estimate = gap("exact", "published_realised").max(), gap("estimate", "published").max()
    ours, theirs = gap("estimate", "exact").mean(), gap("published", "exact").mean()
    inside = np.mean([row["lower"] <= row["exact"] <= row["upper"] for row in rows])
    holds = realised <= REALISED_TOLERANCE and estimate <= ESTIMATE_TOLERANCE and ours < theirs
    return {
        "realised_max_error": float(realised),
        "estimate_max_difference": float(estimate),
        "mean_error": float(ours),
        "published_mean_error": float(theirs),
        "binning_max_error": float(gap("binned", "exact").max()),
        "interval_coverage": float(inside),
        "holds": bool(holds),
    }


def main() -> int:
    """Measure and print."""
    wheel = fetch()
    if wheel is None:
        return 1 if os.environ.get("CI") == "true" else 0
    rows = measure(wheel)
    names = ("published_realised", "exact", "binned", "published", "estimate", "lower", "upper")
    table = Table("chunk", *names, title="AUC, car loan set")
    for k, row in enumerate(rows):
        table.add_row(str(k + 1), *(f"{row[name]:.6f}" for name in names))
    Console(width=120).print(table)
    found = summary(rows)
    print(json.dumps(found))
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
