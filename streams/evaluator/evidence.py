"""Evidence for a rollback: a test of its own, that starts at the deployment and never at a person's alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from detectors.baseline import clopper_pearson_lower, clopper_pearson_upper, variance_inflation
from detectors.bounded_mean import BoundedMean
from detectors.sequential import EProcess
from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.evidence import ControlArm, PreviousVersion, Recovery, RollbackEvidence
from schemas.models import ModelSpec
from schemas.signals import OUTCOME_SIGNALS
from streams.evaluator.feeding import CLEARING_E_VALUE
from streams.evaluator.state import ArmState, CellRecord, DeploymentState, ModelState, RecoveryState

BASELINE_LEVEL: Final = 0.01
"""Error probability of the previous version's upper bound."""
SHIFTED_E_VALUE: Final = 20.0
"""A control has shifted when its own e-process reaches this, and has held when its mirrored one does."""
CALM_MS: Final = milliseconds(timedelta(days=7))
"""A previous version is in reference without a drift verdict in its last seven served days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCount:
    """The evidence signal's events in a matured cell of one version."""

    cell_ms: int
    n: int
    n_bad: int
    n_predictions: int
    n_labelled: int


def begin(
    deployment: DeploymentEvent,
    previous: DeploymentEvent,
    *,
    spec: ModelSpec,
    history: Sequence[CellRecord],
    inflation: float | None,
) -> DeploymentState | None:
    """Start the evidence of a deployment; None where the previous version's past is too short to hold it against.

    Parameters
    ----------
    deployment, previous
        The deployment under test, and the one before it of another version.
    spec
        For the policy.
    history
        The previous version's matured cells.
    inflation
        Variance inflation of the signal on the reference; None estimates it on the past itself.
    """
    policy = spec.rollback
    deployed = milliseconds(deployment.deployed_at)
    past = [c for c in history if deployed - milliseconds(policy.baseline) <= c.cell_ms < deployed]
    bad, of = np.array([c.n_bad for c in past]), np.array([c.n for c in past])
    if of.sum() < policy.min_samples:
        return None
    v = inflation
    if v is None:
        estimated = variance_inflation(bad, of, cells_per_cycle=max(1, timedelta(days=1) // spec.cell))
        if estimated is None:
            return None  # fewer than 40 cells, and no reference that knows how they vary
        v = estimated.ratio
    worth = float(of.sum()) / v
    upper = clopper_pearson_upper(float(bad.sum()) / v, worth, BASELINE_LEVEL)
    m0 = upper + policy.harm_tolerance
    if m0 >= 1:
        return None
    return DeploymentState(
        deployment_id=deployment.deployment_id,
        generation=deployment.generation,
        model_version=deployment.model_version,
        deployed_ms=deployed,
        previous_version=previous.model_version,
        previous_deployment_id=previous.deployment_id,
        signal=policy.evidence,
        m0=m0,
        previous_upper=upper,
        previous_n=int(of.sum()),
        previous_n_bad=int(bad.sum()),
        inflation=v,
    )


def feed(state: DeploymentState, count: CellCount) -> None:
    """Take a matured cell of the version under test into its evidence."""
    state.process = _bet(state.process, state.m0, state.inflation, count)
    state.fed_cells.append(count.cell_ms)
    state.n += count.n
    state.n_bad += count.n_bad
    state.n_predictions += count.n_predictions
    state.n_labelled += count.n_labelled


def feed_arm(state: DeploymentState, version: str, kind: str, count: CellCount) -> None:
    """Take a matured cell of a concurrent control into its own process."""
    arm = state.arms.setdefault(version, ArmState(kind=kind))
    arm.process = _bet(arm.process, state.m0, state.inflation, count)
    arm.held = _bet_below(
        arm.held, max(_lower(state.n, state.n_bad, state.inflation), state.m0), state.inflation, count
    )
    arm.n += count.n


def _bet(process: list[float], m0: float, inflation: float, count: CellCount) -> list[float]:
    kept = EProcess.from_list(process) if process else EProcess()
    kept.update(BoundedMean(m0=m0, inflation=inflation).bernoulli_log_bets(count.n_bad, count.n - count.n_bad))
    return kept.to_list()


def _bet_below(process: list[float], level: float, inflation: float, count: CellCount) -> list[float]:
    """Bet that a rate lies below a level."""
    if level >= 1:
        return process
    kept = EProcess.from_list(process) if process else EProcess()
    test = BoundedMean(m0=1.0 - level, inflation=inflation, side="lower")
    kept.update(test.bernoulli_log_bets(count.n_bad, count.n - count.n_bad))
    return kept.to_list()


def begin_recovery(deployment: DeploymentEvent, failed: DeploymentState) -> RecoveryState:
    """Watch whether a rollback helps: the target is held against what the failed version did at best."""
    return RecoveryState(
        rollback_id=deployment.cause,
        deployment_id=deployment.deployment_id,
        failed_version=failed.model_version,
        target_version=deployment.model_version,
        deployed_ms=milliseconds(deployment.deployed_at),
        m0=failed.m0,
        inflation=failed.inflation,
        n_failed_relevant=failed.n,
        n_failed_bad=failed.n_bad,
    )


def feed_recovery(state: RecoveryState, version: str, count: CellCount) -> None:
    """Take a matured cell into what is seen after a rollback.

    Cells that began before it still tell how bad the failed version was; they all mature before the target's do, so
    the level that the target is held against stands still while it is tested.
    """
    if count.cell_ms < state.deployed_ms:
        if version == state.failed_version:
            state.n_failed_relevant += count.n
            state.n_failed_bad += count.n_bad
        return
    if version == state.failed_version:
        state.n_failed += count.n_predictions
    if version != state.target_version:
        return
    state.n_target += count.n_predictions
    state.n += count.n
    state.n_bad += count.n_bad
    level = max(_lower(state.n_failed_relevant, state.n_failed_bad, state.inflation), state.m0)
    state.process = _bet_below(state.process, level, state.inflation, count)


def _lower(n: int, n_bad: int, inflation: float) -> float:
    """Lower confidence bound of a version's rate."""
    worth = n / inflation
    share = n_bad / n if n else 0.0
    return clopper_pearson_lower(share * worth, worth, BASELINE_LEVEL)


def recovery_of(state: RecoveryState, spec: ModelSpec, as_of_ms: int) -> Recovery:
    """Say what is seen after a rollback."""
    terms = spec.rollback.verification
    total = state.n_target + state.n_failed
    value = state.n_bad / state.n if state.n else None
    e_value = EProcess.from_list(state.process).e_value if state.process else 1.0
    # The world may have moved meanwhile: what a rollback has to show is that the failed version's harm is gone.
    is_back = state.n >= spec.rollback.min_samples and e_value >= CLEARING_E_VALUE
    old_ratio = state.n_failed / total if total else None
    has_share = old_ratio is not None and old_ratio <= terms.max_old_version_ratio and total >= terms.min_predictions
    return Recovery(
        rollback_id=state.rollback_id,
        n_predictions=total,
        old_version_ratio=old_ratio,
        n=state.n,
        value=value,
        e_value=e_value,
        has_recovered=is_back and has_share,
        is_overdue=as_of_ms > state.deployed_ms + milliseconds(terms.within),
    )


def evidence_event(
    *,
    model: ModelState,
    spec: ModelSpec,
    deployment: DeploymentEvent,
    state: DeploymentState | None,
    as_of_ms: int,
    cell_length_ms: int,
    past: Callable[[str], PreviousVersion],
    alert_fingerprints: Sequence[str],
    input_drift: bool,
    config_revision: str,
) -> RollbackEvidence:
    """Write down what is known of a deployment at the end of a matured cell.

    Parameters
    ----------
    state
        Its evidence; None for a rollback's own deployment, of which only the recovery is told.
    past
        Describes a version that served before.
    """
    process = EProcess.from_list(state.process) if state is not None and state.process else EProcess()
    onset, distance = _onset(state, process, cell_length_ms)
    others = [version for version in model.history if version != deployment.model_version]
    last = {version: model.history[version][-1].cell_ms if model.history[version] else 0 for version in others}
    targets = [past(version) for version in sorted(others, key=lambda version: (-last[version], version))]
    policy = spec.rollback
    return RollbackEvidence(
        environment=spec.environment,
        model_name=spec.model_name,
        deployment_id=deployment.deployment_id,
        generation=deployment.generation,
        model_version=deployment.model_version,
        deployed_at=deployment.deployed_at,
        cause=deployment.cause,
        signal=policy.evidence,
        as_of=from_milliseconds(as_of_ms),
        e_value=process.e_value,
        threshold=1.0 / policy.alpha,
        m0=state.m0 if state else 1.0,
        n=state.n if state else 0,
        n_bad=state.n_bad if state else 0,
        min_samples=policy.min_samples,
        needs_labels=policy.evidence in {signal.value for signal in OUTCOME_SIGNALS},
        label_coverage_ratio=state.n_labelled / state.n_predictions if state and state.n_predictions else None,
        onset_at=None if onset is None else from_milliseconds(onset),
        onset_cells_after_deployment=distance,
        input_drift=input_drift,
        controls=_controls(state, policy.min_samples),
        previous=None if state is None else past(state.previous_version).model_copy(
            update={
                "n": state.previous_n,
                "n_bad": state.previous_n_bad,
                "upper": state.previous_upper,
                "deployment_id": state.previous_deployment_id,
            }
        ),
        targets=targets,
        recovery=None if model.recovery is None else recovery_of(model.recovery, spec, as_of_ms),
        alert_fingerprints=list(alert_fingerprints),
        config_revision=config_revision,
    )  # fmt: skip


def _onset(state: DeploymentState | None, process: EProcess, cell_length_ms: int) -> tuple[int | None, int | None]:
    """First cell after the evidence's last minimum, and its distance from the deployment in cells."""
    if state is None or not state.fed_cells or process.n_since_minimum == 0:
        return None, None
    onset = state.fed_cells[-process.n_since_minimum]
    first = state.deployed_ms - state.deployed_ms % cell_length_ms
    return onset, (onset - first) // cell_length_ms


def _controls(state: DeploymentState | None, min_samples: int) -> list[ControlArm]:
    """Controls, fed once they have said something: that they shifted too, or that they are better than the version.

    A control with a tenth of the traffic needs longer than the version itself; while it is silent it is no witness.
    """
    if state is None:
        return []
    controls = []
    for version, arm in sorted(state.arms.items()):
        has_shifted = _e_value(arm.process) >= SHIFTED_E_VALUE
        has_spoken = has_shifted or _e_value(arm.held) >= SHIFTED_E_VALUE
        controls.append(
            ControlArm(
                kind="shadow" if arm.kind == "shadow" else "holdback",
                name=version,
                n=arm.n,
                is_fed=arm.n >= min_samples and has_spoken,
                has_shifted=has_shifted,
            )
        )
    return controls


def _e_value(process: list[float]) -> float:
    return EProcess.from_list(process).e_value if process else 1.0


def describe_past(
    version: str,
    *,
    history: Mapping[str, Sequence[CellRecord]],
    deployments: Sequence[DeploymentEvent],
    cell_length_ms: int,
) -> PreviousVersion:
    """Describe a version that served before, from its matured cells."""
    cells = history.get(version, ())
    own = [d for d in deployments if d.model_version == version]
    last = cells[-1].cell_ms if cells else 0
    critical = [c.cell_ms for c in cells if c.critical]
    known = [(c.n_labelled, c.n_predictions) for c in cells if c.n_labelled is not None]
    n_known = sum(n for _, n in known)
    return PreviousVersion(
        model_version=version,
        deployment_id=own[-1].deployment_id if own else "",
        n=sum(c.n for c in cells),
        n_bad=sum(c.n_bad for c in cells),
        upper=1.0,
        in_reference=not any(c.drift for c in cells if c.cell_ms > last - CALM_MS),
        served_seconds=len(cells) * cell_length_ms / 1000,
        n_predictions=sum(c.n_predictions for c in cells),
        input_schema_hash=own[-1].input_schema_hash if own else "",
        label_coverage_ratio=sum(n for n, _ in known) / n_known if n_known else None,
        last_critical_at=from_milliseconds(critical[-1]) if critical else None,
    )
