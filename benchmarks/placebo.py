"""Placebo deployments: v1 redeployed as v2 on 42 Mondays, and the skewed v2 on the same ones.

    python -m benchmarks.placebo [--write]

Uses the evidence for a rollback exactly as the evaluator does (`streams.evaluator.evidence`), on the flights of the
demo and its monitors.yaml, without a broker. Days count from the deployment to the end of the cell that completed the
evidence; maturity comes on top. With a holdback a tenth of the flights, drawn at random, stays with v1, and evidence
does not count where v1 has shifted as well: then the governor refuses (`upstream_cause`). `--write` puts the table into
docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.statistics_page import markdown, show, wants_writing
from demo.flights import Flights, load_flights
from demo.model import DECISION, score
from detectors.inflation import variance_inflation
from detectors.sequential import EProcess
from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.models import ModelSpec
from schemas.monitors import MonitorsFile
from streams.evaluator import evidence
from streams.evaluator.evidence import SHIFTED_E_VALUE, CellCount
from streams.evaluator.state import CellRecord, DeploymentState

FIRST_MONDAY: Final = datetime(2013, 3, 4, 5, tzinfo=UTC)
REFERENCE: Final = (datetime(2013, 1, 25, 5, tzinfo=UTC), datetime(2013, 2, 22, 5, tzinfo=UTC))
N_MONDAYS: Final = 42
WATCHED: Final = timedelta(days=28)
HOLDBACK: Final = 0.1
SEED: Final = 7
Cells = dict[int, CellCount]
_NOBODY: Final[Cells] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """Misses per cell: of v1 and the skewed v2 on all flights, and with a holdback on the part of each."""

    v1: Cells
    v2: Cells
    v1_held_back: Cells
    v1_rest: Cells
    v2_rest: Cells


def year_of(spec: ModelSpec, *, seed: int) -> Year:
    """Count the misses of the whole year."""
    flights = load_flights(Path("build/demo-cache"))
    scores = score(flights, seed=seed)
    v1, v2 = scores.minutes >= DECISION, scores.hours >= DECISION
    every = np.ones(len(flights), dtype=bool)
    held_back = np.random.default_rng([seed, 42]).random(len(flights)) < HOLDBACK
    length = milliseconds(spec.cell)
    return Year(
        v1=_cells(flights, v1, every, length),
        v2=_cells(flights, v2, every, length),
        v1_held_back=_cells(flights, v1, held_back, length),
        v1_rest=_cells(flights, v1, ~held_back, length),
        v2_rest=_cells(flights, v2, ~held_back, length),
    )


def _cells(flights: Flights, called_late: NDArray[np.bool_], served: NDArray[np.bool_], length: int) -> Cells:
    starts, cell = np.unique(flights.departure_ms // length * length, return_inverse=True)
    late = np.array(flights.has_label) & flights.is_late & served
    counts = [
        np.bincount(cell, weights=which, minlength=len(starts)).astype(int)
        for which in (late, late & ~called_late, served)
    ]
    return {
        int(start): CellCount(cell_ms=int(start), n=int(n), n_bad=int(n_bad), n_predictions=int(total))
        for start, n, n_bad, total in zip(starts, *counts, strict=True)
    }


def days_to_evidence(
    spec: ModelSpec, past: Cells, current: Cells, monday: datetime, inflation: float, *, held_back: Cells = _NOBODY
) -> float | None:
    """Days from a deployment on a Monday to complete evidence; None without it within four weeks."""
    start = milliseconds(monday)
    history = [CellRecord(c.cell_ms, c.n_predictions, c.n, c.n_bad) for c in past.values() if c.cell_ms < start]
    first = _deployed(spec, "v1", monday - timedelta(days=60), 1)
    state = evidence.begin(_deployed(spec, "v2", monday, 2), first, spec=spec, history=history, inflation=inflation)
    if state is None:
        raise ValueError(f"{monday:%d %B}: the previous version's past is too short to hold a deployment against")
    length = milliseconds(spec.cell)
    for cell_ms in sorted(current):
        if not start - length < cell_ms < start + milliseconds(WATCHED):
            continue
        evidence.feed(state, current[cell_ms])
        if held_back:
            evidence.feed_arm(state, "v1", "holdback", held_back[cell_ms])
        is_complete = EProcess.from_list(state.process).e_value >= 1.0 / spec.rollback.alpha
        if is_complete and state.n >= spec.rollback.min_samples and not _control_has_shifted(state, spec):
            return (cell_ms + length - start) / milliseconds(timedelta(days=1))
    return None


def _deployed(spec: ModelSpec, version: str, at: datetime, generation: int) -> DeploymentEvent:
    return DeploymentEvent(
        deployment_id=version, model_name=spec.model_name, model_version=version, generation=generation, deployed_at=at
    )


def _control_has_shifted(state: DeploymentState, spec: ModelSpec) -> bool:
    """As in the governor's rule `upstream_cause`: a control counts once it has seen enough."""
    return any(
        arm.n >= spec.rollback.min_samples and EProcess.from_list(arm.process).e_value >= SHIFTED_E_VALUE
        for arm in state.arms.values()
    )


def row(spec: ModelSpec, year: Year, name: str, v: float, *, holdback: bool) -> list[str]:
    """Wrong rollbacks, and how soon the skewed v2 is found, on all Mondays."""
    held_back = year.v1_held_back if holdback else _NOBODY
    sound, skewed = (year.v1_rest, year.v2_rest) if holdback else (year.v1, year.v2)
    mondays = [FIRST_MONDAY + timedelta(weeks=week) for week in range(N_MONDAYS)]
    wrong = [days_to_evidence(spec, year.v1, sound, monday, v, held_back=held_back) for monday in mondays]
    right = [days_to_evidence(spec, year.v1, skewed, monday, v, held_back=held_back) for monday in mondays]
    days = np.array([day for day in right if day is not None])
    shown = [f"{x:.2f}" for x in (np.median(days), np.quantile(days, 0.9), days.max())] if len(days) else ["", "", ""]
    n_wrong = sum(day is not None for day in wrong)
    return [name, f"{v:.1f}", f"{n_wrong} of {N_MONDAYS}", f"{len(days)} of {N_MONDAYS}", *shown]


def placebo() -> str:
    """The table."""
    document = yaml.safe_load(Path("demo/monitors.yaml").read_text())
    spec = MonitorsFile.model_validate(document).models[0].spec()
    year = year_of(spec, seed=SEED)
    within = [c for c in year.v1.values() if milliseconds(REFERENCE[0]) <= c.cell_ms < milliseconds(REFERENCE[1])]
    found = variance_inflation([c.n_bad for c in within], [c.n for c in within], cells_per_cycle=4)
    if found is None:
        raise ValueError(f"reference: {len(within)} cells given, expected at least 40")
    rows = [
        row(spec, year, "the estimate, as decided", found.ratio, holdback=False),
        row(spec, year, "the same, 10 % held back", found.ratio, holdback=True),
        row(spec, year, "its 95 % upper bound", found.upper, holdback=False),
    ]
    header = ["divided by", "v", "wrong rollbacks", "skewed v2 found", "median days", "p90", "most"]
    return markdown(header, rows)


def main() -> None:
    show({"placebo": placebo()}, write=wants_writing("Placebo deployments on the flights."))


if __name__ == "__main__":
    main()
