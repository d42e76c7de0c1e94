"""The verdict: what stands on the topics against what the oracle and the undisturbed run say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.governor.audit import first_broken_link

from .expected import Expected
from .observed import Observed, Window
from .oracle import Oracle
from .workload import HARMED, Kind

_SHOWN: Final = 5
PREDICTION_OUTCOMES: Final = ("joined", "pending", "expired", "dead", "duplicate", "late")
LABEL_OUTCOMES: Final = ("joined", "pending", "orphan", "dead", "duplicate", "late")


@dataclass(slots=True)
class Verdict:
    """Figures, and what is wrong; nothing is wrong where `problems` is empty."""

    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def same(self, what: str, expected: Mapping[Any, Any], seen: Mapping[Any, Any]) -> tuple[int, int]:
        """Hold two counters against each other; returns what is missing and what is too much."""
        keys = {key for key in (*expected, *seen) if expected.get(key, 0) != seen.get(key, 0)}
        lost = sum(max(0, expected.get(key, 0) - seen.get(key, 0)) for key in keys)
        doubled = sum(max(0, seen.get(key, 0) - expected.get(key, 0)) for key in keys)
        if keys:
            shown = [f"{key}: expected {expected.get(key, 0)}, seen {seen.get(key, 0)}" for key in sorted(keys)]
            self.problems.append(f"{what}: {len(keys)} differ; {'; '.join(shown[:_SHOWN])}")
        return lost, doubled


def judge(oracle: Oracle, expected: Expected, observed: Observed) -> Verdict:
    """Hold everything against everything."""
    verdict = Verdict()
    verdict.same("records on the log", oracle.sent, expected.on_log)
    counts = Counter({key: n for key, n in oracle.counts.items() if n})
    seen = Counter({key: n for key, n in observed.counts.items() if n})
    lost, doubled = verdict.same("merged counts", counts, seen)
    verdict.same("alerts", expected.alerts, observed.alerts)
    verdict.same("rollbacks", expected.rollbacks, observed.rollbacks)
    _check_rollbacks(verdict, observed)
    _check_books(verdict, oracle, observed)
    _check_windows(verdict, oracle, observed)
    _check_resent(verdict, observed)
    broken = first_broken_link(observed.audit)
    if broken is not None:
        verdict.problems.append(f"the audit's chain breaks at {broken}")
    verdict.figures |= {
        "n_lost": lost,
        "n_doubled": doubled,
        "n_counts_compared": len(counts),
        "alerts_expected": len(expected.alerts),
        "alerts_seen": observed.alerts.total(),
        "rollback_steps_expected": len(expected.rollbacks),
        "rollback_steps_seen": observed.rollbacks.total(),
        "n_dead_letters": observed.dead_letters.total(),
        "n_resent": observed.n_resent,
        "n_windows": len(observed.windows),
        "n_audit_entries": len(observed.audit),
        "books": dict(sorted(observed.totals().items())),
    }
    return verdict


def _check_rollbacks(verdict: Verdict, observed: Observed) -> None:
    """The oracle knows which versions err: each is rolled back once, and nothing else is."""
    wanted = Counter({(model, "v2", state): 1 for model in HARMED for state in ("requested", "approved")})
    ordered: Counter[tuple[str, str, str]] = Counter()
    for (model, version, state, _), n in observed.rollbacks.items():
        if state != "refused":
            ordered[model, version, state] += n
    verdict.same("rollback commands", wanted, ordered)


def _check_books(verdict: Verdict, oracle: Oracle, observed: Observed) -> None:
    """The two sums of stage 1: each event has exactly one outcome, and the one that the oracle says."""
    totals = observed.totals()
    for name, outcomes in (("predictions", PREDICTION_OUTCOMES), ("labels", LABEL_OUTCOMES)):
        parts = {f"{name}_{outcome}": totals[f"{name}_{outcome}"] for outcome in outcomes}
        total = sum(parts.values())
        if not total == totals[name] == oracle.outcomes[name]:
            verdict.problems.append(
                f"sum of {name}: {parts} = {total}, of {totals[name]}; sent {oracle.outcomes[name]}"
            )
        verdict.same(f"outcomes of {name}", {key: oracle.outcomes[key] for key in parts}, parts)
    verdict.same("labels revised", {"n": oracle.outcomes["labels_revised"]}, {"n": totals["labels_revised"]})
    wanted = oracle.outcomes["predictions_dead"] + oracle.outcomes["labels_dead"]
    if (observed.dead_letters.total(), len(observed.dead_letters)) != (wanted, wanted):
        verdict.problems.append(f"dead letters: {observed.dead_letters.total()}, expected {wanted}, each once")


def _check_windows(verdict: Verdict, oracle: Oracle, observed: Observed) -> None:
    """Stage 2's own counts: predictions of every closed window, and labels of every matured one."""
    n: Counter[tuple[str, str, int]] = Counter()
    labelled: Counter[tuple[str, str, int]] = Counter()
    for (model, version, segment, cell_ms, what, _), count in oracle.counts.items():
        if segment == "__all__" and what in {"n", "labelled"}:
            (n if what == "n" else labelled)[model, version, cell_ms] += count
    wanted: dict[Window, tuple[int, int]] = {}
    for (model, version, cell_ms), count in n.items():
        wanted[model, version, "inputs", cell_ms] = (count, 0)
        wanted[model, version, "outcomes", cell_ms] = (count, labelled[model, version, cell_ms])
    seen = {key: (count, labels) for key, (_, count, labels) in observed.windows.items()}
    wrong = [key for key in sorted(wanted.keys() | seen.keys()) if wanted.get(key) != seen.get(key)]
    if wrong:
        shown = [f"{key}: expected {wanted.get(key)}, seen {seen.get(key)}" for key in wrong[:_SHOWN]]
        verdict.problems.append(f"windows of stage 2: {len(wrong)} differ; {'; '.join(shown)}")
    if observed.inexact:
        verdict.problems.append(f"{observed.inexact} windows are marked inexact")


def _check_resent(verdict: Verdict, observed: Observed) -> None:
    if observed.contradictions:
        shown = "; ".join(observed.contradictions[:_SHOWN])
        verdict.problems.append(f"{len(observed.contradictions)} records contradict earlier ones: {shown}")
    if observed.n_resent and not observed.skips_resent:
        verdict.problems.append(f"{observed.n_resent} records came again under an id that was there already")


def kinds_sent(oracle: Oracle) -> dict[str, int]:
    """What of each kind was sent, for the summary."""
    return {name: oracle.outcomes[name] for name in sorted(oracle.outcomes)} | {"kinds": len(Kind)}
