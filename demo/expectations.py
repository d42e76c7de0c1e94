"""What had to happen in a scenario that is about not rolling back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from demo.account import Check, Sent, pages_within_budget
from demo.journal import Journal
from demo.options import Options
from demo.registry import Registry
from demo.scenarios import GOOD_VERSION, NEW_VERSION, Name
from schemas.models import ModelSpec
from schemas.rollbacks import RollbackState

EXPIRED_ALERT: Final = "RollbackExpired"
PROMOTE_ALERT: Final = "PromoteRecommended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that has ended."""

    options: Options
    journal: Journal
    registry: Registry
    spec: ModelSpec
    sent: Sent


def expected(run: Run) -> list[Check]:
    """Hold the run against its scenario; empty for `skew`, whose rollback is judged by `demo.account`."""
    return [check(run) for check in _EXPECTED.get(run.options.scenario, ())]


def _nothing_ordered(run: Run) -> Check:
    ordered = run.journal.ordered()
    return Check(
        name="nothing was rolled back", passed=not ordered, observed=f"{len(ordered)} commands", required="none"
    )


def _budget(run: Run) -> Check:
    return pages_within_budget(run.options, run.journal, run.spec)


def _nothing_refused(run: Run) -> Check:
    rules = _rules(run)
    return Check(
        name="no rollback was even considered",
        passed=not rules,
        observed=", ".join(rules) or "no refusal",
        required="no refusal",
    )


def _paged(run: Run) -> Check:
    pages = [story for story in run.journal.pages(NEW_VERSION) if story.name not in {EXPIRED_ALERT}]
    return Check(
        name="somebody was paged about v2",
        passed=bool(pages),
        observed=", ".join(f"{story.name} {story.first.starts_at:%d %b %H:%M}" for story in pages) or "no page",
        required="at least one page",
    )


def _v1_paged(run: Run) -> Check:
    pages = [story for story in run.journal.pages(GOOD_VERSION) if story.first.starts_at < run.options.deploy_at]
    return Check(
        name="somebody was paged about v1 before",
        passed=bool(pages),
        observed=f"{len(pages)} pages",
        required="at least one before the deployment of v2",
    )


def _v2_serves(run: Run) -> Check:
    version = run.registry.alias.version
    return Check(
        name="v2 still serves", passed=version == NEW_VERSION, observed=f"{version} serves", required=NEW_VERSION
    )


def _refused_by(rule: str) -> Callable[[Run], Check]:
    def check(run: Run) -> Check:
        return Check(
            name=f"the rollback was refused: {rule}",
            passed=rule in _rules(run),
            observed=", ".join(_rules(run)) or "no refusal",
            required=rule,
        )

    return check


def _all_expired(run: Run) -> Check:
    latest = {each.idempotency_key: each.state for each, _ in run.journal.commands if not each.reason.refusal}
    states = [state.value for state in latest.values()]
    return Check(
        name="every command expired",
        passed=bool(states) and set(states) == {RollbackState.EXPIRED.value},
        observed=", ".join(states) or "no command",
        required="expired, at least one",
    )


def _nothing_half_done(run: Run) -> Check:
    statuses = [status.state.value for status, _ in run.journal.statuses]
    generation = run.registry.alias.generation
    return Check(
        name="nothing was half done",
        passed=not statuses and run.registry.alias.version == NEW_VERSION,
        observed=f"{len(statuses)} answers of an executor, {run.registry.alias.version}, generation {generation}",
        required=f"no answer, {NEW_VERSION} as it was deployed",
    )


def _escalated(run: Run) -> Check:
    pages = [story for story in run.journal.pages(NEW_VERSION) if story.name == EXPIRED_ALERT]
    return Check(
        name="somebody was told that the rollback was not executed",
        passed=bool(pages),
        observed=pages[0].cause if pages else "no page",
        required=f"a page {EXPIRED_ALERT}",
    )


def _recommended(run: Run) -> Check:
    stories = [story for story in run.journal.fired() if story.name == PROMOTE_ALERT]
    return Check(
        name="v2 was recommended",
        passed=any(story.version == NEW_VERSION for story in stories),
        observed=", ".join(f"{story.version} {story.first.starts_at:%d %b %H:%M}" for story in stories) or _canary(run),
        required=f"{PROMOTE_ALERT} on v2",
    )


def _canary(run: Run) -> str:
    """How the comparison stood at last."""
    found = [window.canary for window in run.journal.windows if window.canary is not None]
    if not found:
        return "no alert, and no comparison"
    last = found[-1]
    bounds = f"{last.harm_lower:.3f} to {last.harm_upper:.3f} worse, tolerated {last.tolerance:g}"
    return f"no alert: {last.verdict} after {last.n_pairs} pairs, {bounds} {'; '.join(last.blocked_by)}"


def _is_better(run: Run) -> Check:
    """The truth, as the labels have it; what Plumbline counted of it is in its windows."""
    rates = {version: _miss_rate(run, version) for version in (GOOD_VERSION, NEW_VERSION)}
    return Check(
        name="v2 missed fewer late flights than v1 on the same days, by realised labels",
        passed=rates[NEW_VERSION] < rates[GOOD_VERSION],
        observed=f"{rates[NEW_VERSION]:.3f}, v1 {rates[GOOD_VERSION]:.3f}",
        required="less than v1",
    )


def _miss_rate(run: Run, version: str) -> float:
    """Of the windows since the deployment, weighted by their labels."""
    windows = [
        (window.values.get("miss_rate"), window.n_labels)
        for window in run.journal.windows
        if window.kind == "outcomes"
        and window.model_version == version
        and window.window_start >= run.options.deploy_at
    ]
    known = [(value, n) for value, n in windows if value is not None]
    total = sum(n for _, n in known)
    return sum(value * n for value, n in known) / total if total else float("nan")


def _rules(run: Run) -> list[str]:
    return [command.reason.refusal for command, _ in run.journal.refusals()]


_EXPECTED: Final[Mapping[Name, tuple[Callable[[Run], Check], ...]]] = {
    "placebo": (_budget, _nothing_ordered, _nothing_refused),
    "upstream": (_paged, _nothing_ordered, _refused_by("not_deployment_aligned"), _v2_serves),
    "upstream-holdback": (_paged, _nothing_ordered, _refused_by("upstream_cause"), _v2_serves),
    "better": (_budget, _is_better, _recommended, _nothing_ordered, _nothing_refused, _v2_serves),
    "executor-down": (_budget, _paged, _all_expired, _nothing_half_done, _escalated),
    "unhealthy-target": (_v1_paged, _paged, _nothing_ordered, _refused_by("no_healthy_target"), _v2_serves),
}
