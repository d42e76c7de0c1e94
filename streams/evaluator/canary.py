"""A canary or a shadow beside the version that it may replace: a confidence sequence for how much worse it is.

Events of both are paired within each cell, so both come from the same time and are equally mature; nothing is pooled
over cells, so a rising base rate or a growing share of traffic favours neither. Another share begins a new sequence.

No inflation: what makes a rate vary from cell to cell (the weather, the hour) is the same for both sides of a pair. It
needs a split that is drawn anew for each event; see docs/canary.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from detectors.arms import PairCounts, confidence_sequence, log_ratio_mismatch, paired
from schemas.base import from_milliseconds, milliseconds
from schemas.deployments import DeploymentEvent
from schemas.metrics import CanaryStatus
from schemas.models import ModelSpec
from streams.evaluator.evidence import CellCount
from streams.evaluator.state import CanaryState

BENEFIT_ALPHA: Final = 0.05
"""Error probability of "no more harm than tolerated", which only recommends."""
MISMATCH_ALPHA: Final = 0.001
LEAST_MISMATCH: Final = 0.01
"""A share that is off by less is not worth a word, however sure."""
MOST_COVERAGE_DIFFERENCE: Final = 0.05
"""Arms whose labels differ more in coverage are not compared: who is labelled may hang on what was answered."""


def arms_of(serving: Sequence[DeploymentEvent]) -> tuple[DeploymentEvent, DeploymentEvent] | None:
    """The candidate and what it is held against, of the deployments that serve, newest first; None without two.

    The candidate is the newest deployment, in whatever role; it is held against the newest champion of another version.
    """
    if not serving:
        return None
    candidate = serving[0]
    others = [d for d in serving[1:] if d.role == "champion" and d.model_version != candidate.model_version]
    return (candidate, others[0]) if others else None


def observe(
    held: CanaryState | None,
    candidate: DeploymentEvent,
    baseline: DeploymentEvent,
    counts: Mapping[str, CellCount],
    *,
    cell_ms: int,
) -> CanaryState | None:
    """Take a closed cell of both arms.

    Parameters
    ----------
    held
        The sequence so far; one of another pair, or of another share of traffic, is begun anew.
    candidate, baseline
        Who serves.
    counts
        Of each version in this cell.
    cell_ms
        Start of the cell; one that began before both served counts for neither.

    Returns
    -------
    CanaryState or None
        None before the first whole cell of both.
    """
    begun = milliseconds(max(candidate.deployed_at, baseline.deployed_at))
    name = f"{candidate.deployment_id}|{baseline.model_version}|{candidate.role}|{candidate.traffic_ratio:g}"
    own, other = counts.get(candidate.model_version), counts.get(baseline.model_version)
    if cell_ms < begun or own is None or other is None:
        return held if held is not None and held.name == name else None
    if held is None or held.name != name:
        held = CanaryState(
            name=name,
            candidate=candidate.model_version,
            baseline=baseline.model_version,
            deployment_id=candidate.deployment_id,
            since_ms=cell_ms,
            traffic_ratio=None if candidate.role == "shadow" else candidate.traffic_ratio,
        )
    rng = np.random.default_rng([cell_ms, own.n, other.n])  # a replay pairs alike
    found = paired(own.n_bad, own.n, other.n_bad, other.n, rng)
    pairs = PairCounts(*held.pairs) + found
    held.pairs = (pairs.n_worse, pairs.n_equal, pairs.n_better)
    held.n_predictions += own.n_predictions
    held.n_labelled += own.n_labelled
    held.other_predictions += other.n_predictions
    held.other_labelled += other.n_labelled
    return held


def status_of(state: CanaryState, spec: ModelSpec, *, needs_labels: bool) -> CanaryStatus:
    """Say what a sequence has come to."""
    pairs = PairCounts(*state.pairs)
    policy = spec.rollback
    lower = confidence_sequence(pairs, policy.alpha).lower
    upper = confidence_sequence(pairs, BENEFIT_ALPHA).upper
    blocked = [*_mismatch(state), *(_coverage(state, policy.min_samples) if needs_labels else ())]
    if blocked:
        verdict = "blocked"
    elif pairs.n < policy.min_samples:
        verdict = "inconclusive"
    elif lower > policy.harm_tolerance:
        verdict = "harm"
    else:
        verdict = "no_harm" if upper < policy.harm_tolerance else "inconclusive"
    total = state.n_predictions + state.other_predictions
    return CanaryStatus.model_validate(
        {
            "candidate": state.candidate,
            "baseline": state.baseline,
            "deployment_id": state.deployment_id,
            "signal": policy.evidence,
            "since": from_milliseconds(state.since_ms),
            "verdict": verdict,
            "blocked_by": blocked,
            "n_pairs": pairs.n,
            "difference": pairs.difference,
            "harm_lower": lower,
            "harm_upper": upper,
            "tolerance": policy.harm_tolerance,
            "traffic_ratio": state.n_predictions / total if total else None,
        }
    )


def _mismatch(state: CanaryState) -> list[str]:
    """Whether the traffic is split otherwise than announced."""
    ratio, n, other = state.traffic_ratio, state.n_predictions, state.other_predictions
    if ratio is None or not 0.0 < ratio < 1.0 or not n + other:
        return []
    observed = n / (n + other)
    if abs(observed - ratio) < LEAST_MISMATCH or log_ratio_mismatch(n, other, ratio) < math.log(1 / MISMATCH_ALPHA):
        return []
    return [f"sample_ratio_mismatch: {observed:.1%} of the traffic, announced {ratio:.1%}"]


def _coverage(state: CanaryState, min_samples: int) -> list[str]:
    """Whether labels come as often for both."""
    if min(state.n_predictions, state.other_predictions) < min_samples:
        return []
    own, other = state.n_labelled / state.n_predictions, state.other_labelled / state.other_predictions
    if abs(own - other) <= MOST_COVERAGE_DIFFERENCE:
        return []
    return [f"label_coverage: {own:.1%} of its predictions have a label, {other:.1%} of the others"]
