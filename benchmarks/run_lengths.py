"""Run lengths without any drift: what the promises of algorithms A and B come to on streams of several laws.

    python -m benchmarks.run_lengths [--write]

Four tables: the average run length and early alarms, with baseline and inflation known and estimated from four weeks;
the same for many series on one budget; a stream with a daily cycle, by context and as a whole; and what a tolerance
keeps silent. `--write` puts them into docs/statistics.md. A few minutes on one core.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.null_streams import (
    CELLS_PER_DAY,
    DAILY,
    N_REFERENCE,
    NORMAL,
    STREAMS,
    Algorithm,
    NullStream,
    RunLengths,
    alarms,
    bet_matrix,
    matrices,
    scores_of,
    simulate,
)
from benchmarks.statistics_page import markdown, show, wants_writing
from detectors.seasonal import SeasonalReference

C: Final = 240.0
N_RUNS: Final = 600
N_WINDOWS: Final = 1_200
N_WEIGHTED: Final = 10
SEED: Final = 5
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("A", "A both sides", "B")
_TOLERATED: Final = (0.0, 0.05, 0.1, 0.2, 0.4)
_SHIFTS: Final = (0.05, 0.1, 0.2, 0.5)
_MANY_EVENTS: Final = 50
"""Times the events of a usual cell."""


def promises() -> str:
    """Average run lengths and early alarms."""
    rows = []
    for stream in STREAMS:
        for algorithm in ALGORITHMS:
            for baseline in ("known", "estimated"):
                if baseline == "known" and not stream.has_known_truth:
                    continue
                raised = simulate(stream, algorithm, baseline, threshold=C, runs=N_RUNS, windows=N_WINDOWS, seed=SEED)
                found = RunLengths.of(raised, C)
                rows.append([
                    stream.name, algorithm, baseline, f"{found.mean:.0f} ± {found.se:.0f}", f"{found.early:.3f}",
                    f"{found.per_threshold:.2f}", "yes" if found.keeps(C) else "**no**",
                ])  # fmt: skip
    header = ["stream", "bets", "baseline and v", "run length", "alarm within c/10", "alarms in c windows", "kept"]
    return markdown(header, rows)


def budgets() -> str:
    """Ten series on one budget: alarms against what is allowed."""
    rows = []
    for stream in STREAMS:
        found = [
            RunLengths.of(
                simulate(
                    stream, algorithm, "estimated", threshold=C, runs=N_RUNS, windows=N_WINDOWS, seed=SEED,
                    n_weighted=N_WEIGHTED,
                ),
                C,
            )
            for algorithm in ("A", "B")
        ]  # fmt: skip
        rows.append([stream.name, "1", *(f"{each.per_threshold:.2f} ± {each.per_threshold_se:.2f}" for each in found)])
    return markdown(["stream", "allowed", "measured, A", "measured, B"], rows)


def as_if_independent(algorithm: Algorithm, *, runs: int, windows: int, threshold: float, seed: int) -> RunLengths:
    """The daily cycle held against the whole, with the inflation that it would have without the cycle."""
    rng = np.random.default_rng(seed)
    counts = DAILY.counts(rng, runs, N_REFERENCE + windows)
    contexts = np.arange(N_REFERENCE) % CELLS_PER_DAY
    bets = []
    for reference in counts[:, :N_REFERENCE]:
        whole = SeasonalReference.of(reference, **scores_of(DAILY, algorithm))
        split = SeasonalReference.of(reference, contexts, **scores_of(DAILY, algorithm))
        if whole is None or split is None:
            raise ValueError(f"reference: {len(reference)} cells given, expected enough for an inflation")
        held = whole.at(None)
        v = split.inflation
        naive = replace(held, n_effective=held.n / v, inflation=v, freedom=split.freedom)
        bets.append([bet_matrix(naive, algorithm, DAILY.values, 1)])
    return RunLengths.of(alarms(counts[:, N_REFERENCE:], np.array(bets), threshold), threshold)


def delays(
    stream: NullStream, algorithm: Algorithm, shift: float, *, by_context: bool, runs: int, threshold: float, seed: int
) -> NDArray[np.float64]:
    """Windows until a shift, in standard deviations, is found; infinite where it is not within 200."""
    rng = np.random.default_rng(seed)
    reference = stream.counts(rng, runs, N_REFERENCE)
    moved = replace(stream, draw=lambda r, n, cells: stream.draw(r, n, cells) + shift).counts(rng, runs, 200)
    contexts = np.arange(N_REFERENCE) % CELLS_PER_DAY if by_context else None
    bets = np.array(list(matrices(stream, algorithm, "estimated", reference, rng, contexts=contexts)))
    raised = alarms(moved, bets, threshold)
    return np.where(raised.any(axis=1), raised.argmax(axis=1) + 1.0, np.inf)


def seasons() -> str:
    """A daily cycle without drift, and how soon a shift is found in it."""
    rows = []
    for algorithm in ("A", "B"):
        for name, by_context in (("cell of the day", True), ("the whole", False)):
            raised = simulate(
                DAILY, algorithm, "estimated", threshold=C, runs=N_RUNS, windows=N_WINDOWS, seed=SEED,
                by_context=by_context,
            )  # fmt: skip
            late = delays(DAILY, algorithm, 0.4, by_context=by_context, runs=200, threshold=C, seed=SEED)
            median = float(np.median(late))
            shown = f"{median:.0f}" if np.isfinite(median) else "not in 200"
            rows.append([algorithm, name, f"{RunLengths.of(raised, C).per_threshold:.2f}", shown])
        naive = as_if_independent(algorithm, runs=N_RUNS, windows=N_WINDOWS, threshold=C, seed=SEED)
        rows.append([algorithm, "the whole, v without the cycle", f"{naive.per_threshold:.2f}", ""])
    header = ["bets", "held against", "alarms in c windows (allowed: 1)", "windows to find .4 standard deviations"]
    return markdown(header, rows)


def tolerated(shift: float, tolerance: float, *, runs: int, windows: int, threshold: float, seed: int) -> float:
    """Share of runs with an alarm, for a shift in standard deviations of a stream with very many events."""
    rng = np.random.default_rng(seed)
    reference = NORMAL.counts(rng, runs, N_REFERENCE) * _MANY_EVENTS
    moved = replace(NORMAL, draw=lambda r, n, cells: NORMAL.draw(r, n, cells) + shift)
    now = moved.counts(rng, runs, windows) * _MANY_EVENTS
    bets = np.array(list(matrices(NORMAL, "B", "estimated", reference, rng, tolerance=tolerance)))
    return float(alarms(now, bets, threshold).any(axis=1).mean())


def tolerances() -> str:
    """Which shifts raise an alarm within 100 windows, by tolerance."""
    rows = [
        [f"{tolerance:g}", *(
            f"{tolerated(shift, tolerance, runs=50, windows=100, threshold=C, seed=SEED):.2f}" for shift in _SHIFTS
        )]
        for tolerance in _TOLERATED
    ]  # fmt: skip
    return markdown(["tolerance", *(f"shift of {shift:g} sd" for shift in _SHIFTS)], rows)


def main() -> None:
    write = wants_writing("Run lengths without drift.")
    for name, measure in (
        ("run-lengths", promises), ("budgets", budgets), ("seasons", seasons), ("tolerances", tolerances),
    ):  # fmt: skip
        show({name: measure()}, write=write)


if __name__ == "__main__":
    main()
