"""The reckoning: is every event accounted for, and did happen what had to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from demo.journal import Journal
from demo.options import Options
from demo.registry import Registry
from demo.scenarios import GOOD_VERSION
from schemas.models import ModelSpec
from schemas.profiles import Totals
from schemas.rollbacks import RollbackState

# What a run is judged by; what Plumbline decides by is in monitors.yaml alone.
_SHOWN_MONDAY: Final = date(2013, 6, 10)
_SHOWN_LIMITS: Final = (timedelta(days=3), 3_000)
_OTHER_LIMITS: Final = (timedelta(days=5), 5_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One condition of success."""

    name: str
    passed: bool
    observed: str
    required: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the simulator knows that it sent."""

    n_predictions: int
    n_labels: int
    n_served_by_new_version: int
    n_resources: int = 0


def accounting(totals: Mapping[str, int], sent: Sent) -> list[Check]:
    """Hold the two sums against what was sent."""
    pairs = (
        ("predictions", sent.n_predictions, Totals.PREDICTION_OUTCOMES),
        ("labels", sent.n_labels, Totals.LABEL_OUTCOMES),
    )
    checks = []
    for name, n_sent, outcomes in pairs:
        parts = {outcome.removeprefix(f"{name}_"): totals[outcome] for outcome in outcomes}
        total = sum(parts.values())
        checks.append(
            Check(
                name=f"every one of the {name} is accounted for",
                passed=total == n_sent,
                observed=f"{' + '.join(f'{count:,} {what}' for what, count in parts.items())} = {total:,}",
                required=f"{n_sent:,} sent",
            )
        )
    return checks


def dead_letter_check(totals: Mapping[str, int], n_on_topic: int) -> Check:
    """Hold the dead letters that were counted against those on the topic."""
    n_counted = totals["predictions_dead"] + totals["labels_dead"]
    return Check(
        name="every dead letter is on its topic",
        passed=n_counted == n_on_topic,
        observed=f"{n_on_topic:,} on ml.dead-letters.v1",
        required=f"{n_counted:,} counted",
    )


def verdict(options: Options, journal: Journal, registry: Registry, spec: ModelSpec, sent: Sent) -> list[Check]:
    """What had to happen where the broken v2 is rolled back, and in every scenario."""
    against_good = [command for command, _ in journal.ordered() if command.from_version == GOOD_VERSION]
    always = Check(
        name="v1 was never rolled back",
        passed=not against_good,
        observed=f"{len(against_good)} commands",
        required="none",
    )
    if options.scenario != "skew":
        return [always]
    return [always, pages_within_budget(options, journal, spec), *_rolled_back(options, journal, registry, sent)]


def page_budget(options: Options, spec: ModelSpec) -> float:
    """How many pages without cause the budget allows over the run."""
    return spec.false_alarm_budget.pages * ((options.until_at - options.start_at) / spec.false_alarm_budget.per)


def pages_within_budget(options: Options, journal: Journal, spec: ModelSpec) -> Check:
    """Hold the pages on v1, all without cause, against the budget."""
    n_pages = len(journal.pages(GOOD_VERSION))
    budget = page_budget(options, spec)
    return Check(
        name="v1's pages are within the budget",
        passed=n_pages <= budget,
        observed=f"{n_pages} pages",
        required=f"at most {budget:.1f} ({spec.false_alarm_budget.pages:g} per {spec.false_alarm_budget.per.days} d)",
    )


def _rolled_back(options: Options, journal: Journal, registry: Registry, sent: Sent) -> list[Check]:
    longest, most = _SHOWN_LIMITS if options.deploy == _SHOWN_MONDAY else _OTHER_LIMITS
    ordered = journal.ordered()
    delay = ordered[0][1].at - options.deploy_at if ordered else None
    verified = journal.first(RollbackState.VERIFIED)
    final = journal.commands[-1][0].state.value if journal.commands else "no command"
    back = registry.alias.version == GOOD_VERSION
    return [
        Check(
            name="v2 was rolled back",
            passed=back and journal.first_status(RollbackState.SUCCEEDED) is not None,
            observed=f"{registry.alias.version} serves, {len(ordered)} commands",
            required=f"{GOOD_VERSION} serves",
        ),
        Check(
            name="the command came in time",
            passed=delay is not None and delay <= longest,
            observed="never" if delay is None else f"{delay / timedelta(days=1):.2f} d after the deployment",
            required=f"at most {longest.days} d",
        ),
        Check(
            name="few bad predictions were served",
            passed=sent.n_served_by_new_version <= most,
            observed=f"{sent.n_served_by_new_version:,}",
            required=f"at most {most:,}",
        ),
        Check(name="the rollback was verified", passed=verified is not None, observed=final, required="verified"),
    ]
