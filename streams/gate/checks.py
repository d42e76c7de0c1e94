"""The checks of a gate: each holds the candidate against a limit, and passes only what is surely within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from detectors.fairness import newcombe_difference
from detectors.latency import LATENCY_BINS
from schemas.gate import GateCheck, GateTerms, Outcome
from schemas.identifiers import ALL_SEGMENT
from schemas.models import TaskKind
from schemas.monitors import Monitor
from schemas.signals import OUTCOME_SIGNALS, Signal
from streams.control import layout as sections
from streams.control.layout import FIXED_POINT
from streams.control.plan import RESIDUAL_BINS
from streams.evaluator.fairness import rate_difference
from streams.evaluator.signals import LOWER_IS_WORSE, QUANTILE_SIGNALS, Counted, applies_to, rate_pair
from streams.gate.shapes import hint, psi_of
from streams.gate.traffic import Traffic

_QUALITY: Final = (
    Signal.MISSING_RATIO, Signal.UNSEEN_RATIO, Signal.OUT_OF_RANGE_RATIO, Signal.TYPE_VIOLATION_RATIO,
)  # fmt: skip
_RESIDUAL_QUANTILE: Final = 0.90
Check = Callable[[Traffic, GateTerms], Iterator[GateCheck]]


def enough_data(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether there is enough of both to say anything."""
    for name, arm in (("champion", traffic.champion), ("candidate", traffic.candidate)):
        n = int(arm.whole.total(sections.N_PREDICTIONS))
        outcome: Outcome = "passed" if n >= terms.min_predictions else "too_little_data"
        yield GateCheck(
            name="enough_predictions", subject=name, outcome=outcome,
            observed=f"{n} predictions", required=f"at least {terms.min_predictions}",
        )  # fmt: skip


def schema(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether the candidate gets the features that the champion gets."""
    del terms
    names = [
        {name for event in arm.predictions for name in event.features} for arm in (traffic.champion, traffic.candidate)
    ]
    lost, new = sorted(names[0] - names[1]), sorted(names[1] - names[0])
    observed = "; ".join(
        part for part in (f"lost {', '.join(lost)}" if lost else "", f"new {', '.join(new)}" if new else "") if part
    )
    yield GateCheck(
        name="schema", outcome="failed" if lost else "passed", observed=observed or f"{len(names[1])} features",
        required="every feature of the champion",
    )  # fmt: skip


def serving_errors(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether requests fail more often."""
    if terms.max_serving_error_increase is not None:
        arms = [_pair(Signal.SERVING_ERROR_RATIO, arm.whole) for arm in (traffic.champion, traffic.candidate)]
        yield _difference("serving_errors", "", arms, terms.max_serving_error_increase, terms, n_looks=1)


def quality(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether a feature's values are missing, unseen, out of range or of another type more often."""
    limit = terms.max_quality_increase
    if limit is None:
        return
    looked = [
        (signal, feature)
        for feature in traffic.plan.feature_names
        for signal in _QUALITY
        if applies_to(signal, traffic.plan, feature)
    ]
    for signal, feature in looked:
        arms = [_pair(signal, arm.whole, feature=feature) for arm in (traffic.champion, traffic.candidate)]
        if arms[1][1]:
            name = f"quality_{signal.value}"
            yield _difference(name, feature, arms, limit, terms, n_looks=len(looked), sure_only=True)


def inputs(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether the candidate's inputs look like the reference's: units, columns and feeds are caught here."""
    limit = terms.max_input_shift
    if limit is None:
        return
    found = {
        item.name: psi_of(
            traffic.reference.section(sections.feature_section(item.name)),
            traffic.candidate.whole.section(sections.feature_section(item.name)),
        )
        for item in traffic.plan.bins
    }
    shifted = [name for name, value in found.items() if value > limit]
    for name, value in found.items():
        yield GateCheck(
            name="inputs", subject=name, outcome="failed" if name in shifted else "passed",
            observed=f"stability index {value:.3g}", required=f"at most {limit:g}",
            hint=hint(traffic, name, shifted, limit) if name in shifted else "",
        )  # fmt: skip


def scores(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether the candidate answers alike on the whole."""
    limit = terms.max_score_shift
    if limit is None:
        return
    section = sections.PREDICTION if traffic.plan.spec.task is TaskKind.REGRESSION else sections.SCORE
    tables = [arm.whole.section(section) for arm in (traffic.champion, traffic.candidate)]
    if section == sections.SCORE:
        tables = [_tenths(table) for table in tables]
    value = psi_of(*tables)
    yield GateCheck(
        name="scores", outcome="failed" if value > limit else "passed", observed=f"stability index {value:.3g}",
        required=f"at most {limit:g}",
    )  # fmt: skip


def _tenths(table: Any) -> Any:
    """Scores in tenths: hundredths are too many for a few hundred events."""
    edges = np.minimum(np.arange(sections.N_SCORE_BINS) // 10, 9)
    return np.bincount(edges, weights=table[: sections.N_SCORE_BINS]).astype(np.int64)


def harm(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether the rollback policy's own signal is worse, on the whole and in any segment."""
    signal = Signal(traffic.plan.spec.rollback.evidence)
    first_slot = _first_slot(signal, traffic)
    least = terms.min_labels if signal in OUTCOME_SIGNALS else terms.min_predictions
    if terms.max_harm is not None:
        arms = [_bad(signal, arm.whole, first_slot) for arm in (traffic.champion, traffic.candidate)]
        yield _difference(f"harm_{signal.value}", "", arms, terms.max_harm, terms, n_looks=1, least=least)
    if terms.max_segment_harm is None:
        return
    names = sorted((traffic.champion.segments.keys() & traffic.candidate.segments.keys()) - {ALL_SEGMENT})
    pairs = {
        name: [_bad(signal, arm.segments[name], first_slot) for arm in (traffic.champion, traffic.candidate)]
        for name in names
    }
    large = {name: arms for name, arms in pairs.items() if min(n for _, n in arms) >= terms.min_segment_events}
    for name, arms in large.items():
        yield _difference(
            f"harm_{signal.value}", name, arms, terms.max_segment_harm, terms, n_looks=len(large), sure_only=True
        )


def fairness(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether groups are treated alike by the candidate."""
    limit = terms.max_fairness_difference
    if limit is None or traffic.plan.spec.task is not TaskKind.BINARY:
        return
    for group in traffic.plan.group_values:
        for signal in (Signal.SELECTION_RATE_DIFFERENCE, Signal.TRUE_POSITIVE_RATE_DIFFERENCE):
            value, n = rate_difference(traffic.candidate.whole, group, signal)
            before, _ = rate_difference(traffic.champion.whole, group, signal)
            is_known = value is not None and n >= terms.min_segment_events
            outcome: Outcome = "too_little_data" if not is_known else "passed" if (value or 0.0) <= limit else "failed"
            shown = "too few to say" if value is None else f"{value:.3f} ({n} events in the smallest group)"
            yield GateCheck(
                name=f"fairness_{signal.value}", subject=group, outcome=outcome,
                observed=shown + ("" if before is None else f", champion {before:.3f}"), required=f"at most {limit:g}",
            )  # fmt: skip


def speed_and_cost(traffic: Traffic, terms: GateTerms) -> Iterator[GateCheck]:
    """Whether the candidate is slower or dearer."""
    arms = (traffic.champion.whole, traffic.candidate.whole)
    if terms.max_latency_ratio is not None:
        slow = [LATENCY_BINS.quantile(arm.section(sections.LATENCY), 0.95) for arm in arms]
        yield from _ratio("latency_p95", slow, "s", terms.max_latency_ratio)
    if terms.max_cost_ratio is not None:
        sums = [float(arm.total(sections.SUM_COST)) / FIXED_POINT for arm in arms]
        of = [float(arm.total(sections.N_PREDICTIONS)) for arm in arms]
        means = [total / n if n and total else None for total, n in zip(sums, of, strict=True)]
        yield from _ratio("cost_mean", means, "USD", terms.max_cost_ratio)


CHECKS: Final[tuple[Check, ...]] = (
    enough_data, schema, quality, inputs, scores, serving_errors, harm, fairness, speed_and_cost,
)  # fmt: skip


def _ratio(name: str, values: Sequence[float | None], unit: str, limit: float) -> Iterator[GateCheck]:
    before, now = values
    if before is None and now is None:
        return  # nobody records it
    if not before or now is None:
        shown = ["nothing" if value is None else f"{value:.3g} {unit}" for value in values]
        yield GateCheck(
            name=name, outcome="too_little_data", observed=f"{shown[1]}, champion {shown[0]}", required="both recorded"
        )
        return
    yield GateCheck(
        name=name, outcome="passed" if now <= limit * before else "failed",
        observed=f"{now:.3g} {unit}, champion {before:.3g} {unit}", required=f"at most {limit:g} times the champion's",
    )  # fmt: skip


def _difference(
    name: str, subject: str, arms: Sequence[tuple[int, int]], limit: float, terms: GateTerms, *,
    n_looks: int, least: int = 1, sure_only: bool = False,
) -> GateCheck:  # fmt: skip
    """Hold a rise of a share against a limit by an interval: passed where it is surely within, failed where it is not.

    With `sure_only` what is in doubt passes: of many segments and features some always are.
    """
    (bad, n), (own_bad, own_n) = arms
    required = f"at most {limit:g} more"
    if min(n, own_n) < max(least, 1):
        few = f"{own_n} events, champion {n}"
        return GateCheck(
            name=name, subject=subject, outcome="too_little_data", observed=few, required=f"{least} of each"
        )
    level = (1.0 - terms.confidence) / n_looks
    lower, upper = newcombe_difference(own_bad, own_n, bad, n, level)
    outcome: Outcome = "failed" if lower > limit else "passed" if upper <= limit or sure_only else "too_little_data"
    observed = f"{own_bad / own_n:.4f}, champion {bad / n:.4f}: {lower:+.4f} to {upper:+.4f}"
    return GateCheck(name=name, subject=subject, outcome=outcome, observed=observed, required=required)


def _pair(signal: Signal, counted: Counted, **which: Any) -> tuple[int, int]:
    n1, n = rate_pair(signal, counted, monitor=Monitor(signal=signal), **which)
    return int(n1), int(n)


def _bad(signal: Signal, counted: Counted, first_slot: int | None) -> tuple[int, int]:
    n1, n = _pair(signal, counted, first_slot=first_slot)
    return (n - n1, n) if signal in LOWER_IS_WORSE else (n1, n)


def _first_slot(signal: Signal, traffic: Traffic) -> int | None:
    """The first slot above the champion's own quantile, for signals that count what lies above it."""
    whole = traffic.champion.whole
    if signal is Signal.MAE:
        folded = RESIDUAL_BINS.fold(whole.section(sections.RESIDUAL))
        return int(RESIDUAL_BINS.magnitudes.exceedance_slots(folded, _RESIDUAL_QUANTILE)) if folded.sum() else None
    if signal not in QUANTILE_SIGNALS:
        return None
    section, bins, q = QUANTILE_SIGNALS[signal]
    table = whole.section(section)
    return int(bins.exceedance_slots(table, q)) if table[: bins.missing_slot].sum() else None
