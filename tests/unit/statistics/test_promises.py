"""What docs/statistics.md promises, on streams in which nothing changes.

`python -m benchmarks.run_lengths` is the long form.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.null_streams import DAILY, STREAMS, RunLengths, simulate
from benchmarks.run_lengths import as_if_independent, delays, tolerated

C = 100.0
RUNS, WINDOWS = 200, 400
ALGORITHMS = ("A", "A both sides", "B")
CASES = [
    pytest.param(stream, algorithm, baseline, id=f"{stream.name}-{algorithm}-{baseline}")
    for stream in STREAMS
    for algorithm in ALGORITHMS
    for baseline in ("known", "estimated")
    if baseline == "estimated" or stream.has_known_truth
]


@pytest.mark.parametrize(("stream", "algorithm", "baseline"), CASES)
def test_without_drift_an_alarm_comes_on_average_after_c_windows(stream, algorithm, baseline):
    raised = simulate(stream, algorithm, baseline, threshold=C, runs=RUNS, windows=WINDOWS, seed=11)
    found = RunLengths.of(raised, C)
    assert found.mean + 2 * found.se >= C, found
    assert found.early <= 0.1 + 2 * found.early_se, found


@pytest.mark.parametrize("algorithm", ["A", "B"])
@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_ten_series_stay_within_their_common_budget_with_restarts(stream, algorithm):
    raised = simulate(stream, algorithm, "estimated", threshold=C, runs=RUNS, windows=WINDOWS, seed=12, n_weighted=10)
    found = RunLengths.of(raised, C)
    assert found.per_threshold <= 1.0 + 2 * found.per_threshold_se, found


@pytest.mark.parametrize("algorithm", ["A", "B"])
def test_a_daily_cycle_needs_the_cell_of_the_day_as_its_reference(algorithm):
    raised = simulate(DAILY, algorithm, "estimated", threshold=C, runs=RUNS, windows=WINDOWS, seed=13, by_context=True)
    by_context = RunLengths.of(raised, C)
    assert by_context.per_threshold <= 1.0 + 2 * by_context.per_threshold_se, by_context
    whole = as_if_independent(algorithm, runs=RUNS, windows=WINDOWS, threshold=C, seed=13)
    assert whole.per_threshold - 2 * whole.per_threshold_se > 1.0, whole
    assert not whole.keeps(C)
    soon, late = (
        np.median(delays(DAILY, algorithm, 0.4, by_context=split, runs=60, threshold=C, seed=14))
        for split in (True, False)
    )
    assert 2 * soon < late


def test_within_the_tolerance_a_sure_shift_stays_silent():
    settings = {"runs": 20, "windows": 60, "threshold": C, "seed": 15}
    assert tolerated(0.2, 0.0, **settings) == 1.0
    assert tolerated(0.2, 0.2, **settings) == 0.0
    assert tolerated(0.6, 0.2, **settings) == 1.0
