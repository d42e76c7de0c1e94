"""Wrong monitors.yaml files, as people write them: each mistake has its line, its path, its value and what fits."""

from __future__ import annotations

import pytest

from streams.commands.console import UsageError
from streams.commands.monitors_file import parse_monitors_file

MODEL = "models:\n  - name: m\n"


def monitor(*each: str) -> str:
    return MODEL + "    monitors:\n" + "".join(f"      - {{{text}}}\n" for text in each)


def fields(*each: str) -> str:
    return MODEL + "".join(f"    {text}\n" for text in each)


AT = "4: models[0].monitors[0]"
RULE = "signal: rule_violation_ratio"
VOLUME = "signal: volume, detector: threshold"
NAMES = "expected a letter or digit, then letters, digits, '.', '_' or '-', at most 128 in all"

CASES = {
    # Typos.
    "key": (fields("maturty: 12h"), "3: models[0].maturty is no known key: expected one of environment, name, ", "?"),
    "inner key": (fields("rollback: {mod: auto}"), "3: models[0].rollback.mod is no known key", "did you mean mode?"),
    "number as key": (fields("5: x"), "3: models[0][5] is no known key: expected one of environment, "),
    "signal": (monitor("signal: mis_rate"), f"{AT}.signal = 'mis_rate': expected 'feature_drift'", "mean miss_rate?"),
    "severity": (monitor("signal: recall, severity: loud"), f"{AT}.severity = 'loud': expected 'page' or 'ticket'"),
    "detector": (monitor("signal: recall, detector: edetector"), f"{AT}.detector = 'edetector'", "mean e_detector?"),
    "kind": (fields("features: {a: number}"), "3: models[0].features.a = 'number': expected 'numeric' or 'categ"),
    "zone": (
        fields("time_zone: America/NewYork"),
        "3: models[0].time_zone = 'America/NewYork'",
        "such as America/New_",
    ),
    "evidence": (fields("rollback: {evidence: mis_rate}"), "3: models[0].rollback.evidence = 'mis_rate': expected one"),
    "evidence of inputs": (
        fields("rollback: {evidence: missing_ratio}"),
        "3: models[0].rollback.evidence = 'missing_ratio': expected one",
    ),
    "river": (
        monitor("signal: error_rate, detector: adwin, parameters: {dleta: 3}"),
        f"{AT}.parameters: {{'dleta': 3}} given for adwin, expected river's own",
    ),
    # Types.
    "no list": (fields("segments: carrier"), "3: models[0].segments = 'carrier': expected a list"),
    "no number": (fields("max_segment_values: many"), "3: models[0].max_segment_values = 'many': expected a valid int"),
    "no text": (fields("classes: [0, one]"), "3: models[0].classes[0] = 0: expected text; put it in quotes"),
    "no model": ("models:\n  - m\n", "2: models[0] = 'm': expected keys and values"),
    "empty list": ("models:\n", "1: models is empty: expected a list"),
    "empty item": ("models:\n  -\n", "2: models[0] is empty: expected keys and values"),
    "one monitor": (fields("monitors: {signal: recall}"), "3: models[0].monitors: expected a list"),
    "no zone": (fields("effective_from: 2026-01-01"), "3: models[0].effective_from = 2026-01-01: expected a time with"),
    "missing": (monitor("severity: page"), f"{AT}.signal is missing: expected a value"),
    "name": ("models: [{name: a/b}]", f"1: models[0].name = 'a/b': {NAMES}"),
    "id": (monitor("signal: recall, monitor_id: a b"), f"{AT}.monitor_id = 'a b': {NAMES}"),
    # Durations.
    "unit": (fields("cell: 6 hours"), "3: models[0].cell = '6 hours': '6 hours' is no duration: expected a number and"),
    "no unit": (fields("maturity: 12"), "3: models[0].maturity = 12: 12 is no duration: expected a number and a unit"),
    "negative": (fields("maturity: -1h"), "3: models[0].maturity = '-1h': '-1h' is negative: expected a duration of"),
    "negative for": (monitor(f"{VOLUME}, thresholds: {{set: 1}}, for: -5m"), f"{AT}.for = '-5m': '-5m' is negative"),
    "cell": (fields("cell: 5h"), "3: models[0].cell = '5h': does not divide a week: expected a length such as 15m"),
    "zero": (fields("cell: 0h"), "3: models[0].cell = '0h': does not divide a week"),
    "revision": (
        fields("maturity: 3d", "revision_horizon: 1d"),
        "4: models[0].revision_horizon = '1d': shorter than the maturity: expected at least maturity = 3d",
    ),
    "maturity": (fields("maturity: 30d"), "3: models[0].maturity = '30d': 30d is longer", "most label_horizon = 14d"),
    "default": (fields("label_horizon: 6h"), "2: models[0].maturity: 1d is longer", "at most label_horizon = 6h"),
    "lateness": (fields("lateness: 400d"), "3: models[0].lateness = '400d': 400d is longer", "label_horizon = 14d"),
    "budget": (
        fields("cell: 1d", "false_alarm_budget: {per: 1h}"),
        "4: models[0].false_alarm_budget.per = '1h': shorter than a cell: expected at least cell = 1d",
    ),
    # Numbers out of range.
    "below": (
        monitor("signal: recall, tolerance: -0.1"),
        f"{AT}.tolerance = -0.1: expected greater than or equal to 0",
    ),
    "above": (monitor("signal: recall, tolerance: 1.5"), f"{AT}.tolerance = 1.5: leaves no room", "a share below 1"),
    "nan": (monitor("signal: recall, tolerance: .nan"), f"{AT}.tolerance = nan: expected greater than or equal to 0"),
    "infinite": (monitor(f"{VOLUME}, thresholds: {{set: .inf}}"), f"{AT}.thresholds.set = inf: expected a finite"),
    "harm": (fields("rollback: {harm_tolerance: 1.5}"), "3: models[0].rollback.harm_tolerance = 1.5: expected less"),
    "pages": (fields("false_alarm_budget: {pages: 0}"), "3: models[0].false_alarm_budget.pages = 0: expected greater"),
    "range": (monitor(f"{RULE}, rule: {{field: a, minimum: 3, maximum: 1}}"), f"{AT}.rule.maximum = 1: below the min"),
    # What is named twice.
    "models": (
        "models:\n  - name: m\n  - name: a\n  - name: m\n",
        "4: models[2].name = 'm': is named twice in production: expected one entry for each environment and name",
    ),
    "monitors": (
        monitor("signal: recall", "signal: recall, severity: page"),
        "5: models[0].monitors[1].signal = 'recall': monitor_id 'recall' is used twice: expected one monitor",
    ),
    "ids": (
        monitor("signal: recall, monitor_id: a", "signal: brier, monitor_id: a"),
        "5: models[0].monitors[1].monitor_id = 'a': 'a' is used twice: expected one monitor for each id",
    ),
    "segments": (fields("segments: [a, a]"), "3: models[0].segments = ['a', 'a']: a value is named twice"),
    # What does not go together.
    "threshold": (monitor(VOLUME), f"{AT}.thresholds: missing: expected {{set: …}} with detector: threshold"),
    "thresholds": (monitor("signal: recall, thresholds: {set: 1}"), f"{AT}.thresholds: expected only with detector: t"),
    "for": (monitor("signal: recall, for: 5m"), f"{AT}.for = '5m': expected only with detector: threshold"),
    "no mean": (monitor("signal: volume"), f"{AT}.signal = 'volume': is no mean of bounded events", "threshold"),
    "sequence": (monitor("signal: recall, detector: adwin"), f"{AT}.detector = 'adwin': reads the outcome sequence"),
    "parameters": (monitor("signal: recall, parameters: {a: 1}"), f"{AT}.parameters: expected only with a detector of"),
    "no rule": (monitor(RULE), f"{AT}.rule: missing: expected one with signal: rule_violation_ratio"),
    "a rule": (monitor("signal: recall, rule: {field: a, minimum: 1}"), f"{AT}.rule: expected only with signal: rule_"),
    "forms": (monitor(f"{RULE}, rule: {{field: a}}"), f"{AT}.rule: rule on 'a' has 0 forms: expected exactly one of"),
    "features": (
        monitor("signal: recall, features: [a]"),
        f"{AT}.features = ['a']: expected only with signal: feature",
    ),
    "by": (monitor("signal: recall, by: [carrier]"), f"{AT}.by = ['carrier']: expected some of segments = []"),
    "group": (
        monitor("signal: recall, group: sex"),
        f"{AT}.group = 'sex': expected only with signal: equalised_odds_difference",
    ),
    "groups": (
        monitor("signal: selection_rate_difference, detector: threshold, thresholds: {set: 1}"),
        f"{AT}.signal = 'selection_rate_difference': compares groups: expected groups of the model to be named",
    ),
    "task": (monitor("signal: mae"), f"{AT}.signal = 'mae': a binary model has none: expected a signal of its task"),
    "regression": (
        fields("task: regression", "rollback: {evidence: miss_rate}"),
        "4: models[0].rollback.evidence = 'miss_rate': expected one of ",
        "mae",
    ),
    "positive": (
        fields("classes: [a, b]", "positive_class: c"),
        "4: models[0].positive_class = 'c': expected one of classes = ['a', 'b']",
    ),
    # No YAML.
    "tab": ("models:\n\t- name: m\n", "2: a tab indents: expected spaces"),
    "bracket": (
        fields("monitors: [{signal: recall}") + "  - name: b\n",
        "4: while parsing a flow sequence (from line 3), expected ',' or ']', but got '-': expected YAML",
    ),
    "colon": (fields("time_zone: a: b"), "3: mapping values are not allowed here: expected YAML"),
    "documents": ("models: [{name: m}]\n---\na: b\n", "2: expected a single document in the stream (from line 1)"),
    "character": ('models:\n  - name: "\a"\n', "2: character #x0007 is not allowed: expected YAML"),
    "alias": ("models: [*x]\n", "1: found undefined alias 'x': expected YAML"),
    "list as key": (fields("? [a, b]", ": c"), "3: while constructing a mapping (from line 2), found unhashable key"),
    "key twice": (fields("name: b"), "3: models[0].name is given twice: expected each key once"),
    "empty file": ("", "1: models is missing: expected a value"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_file_is_refused_with_line_path_value_and_what_fits(case: str) -> None:
    text, begin, *more = CASES[case]
    with pytest.raises(UsageError) as caught:
        parse_monitors_file(text, name="m.yaml")
    (said,) = str(caught.value).splitlines()
    assert said.startswith(f"m.yaml:{begin}")
    assert all(each in said for each in more)


@pytest.mark.parametrize(
    "text",
    [
        fields("maturity: 3d"),  # the default of the revision horizon gives way
        fields("task: regression", "monitors: [{signal: mae}]"),
        monitor("signal: feature_drift, tolerance: 1.5, features: [a]"),
        monitor("signal: error_rate, detector: adwin, parameters: {delta: 0.01}"),
        monitor(f"{VOLUME}, thresholds: {{set: 10, clear: 20}}, for: 1h"),
        fields("groups: [sex]") + "    monitors:\n      - {signal: true_positive_rate_difference, group: sex,"
        " detector: threshold, thresholds: {set: 0.1}}\n",
    ],
)  # fmt: skip
def test_what_goes_together_is_taken_and_survives_the_wire(text: str) -> None:
    (entry,) = parse_monitors_file(text, name="m.yaml").models
    spec = entry.spec()
    assert type(spec).model_validate_json(spec.to_bytes()) == spec
    for each in entry.owned_monitors():
        assert type(each).model_validate_json(each.to_bytes()) == each
