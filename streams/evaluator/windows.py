"""A closing cell, and what is published of it: values, findings and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from detectors.verdict import Status
from schemas.base import from_milliseconds
from schemas.identifiers import ALL_SEGMENT
from schemas.maintenance import Maintenance
from schemas.metrics import BurnStatus, CanaryStatus, WindowMetrics
from schemas.monitors import Monitor
from streams.control import layout as sections
from streams.control.plan import Plan
from streams.evaluator.cells import CellKey, Dense
from streams.evaluator.fairness import all_fairness
from streams.evaluator.scene import Scene
from streams.evaluator.series import Reading, Series
from streams.evaluator.signals import Counted, findings, input_values, outcome_values
from streams.evaluator.state import ModelState
from streams.evaluator.watch import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """One version's cell under one plan, as it closes: for its inputs, or for its outcomes."""

    key: CellKey
    plan: Plan
    cell: Dense
    outcomes: bool
    is_serving: bool
    n_versions: int
    now_ms: int
    maintenance: Maintenance | None = None
    """What it overlaps of the model's calendar."""
    canary: CanaryStatus | None = None
    """Where this version serves beside the one that it may replace."""

    @property
    def is_judged(self) -> bool:
        """Whether its counts go to detectors: the version serves, and nobody works on it."""
        return self.is_serving and self.maintenance is None

    @property
    def end_ms(self) -> int:
        """End of the cell."""
        return self.key.cell_ms + self.plan.cell_ms

    def counted(self, segment: str = ALL_SEGMENT) -> Counted:
        """The counts of a segment; zeros where it had no events."""
        counts = self.cell.get(segment)
        if counts is None:
            counts = np.zeros(self.plan.layout.width, dtype=np.int64)
        return Counted(self.plan, self.plan.layout, counts)


def alert_key(version: str, monitor: Monitor) -> str:
    """Key of a monitor's alert among a model's: one for each version."""
    return f"{version}|{monitor.monitor_id}"


def window_metrics(
    state: ModelState,
    closing: Closing,
    series: Sequence[Series],
    watched: Watched,
    scene: Scene,
    burns: Sequence[BurnStatus] = (),
) -> WindowMetrics:
    """Write down a closed window."""
    whole = closing.counted()
    values = outcome_values if closing.outcomes else input_values
    # Of segments only what confusion says: a segment's score bins are mostly empty.
    segments = {
        name: outcome_values(closing.counted(name), with_scores=False)
        for name in sorted(closing.cell)
        if name != ALL_SEGMENT and closing.outcomes
    }
    fairness = all_fairness(whole, outcomes=closing.outcomes)
    shown = {**values(whole), **{name: each.value for name, each in fairness.items()}}
    n_labels = int(whole.total(sections.N_LABELLED)) if closing.outcomes else 0
    verdict = partial(_verdict, state, closing, watched)
    return WindowMetrics(
        environment=closing.plan.spec.environment,
        model_name=closing.plan.spec.model_name,
        model_version=closing.key.model_version,
        kind="outcomes" if closing.outcomes else "inputs",
        window_start=from_milliseconds(closing.key.cell_ms),
        window_end=from_milliseconds(closing.end_ms),
        n_predictions=int(whole.total(sections.N_PREDICTIONS)),
        n_labels=n_labels,
        label_coverage_ratio=scene.coverage,
        values=shown,
        segments=segments,
        findings={} if closing.outcomes else findings(whole),
        verdicts=[verdict(one) for one in series if one.key in watched.readings],
        burns=list(burns),
        fairness=fairness,
        canary=closing.canary,
        plan_id=closing.plan.plan_id,
        reference_id=scene.reference.reference_id if scene.reference else "",
        config_revision=scene.config_revision,
        details={} if closing.maintenance is None else {"maintenance": closing.maintenance.comment},
    )


def _verdict(state: ModelState, closing: Closing, watched: Watched, one: Series) -> dict[str, Any]:
    """A `SeriesVerdict` as a dictionary: there may be thousands, and the window checks them all at once."""
    reading: Reading = watched.readings[one.key]
    alert = state.alerts.get(alert_key(closing.key.model_version, one.monitor)) if state.alerts else None
    if reading.log_bets is None:
        status = Status.NO_DATA if not reading.n else Status.WARMING_UP
    elif alert is not None and one.key in alert.series:
        status = Status.DRIFT
    elif not reading.n:
        status = Status.NO_DATA
    else:
        status = Status.STABLE
    return {
        "monitor_id": one.monitor.monitor_id,
        "signal": one.monitor.signal.value,
        "segment": one.segment,
        "feature": one.feature,
        "status": status.value,
        "statistic": watched.statistics.get(one.key),
        "threshold": watched.thresholds.get(one.key),
        "value": reading.value,
        "reference_value": reading.reference_value,
        "n": reading.n,
        "companions": [{"name": name, "value": v, "threshold": limit} for name, v, limit in reading.companions],
    }
