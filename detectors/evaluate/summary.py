"""What the judge found, as JSON and as Markdown."""

import math
from collections.abc import Sequence
from typing import Any

from detectors.evaluate.judge import BUDGET, Plan, Score, Silence, Verdict, finite
from detectors.evaluate.judging import PER, Delays, FalseAlarms


def as_json(plan: Plan, silences: Sequence[Silence], verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    """Return the summary: false alarms and budgets in 10,000 events, delays in events, None for never."""
    return {
        "seed": plan.seed,
        "n_runs": plan.n_runs,
        "seconds": round(seconds, 1),
        "null_streams": {each.stream: _silence(each) for each in silences},
        "abrupt_streams": {each.stream: _verdict(each) for each in verdicts if each.kind == "abrupt"},
        "gradual_streams": {each.stream: _verdict(each) for each in verdicts if each.kind == "gradual"},
        "value_streams": {each.stream: _verdict(each) for each in verdicts if each.kind == "values"},
    }


def shortfalls(silences: Sequence[Silence], verdicts: Sequence[Verdict]) -> list[str]:
    """Say where the e-detector misses its target: the budget on null streams, the smallest delay on abrupt ones."""
    found = []
    for each in silences:
        ours = each.false_alarms[0][1]
        if ours.per_10_000 > BUDGET:
            found.append(f"{each.stream}: {ours.per_10_000:.2f} false alarms in {PER:,} events, budget {BUDGET:g}")
    for verdict in verdicts:
        ours_delay, best = verdict.ours.delays.median, verdict.best_river
        if verdict.kind == "abrupt" and ours_delay >= best.delays.median:
            found.append(f"{verdict.stream}: median delay {ours_delay:g}, {best.name} {best.delays.median:g}")
    return found


def _silence(each: Silence) -> dict[str, Any]:
    (_, ours), *rivals = each.false_alarms
    return {
        "false_alarms": ours.per_10_000,
        "budget": BUDGET,
        "se": finite(ours.se),
        "others_at_their_defaults": {name: count.per_10_000 for name, count in rivals},
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "delay_median": finite(verdict.ours.delays.median),
        "best_river_delay_median": finite(verdict.best_river.delays.median),
        "best_river": verdict.best_river.name,
        "budget": BUDGET,
        "detectors": {each.name: _score(each) for each in verdict.scores},
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "setting": score.setting,
        **_figures(score.false_alarms, score.delays),
        "at_defaults": _figures(score.default_false_alarms, score.default_delays),
    }


def _figures(alarms: FalseAlarms, found: Delays) -> dict[str, Any]:
    return {
        "false_alarms": alarms.per_10_000,
        "se": finite(alarms.se),
        "delay_median": finite(found.median),
        "n_missed": found.n_missed,
        "n_runs": found.n_runs,
        "f1": found.f1,
    }


def null_table(silences: Sequence[Silence]) -> str:
    """False alarms in 10,000 events at the defaults, a row for each null stream."""
    names = list(dict.fromkeys(name for each in silences for name, _ in each.false_alarms))
    lines = [f"| stream | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for each in silences:
        counts = dict(each.false_alarms)
        cells = [f"{counts[name].per_10_000:.2f}" if name in counts else "" for name in names]
        own = each.false_alarms[0]
        cells[names.index(own[0])] += f" ± {own[1].se:.2f}"
        lines.append(f"| {each.stream} | {' | '.join(cells)} |")
    return "\n".join(lines)


def delay_table(verdicts: Sequence[Verdict], *, at_defaults: bool) -> str:
    """Median delays in events, a row for each stream; in brackets F1, and at the defaults the false alarms."""
    names = list(dict.fromkeys(score.name for each in verdicts for score in each.scores))
    lines = [f"| stream | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for verdict in verdicts:
        scores = {score.name: score for score in verdict.scores}
        cells = [_cell(scores[name], at_defaults=at_defaults) if name in scores else "" for name in names]
        lines.append(f"| {verdict.stream} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(score: Score, *, at_defaults: bool) -> str:
    found = score.default_delays if at_defaults else score.delays
    delay = "never" if math.isinf(found.median) else f"{found.median:g}"
    more = f"{score.default_false_alarms.per_10_000:.1f}" if at_defaults else f"F1 {found.f1:.2f}"
    missed = f", {found.n_missed} missed" if found.n_missed else ""
    return f"{delay} ({more}{missed})"
