"""Placebo deployments: v1 redeployed as v2 on 42 Mondays, and the skewed v2 on the same ones.

    python -m benchmarks.placebo

Uses the evidence for a rollback exactly as the evaluator does (`streams.evaluator.evidence`), on the flights of the
demo and its monitors.yaml, without a broker. Days count from the deployment to the end of the cell that completed the
evidence; maturity comes on top.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from demo.flights import load_flights
from demo.model import score
from detectors.inflation import variance_inflation
from detectors.sequential import EProcess
from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.models import ModelSpec
from schemas.monitors import MonitorsFile
from streams.evaluator import evidence
from streams.evaluator.evidence import CellCount
from streams.evaluator.state import CellRecord

FIRST_MONDAY = datetime(2013, 3, 4, 5, tzinfo=UTC)
REFERENCE = (datetime(2013, 1, 25, 5, tzinfo=UTC), datetime(2013, 2, 22, 5, tzinfo=UTC))
N_MONDAYS = 42
WATCHED = timedelta(days=28)
Cells = dict[int, CellCount]


def cells_of(spec: ModelSpec, *, seed: int) -> tuple[Cells, Cells]:
    """Misses per cell of v1 and of the skewed v2, over the whole year."""
    flights = load_flights(Path("build/demo-cache"))
    scores = score(flights, seed=seed)
    length = milliseconds(spec.cell)
    starts = flights.departure_ms // length * length
    late = np.array(flights.has_label) & flights.is_late
    found: list[Cells] = []
    for predicted in (scores.minutes >= 0.5, scores.hours >= 0.5):
        cells: Cells = {}
        for start in np.unique(starts):
            here = starts == start
            n, n_bad = int((here & late).sum()), int((here & late & ~predicted).sum())
            cells[int(start)] = CellCount(cell_ms=int(start), n=n, n_bad=n_bad, n_predictions=int(here.sum()))
        found.append(cells)
    return found[0], found[1]


def days_to_evidence(spec: ModelSpec, past: Cells, current: Cells, monday: datetime, inflation: float) -> float | None:
    """Days from a deployment on a Monday to complete evidence; None without it within four weeks."""

    def deployed(version: str, at: datetime, generation: int) -> DeploymentEvent:
        return DeploymentEvent(
            deployment_id=version, model_name=spec.model_name, model_version=version, generation=generation,
            deployed_at=at,
        )  # fmt: skip

    start = milliseconds(monday)
    history = [CellRecord(c.cell_ms, c.n_predictions, c.n, c.n_bad) for c in past.values() if c.cell_ms < start]
    first = deployed("v1", monday - timedelta(days=60), 1)
    state = evidence.begin(deployed("v2", monday, 2), first, spec=spec, history=history, inflation=inflation)
    if state is None:
        raise ValueError(f"{monday:%d %B}: the previous version's past is too short to hold a deployment against")
    length = milliseconds(spec.cell)
    for cell_ms in sorted(current):
        if not start - length < cell_ms < start + milliseconds(WATCHED):
            continue
        evidence.feed(state, current[cell_ms])
        is_complete = EProcess.from_list(state.process).e_value >= 1.0 / spec.rollback.alpha
        if is_complete and state.n >= spec.rollback.min_samples:
            return (cell_ms + length - start) / milliseconds(timedelta(days=1))
    return None


def main() -> None:
    document = yaml.safe_load(Path("demo/monitors.yaml").read_text())
    spec = MonitorsFile.model_validate(document).models[0].spec()
    good, skewed = cells_of(spec, seed=7)
    within = [c for c in good.values() if milliseconds(REFERENCE[0]) <= c.cell_ms < milliseconds(REFERENCE[1])]
    found = variance_inflation([c.n_bad for c in within], [c.n for c in within], cells_per_cycle=4)
    if found is None:
        raise ValueError(f"reference: {len(within)} cells given, expected at least 40")
    mondays = [FIRST_MONDAY + timedelta(weeks=week) for week in range(N_MONDAYS)]
    table = Table(title=f"{N_MONDAYS} Mondays, evidence {spec.rollback.evidence}, {found.n_cells} reference cells")
    for column in ("divided by", "v", "wrong rollbacks", "v2 found", "median days", "p90", "most"):
        table.add_column(column, justify="right")
    for name, v in (("ratio", found.ratio), ("upper", found.upper)):
        wrong = [days_to_evidence(spec, good, good, monday, v) for monday in mondays]
        right = [days_to_evidence(spec, good, skewed, monday, v) for monday in mondays]
        days = np.array([day for day in right if day is not None])
        table.add_row(
            name, f"{v:.1f}", str(sum(day is not None for day in wrong)), f"{len(days)} of {N_MONDAYS}",
            f"{np.median(days):.2f}", f"{np.quantile(days, 0.9):.2f}", f"{days.max():.2f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
