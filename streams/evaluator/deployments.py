"""What a matured cell means to the deployments under test: history, evidence, controls, recovery."""

from __future__ import annotations

from functools import partial

from schemas.base import milliseconds
from schemas.deployments import DeploymentEvent
from schemas.identifiers import ALL_SEGMENT
from schemas.metrics import CanaryStatus
from schemas.monitors import Monitor
from schemas.signals import INPUT_DRIFT_SIGNALS, OUTCOME_SIGNALS, Signal
from streams.control import layout as sections
from streams.control.plan import Plan
from streams.evaluator import canary, evidence
from streams.evaluator.cells import CellKey
from streams.evaluator.evidence import CellCount
from streams.evaluator.inputs_seen import inputs_of
from streams.evaluator.model import ModelEvaluator
from streams.evaluator.rates import first_slot_of
from streams.evaluator.serving import champion, predecessor
from streams.evaluator.signals import LOWER_IS_WORSE, QUANTILE_SIGNALS, RATE_SIGNALS, Counted, is_rate_of, rate_pair
from streams.evaluator.state import CellRecord, DeploymentState

ROLLBACK_CAUSE = "rollback-"
"""How the cause of a deployment begins that an executor made for a rollback."""


def is_rollback(deployment: DeploymentEvent) -> bool:
    """Whether a deployment was made by a rollback: such a one is itself never rolled back."""
    return deployment.cause.startswith(ROLLBACK_CAUSE)


def evidence_matures_with(model: ModelEvaluator, *, outcomes: bool) -> bool:
    """Whether the policy's evidence is counted when a cell's outcomes mature, or when its inputs close."""
    signal = _signal(model)
    return signal is not None and (signal in OUTCOME_SIGNALS) is outcomes


def mark_cell(model: ModelEvaluator, version: str, cell_ms: int, *, critical: bool) -> None:
    """Note that a cell of a version drifted, and whether a page was raised; for its record, made or still to come."""
    for record in model.state.history.get(version, ()):
        if record.cell_ms == cell_ms:
            record.drift = True
            record.critical = record.critical or critical
            return
    marks = model.state.marks.setdefault(f"{version}@{cell_ms}", [False, False])
    marks[:] = [True, marks[1] or critical]


def observe_cell(model: ModelEvaluator, cell_ms: int, now_ms: int, *, outcomes: bool) -> None:
    """Take a closed cell of all versions into history, evidence, controls and recovery, and publish them.

    Parameters
    ----------
    model
        Whose cell it is.
    cell_ms
        Start of the cell.
    now_ms
        Event time at which it was due.
    outcomes
        Whether it closed for its outcomes.
    """
    counts = _cell_counts(model, cell_ms, outcomes=outcomes)
    deployments = model.deployments()
    serving = model.serving(now_ms)
    newest = champion(serving)
    if newest is not None and not is_rollback(newest):
        _observe_deployment(model, newest, deployments, counts, cell_ms)
    if newest is not None and is_rollback(newest):
        _observe_recovery(model, newest, counts)
    for version, count in counts.items():
        records = model.state.history.setdefault(version, [])
        drift, critical = model.state.marks.pop(f"{version}@{cell_ms}", (False, False))
        records.append(
            CellRecord(cell_ms, count.n_predictions, count.n, count.n_bad, drift, critical, count.n_labelled)
        )
    _forget(model, cell_ms)
    if newest is not None and newest.generation > 1:
        _publish(model, newest, deployments, cell_ms, outcomes=outcomes)


def observe_canary(model: ModelEvaluator, cell_ms: int, now_ms: int, *, outcomes: bool) -> CanaryStatus | None:
    """Take a closed cell of the versions that serve side by side; None where there are no two, or not this way.

    Parameters
    ----------
    model, cell_ms, now_ms, outcomes
        As of `observe_cell`.
    """
    signal = _signal(model)
    if signal is None or not evidence_matures_with(model, outcomes=outcomes):
        return None
    arms = canary.arms_of(model.serving(now_ms))
    if arms is None:
        model.state.canary = None
        return None
    model.state.canary = canary.observe(
        model.state.canary,
        *arms,
        _cell_counts(model, cell_ms, outcomes=outcomes),
        cell_ms=cell_ms,
    )
    held = model.state.canary
    return None if held is None else canary.status_of(held, model.spec(), needs_labels=signal in OUTCOME_SIGNALS)


def _signal(model: ModelEvaluator) -> Signal | None:
    policy = model.spec().rollback
    known = policy.mode != "off" and policy.evidence in {s.value for s in RATE_SIGNALS}
    signal = Signal(policy.evidence) if known else None
    return signal if signal is not None and is_rate_of(signal, model.spec().task) else None


def _cell_counts(model: ModelEvaluator, cell_ms: int, *, outcomes: bool) -> dict[str, CellCount]:
    """The evidence signal's events of each version, summed over plans."""
    signal = _signal(model)
    counts: dict[str, CellCount] = {}
    for key, plan in model.in_cell(cell_ms, outcomes=outcomes):
        cell = model.cells.in_time(key, plan, outcomes=outcomes)
        if signal is None or ALL_SEGMENT not in cell:
            continue
        counted = Counted(plan, plan.layout, cell[ALL_SEGMENT])
        n_bad, n = _bad(signal, counted, model, key, plan)
        before = counts.get(key.model_version, CellCount(cell_ms=cell_ms, n=0, n_bad=0, n_predictions=0, n_labelled=0))
        counts[key.model_version] = CellCount(
            cell_ms=cell_ms,
            n=before.n + n,
            n_bad=before.n_bad + n_bad,
            n_predictions=before.n_predictions + int(counted.total(sections.N_PREDICTIONS)),
            n_labelled=before.n_labelled + int(counted.total(sections.N_LABELLED)),
        )
    return counts


def _bad(signal: Signal, counted: Counted, model: ModelEvaluator, key: CellKey, plan: Plan) -> tuple[int, int]:
    """Bad and relevant events; a rate whose fall is the harm is turned round."""
    first_slot = None
    if signal in QUANTILE_SIGNALS or signal is Signal.MAE:
        view = model.derived.view(model.key, plan, key.cell_ms)
        first_slot = None if view is None else first_slot_of(signal, view, ALL_SEGMENT)
        if first_slot is None:
            return 0, 0
    n1, n = rate_pair(signal, counted, monitor=Monitor(signal=signal), first_slot=first_slot)
    return (int(n - n1) if signal in LOWER_IS_WORSE else int(n1)), int(n)


def _observe_deployment(
    model: ModelEvaluator,
    newest: DeploymentEvent,
    deployments: list[DeploymentEvent],
    counts: dict[str, CellCount],
    cell_ms: int,
) -> None:
    state = _state_of(model, newest, deployments, cell_ms)
    if state is None or cell_ms + milliseconds(model.spec().cell) <= state.deployed_ms:
        return
    own = counts.get(newest.model_version)
    if own is None:
        return
    evidence.feed(state, own)
    serving = {d.model_version: d for d in model.serving(cell_ms + milliseconds(model.spec().cell))}
    for version, count in counts.items():
        if version != newest.model_version and version in serving:
            role = serving[version].role
            evidence.feed_arm(state, version, "shadow" if role == "shadow" else "holdback", count)


def _state_of(
    model: ModelEvaluator, newest: DeploymentEvent, deployments: list[DeploymentEvent], cell_ms: int
) -> DeploymentState | None:
    """The evidence of a deployment; begun with its first matured cell."""
    known = model.state.deployments.get(newest.deployment_id)
    if known is not None:
        return known
    before = predecessor(deployments, newest)
    if before is None:
        return None
    begun = evidence.begin(
        newest,
        before,
        spec=model.spec(),
        history=model.state.history.get(before.model_version, []),
        inflation=_reference_inflation(model, cell_ms),
    )
    if begun is not None:
        model.state.deployments[newest.deployment_id] = begun
    return begun


def _reference_inflation(model: ModelEvaluator, cell_ms: int) -> float | None:
    """How much the evidence's signal varies on the reference; None where there is none that says."""
    signal = _signal(model)
    plan = model.control.plan(model.key, cell_ms)
    view = model.derived.view(model.key, plan, cell_ms)
    if signal is None or view is None or not view.has_counts:
        return None
    monitor = Monitor.model_construct(signal=signal, monitor_id=signal.value)
    first_slot = first_slot_of(signal, view, ALL_SEGMENT)
    return view.rate_inflation(signal.value, partial(rate_pair, signal, monitor=monitor, first_slot=first_slot))


def _observe_recovery(model: ModelEvaluator, newest: DeploymentEvent, counts: dict[str, CellCount]) -> None:
    state = model.state
    if state.recovery is None or state.recovery.deployment_id != newest.deployment_id:
        failed = [d for d in state.deployments.values() if d.deployed_ms < milliseconds(newest.deployed_at)]
        if not failed:
            return
        state.recovery = evidence.begin_recovery(newest, max(failed, key=lambda d: d.deployed_ms))
    for version, count in counts.items():
        evidence.feed_recovery(state.recovery, version, count)


def _forget(model: ModelEvaluator, cell_ms: int) -> None:
    """Keep the policy's baseline and a week; of deployments, the last ten."""
    policy = model.spec().rollback
    oldest = cell_ms - milliseconds(policy.baseline) - 2 * evidence.CALM_MS
    for version, records in list(model.state.history.items()):
        last = records[-1].cell_ms if records else cell_ms
        kept = [r for r in records if r.cell_ms >= min(oldest, last - milliseconds(policy.baseline))]
        model.state.history[version] = kept
    for name in [each for each in model.state.marks if int(each.rsplit("@", 1)[1]) <= cell_ms]:
        del model.state.marks[name]
    for name in list(model.state.deployments)[:-10]:
        del model.state.deployments[name]


def _publish(
    model: ModelEvaluator,
    newest: DeploymentEvent,
    deployments: list[DeploymentEvent],
    cell_ms: int,
    *,
    outcomes: bool,
) -> None:
    spec = model.spec()
    length = milliseconds(spec.cell)
    if cell_ms + length <= milliseconds(newest.deployed_at):
        return  # it had not been deployed yet
    version = newest.model_version
    drift = {m.monitor_id for m in model.monitors(cell_ms) if m.signal in INPUT_DRIFT_SIGNALS}
    raised = raised_in(model, version, cell_ms, outcomes=outcomes)
    event = evidence.evidence_event(
        model=model.state,
        spec=spec,
        deployment=newest,
        state=None if is_rollback(newest) else model.state.deployments.get(newest.deployment_id),
        as_of_ms=cell_ms + length,
        cell_length_ms=length,
        past=partial(
            evidence.describe_past, history=model.state.history, deployments=deployments, cell_length_ms=length
        ),
        alert_fingerprints=sorted(raised.values()),
        input_drift=not drift.isdisjoint(raised),
        config_revision="",
    )
    recovery = event.recovery
    if is_rollback(newest) and model.state.recovery is not None:
        if model.state.recovery.finished:
            return
        done = recovery is not None and (recovery.has_recovered or recovery.is_overdue)
        model.state.recovery.finished = done
    model.publish(event)


def raised_in(model: ModelEvaluator, version: str, cell_ms: int, *, outcomes: bool) -> dict[str, str]:
    """Fingerprints of a version's alerts by monitor: on outcomes as they are, on inputs as they were in the cell."""
    alerts = [a for a in model.state.alerts.values() if a.model_version == version and a.needs_labels is outcomes]
    inputs = inputs_of(model, cell_ms).raised if outcomes else ()
    return {
        **{monitor_id: fingerprint for of, monitor_id, fingerprint in inputs if of == version},
        **{a.monitor_id: a.fingerprint for a in alerts},
    }
