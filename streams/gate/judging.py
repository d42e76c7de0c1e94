"""A gate's result: every check, and the worst of their outcomes."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.gate import GateCheck, GateResult, GateTerms, Outcome
from streams.control import layout as sections
from streams.gate.checks import CHECKS
from streams.gate.traffic import Traffic


def judge(traffic: Traffic, terms: GateTerms) -> GateResult:
    """Hold a candidate against its terms: failed where a check failed, passed only where every check passed."""
    checks = [found for check in CHECKS for found in check(traffic, terms)]
    spec = traffic.plan.spec
    return GateResult(
        environment=spec.environment,
        model_name=spec.model_name,
        champion=traffic.champion.version,
        candidate=traffic.candidate.version,
        outcome=worst(checks),
        n_champion=int(traffic.champion.whole.total(sections.N_PREDICTIONS)),
        n_candidate=int(traffic.candidate.whole.total(sections.N_PREDICTIONS)),
        checks=checks,
    )


def worst(checks: list[GateCheck]) -> Outcome:
    """Failed before too little data, before passed."""
    found = {check.outcome for check in checks}
    if "failed" in found:
        return "failed"
    return "too_little_data" if "too_little_data" in found or not checks else "passed"


def markdown(result: GateResult) -> Iterator[str]:
    """A result for a pull request: what did not pass first."""
    yield f"# Gate: {result.model_name} {result.candidate} against {result.champion}"
    yield ""
    yield (
        f"**{result.outcome.replace('_', ' ')}** on {result.n_candidate} predictions, champion {result.n_champion}; "
        f"{sum(c.outcome == 'passed' for c in result.checks)} of {len(result.checks)} checks passed."
    )
    yield ""
    yield "| Check | Of | Outcome | Observed | Required | Looks like |"
    yield "|---|---|---|---|---|---|"
    order = {"failed": 0, "too_little_data": 1, "passed": 2}
    for check in sorted(result.checks, key=lambda each: order[each.outcome]):
        cells = (check.name, check.subject, check.outcome.replace("_", " "), check.observed, check.required, check.hint)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
