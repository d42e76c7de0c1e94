"""The page "When Plumbline will not roll back", from the rules themselves: `python -m streams.governor.rules_page`."""

from __future__ import annotations

import sys
import textwrap

from streams.governor.rules import RULES, Rule

_HEAD = """\
# When Plumbline will not roll back

Generated from the rules by `make schemas`; do not edit.

A rollback is ordered when every rule below is content. Each rule looks at the evidence and the history, and the record
of a decision (`ml.rollbacks.v1`, `plumbline rollbacks show`) holds what every one of them saw. The first rule in this
order that refuses gives the reason; a rule that asks takes the decision to a person, whatever the mode.

A refusal is published once for each deployment and reason. Those marked *quiet* are the normal state of things and
are not published. Where a refusal says that the world has changed, an alert `RetrainRequested` goes with it.

| # | Rule | Does | When |
|---|---|---|---|
"""


def render() -> str:
    """Return the page as Markdown."""
    rows = [
        f"| {number} | [`{rule.name}`](#{rule.name}) | {_effect(rule)} | {rule.when} |"
        for number, rule in enumerate(RULES, 1)
    ]
    return _HEAD + "\n".join(rows) + "\n" + "".join(_section(rule) for rule in RULES)


def _effect(rule: Rule) -> str:
    words = ["asks a person" if rule.effect == "ask" else "refuses"]
    words += [] if rule.is_news else ["quiet"]
    words += ["asks for retraining"] if rule.wants_retraining else []
    return ", ".join(words)


def _section(rule: Rule) -> str:
    verb = "Asks a person when" if rule.effect == "ask" else "Refuses when"
    parts = [f"{verb} {rule.when}.", rule.why, f"What to do: {rule.remedy[0].lower()}{rule.remedy[1:]}"]
    return f"\n## {rule.name}\n\n" + textwrap.fill(" ".join(parts), width=118, break_long_words=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
