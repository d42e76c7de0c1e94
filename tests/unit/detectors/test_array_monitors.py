"""MeanMonitor and DriftMonitor: their promised run length with estimated baselines, and what they refuse."""

import numpy as np
import pytest

from detectors import DriftMonitor, MeanMonitor, Status

C = 50
N_RUNS = 60
LONGEST = 200
WINDOW = 50


def run_lengths(update) -> np.ndarray:
    found = []
    for _ in range(N_RUNS):
        step = update()
        found.append(next((t for t in range(1, LONGEST + 1) if step()), LONGEST))
    return np.array(found)


def check_promise(lengths: np.ndarray) -> None:
    """A run that is cut off counts with its length, which only lowers the mean."""
    assert lengths.mean() + 2 * lengths.std() / np.sqrt(len(lengths)) >= C
    early = (lengths <= C / 10).mean()
    assert early <= 0.1 + 2 * np.sqrt(0.09 / len(lengths))


def test_mean_monitor_keeps_its_run_length() -> None:
    rng = np.random.default_rng(1)

    def one():
        monitor = MeanMonitor(rng.random(5_000) < 0.1, window=WINDOW, run_length=C)
        return lambda: monitor.update(rng.random(WINDOW) < 0.1).status is Status.DRIFT

    check_promise(run_lengths(one))


def test_drift_monitor_keeps_its_run_length_whatever_the_number_of_columns() -> None:
    rng = np.random.default_rng(2)

    def rows(n: int) -> dict[str, np.ndarray]:
        return {"x": rng.normal(size=n), "y": rng.exponential(size=n), "c": rng.choice(["a", "b", "c"], n)}

    def one():
        monitor = DriftMonitor(rows(5_000), window=WINDOW, run_length=C)
        return lambda: monitor.update(rows(WINDOW)).whole.status is Status.DRIFT

    check_promise(run_lengths(one))


def test_a_fall_is_found_on_the_lower_side_alone() -> None:
    rng = np.random.default_rng(3)
    reference = rng.random(10_000) < 0.8
    lower = MeanMonitor(reference, window=100, run_length=100, side="lower")
    upper = MeanMonitor(reference, window=100, run_length=100)
    windows = [rng.random(100) < 0.5 for _ in range(10)]
    found = [lower.update(each) for each in windows]
    assert "decrease" in {each.direction for each in found}
    assert {upper.update(each).status for each in windows} == {Status.STABLE}


def test_missing_values_are_left_out() -> None:
    rng = np.random.default_rng(4)
    monitor = MeanMonitor(rng.random(5_000), window=50)
    assert monitor.update([np.nan, 0.5]).n == 1
    assert monitor.update([np.nan]).status is Status.NO_DATA
    drift = DriftMonitor({"x": rng.normal(size=5_000)}, window=50)
    assert drift.update({"x": [np.nan, np.inf, 0.0]}).columns["x"].n == 1
    assert drift.update({"x": []}).whole.status is Status.NO_DATA


def test_a_new_category_is_drift() -> None:
    rng = np.random.default_rng(5)
    monitor = DriftMonitor({"c": rng.choice(["a", "b"], 5_000)}, window=50, run_length=100)
    assert any(monitor.update({"c": ["a"] * 50}).drifted == ["c"] for _ in range(5))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: MeanMonitor([0.5, 2.0], window=1), r"reference: 0.5 to 2.0 given, expected all in \[0, 1\]"),
        (lambda: MeanMonitor([], window=1), "reference: no value"),
        (lambda: MeanMonitor([0.5] * 100, window=10), "10 cells with events given, expected 40"),
        (lambda: DriftMonitor({}, window=10), "reference: no column given"),
        (lambda: DriftMonitor({"x": np.arange(100.0)}, window=10), "10 windows of column 'x' given"),
        (lambda: DriftMonitor({"x": [1.0], "y": [1.0, 2.0]}, window=1), "expected one axis, equally long"),
        (lambda: DriftMonitor({"x": np.arange(400.0)}, window=10).update({"y": [1]}), "no column 'x' given"),
        (lambda: DriftMonitor({"x": np.arange(400.0)}, window=10).update({"x": ["a"]}), "expected numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(make, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()
