"""The rollback policy: every rule looks at the situation; the first that refuses gives the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.evidence import PreviousVersion
from schemas.rollbacks import Guard
from streams.governor.rules import RULES, Rule
from streams.governor.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy says, and what each rule saw."""

    refused_by: Rule | None
    needs_approval: bool
    approval_reasons: tuple[str, ...]
    target: PreviousVersion | None
    guards: tuple[Guard, ...]
    """Of every rule, in their order."""

    @property
    def allowed(self) -> bool:
        """Whether a rollback is ordered."""
        return self.refused_by is None

    @property
    def reason(self) -> str:
        """Name of the rule that refused; empty where none did."""
        return "" if self.refused_by is None else self.refused_by.name


def decide(situation: Situation, rules: Sequence[Rule] = RULES) -> Decision:
    """Let every rule look at the situation.

    Parameters
    ----------
    situation
        The evidence and its history.
    rules
        In order of precedence.

    Returns
    -------
    Decision
        Refused by the first rule with that effect which is not content; else a person is asked where a rule asks for
        one, or the policy's mode does.
    """
    seen = [(rule, rule.check(situation)) for rule in rules]
    against = [rule for rule, found in seen if not found.passed]
    refused_by = next((rule for rule in against if rule.effect == "refuse"), None)
    reasons = () if refused_by else tuple(rule.name for rule in against)
    return Decision(
        refused_by=refused_by,
        needs_approval=refused_by is None and (bool(reasons) or situation.policy.mode == "approval"),
        approval_reasons=reasons,
        target=None if refused_by else situation.target,
        guards=tuple(
            Guard(name=rule.name, passed=found.passed, observed=found.observed, required=found.required)
            for rule, found in seen
        ),
    )
