"""The judge's runs: every contestant on every stream, at its defaults and at equal false alarms."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from detectors.evaluate.baselines import ALWAYS, NEVER, Constant
from detectors.evaluate.drift_streams import DriftCase, drift_cases, drift_names
from detectors.evaluate.e_detector import EDetector
from detectors.evaluate.judging import Contestant, Delays, FalseAlarms, calibrated, delays, false_alarms, fitting
from detectors.evaluate.null_streams import null_streams
from detectors.evaluate.river_detectors import RIVER

BUDGET: Final = 5.0
"""False alarms in 10,000 events: one in 2,000 on average."""
TOLERANCE: Final = 200
"""Events after a change within which an alarm is a hit."""
N_WATCHED: Final = 2_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is run.

    Parameters
    ----------
    n_runs
        Repetitions of a stream that changes.
    n_null_runs, n_null_watched
        Repetitions of a null stream, and events of each.
    streams
        Names of `drift_names`.
    seed
        Of everything.
    """

    n_runs: int
    n_null_runs: int
    n_null_watched: int
    streams: tuple[str, ...]
    seed: int


LONG: Final = Plan(n_runs=80, n_null_runs=40, n_null_watched=10_000, streams=tuple(drift_names()), seed=2_026)
SHORT: Final = Plan(n_runs=4, n_null_runs=3, n_null_watched=2_000, streams=("stagger",), seed=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A contestant on a stream that changes.

    Parameters
    ----------
    name
        Of the contestant.
    setting
        Its parameter at equal false alarms, with the parameter's name; empty for the two constants.
    false_alarms, delays
        At that setting.
    default_false_alarms, default_delays
        At its defaults.
    """

    name: str
    setting: str
    false_alarms: FalseAlarms
    delays: Delays
    default_false_alarms: FalseAlarms
    default_delays: Delays


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All contestants on one stream that changes."""

    stream: str
    kind: str
    """`abrupt`, `gradual` or `values`."""
    scores: tuple[Score, ...]

    @property
    def ours(self) -> Score:
        """The e-detector."""
        return self.scores[0]

    @property
    def best_river(self) -> Score:
        """The one of river's with the smallest median delay at equal false alarms."""
        rivals = {each.name for each in RIVER}
        return min((s for s in self.scores if s.name in rivals), key=lambda s: (s.delays.median, s.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """All contestants at their defaults on one stream in which nothing changes; ours first."""

    stream: str
    false_alarms: tuple[tuple[str, FalseAlarms], ...]


def judge(plan: Plan) -> tuple[list[Silence], list[Verdict]]:
    """Run everything, on all cores.

    Returns
    -------
    tuple
        The null streams, and the streams that change.
    """
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        silences = pool.submit(judge_silence, plan)
        verdicts = [
            found for each in pool.map(judge_stream, plan.streams, [plan] * len(plan.streams)) for found in each
        ]
        return silences.result(), verdicts


def judge_silence(plan: Plan) -> list[Silence]:
    """Count the false alarms at the defaults, on every null stream."""
    found = []
    for sample in null_streams(plan.n_null_runs, plan.n_null_watched, plan.seed):
        counts = [(each.name, false_alarms(each.on(sample)(None))) for each in fitting(contestants(), sample.kind)]
        counts += [(each.name, false_alarms(each.alarms(sample))) for each in (NEVER, ALWAYS)]
        found.append(Silence(stream=sample.name, false_alarms=tuple(counts)))
    return found


def judge_stream(name: str, plan: Plan) -> list[Verdict]:
    """Judge the changes of one generator, or of the recorded data."""
    settings: dict[tuple[str, str], float] = {}
    return [judge_case(case, settings) for case in drift_cases(name, plan.n_runs, N_WATCHED, plan.seed)]


def judge_case(case: DriftCase, settings: dict[tuple[str, str], float]) -> Verdict:
    """Judge one stream that changes; `settings` keeps what was calibrated on its twin."""
    change = (case.changed.change or 0) - case.changed.n_reference
    scores = []
    for each in fitting(contestants(), case.null.kind):
        place = each.name, case.null.name
        if place not in settings:
            settings[place] = calibrated(each, case.null, BUDGET)
        scores.append(_score(each, case, settings[place], change))
    scores += [_constant(each, case, change) for each in (NEVER, ALWAYS)]
    kind = "values" if case.null.kind == "values" else "abrupt" if case.is_abrupt else "gradual"
    return Verdict(stream=case.name, kind=kind, scores=tuple(scores))


def contestants() -> Sequence[Contestant]:
    """Ours, and river's."""
    return [EDetector(budget=BUDGET), *RIVER]


def _score(each: Contestant, case: DriftCase, setting: float, change: int) -> Score:
    on_null, on_changed = each.on(case.null), each.on(case.changed)
    return Score(
        name=each.name,
        setting=f"{each.parameter} {setting:.3g}",
        false_alarms=false_alarms(on_null(setting)),
        delays=delays(on_changed(setting), change, TOLERANCE),
        default_false_alarms=false_alarms(on_null(None)),
        default_delays=delays(on_changed(None), change, TOLERANCE),
    )


def _constant(each: Constant, case: DriftCase, change: int) -> Score:
    null, changed = false_alarms(each.alarms(case.null)), delays(each.alarms(case.changed), change, TOLERANCE)
    return Score(
        name=each.name,
        setting="",
        false_alarms=null,
        delays=changed,
        default_false_alarms=null,
        default_delays=changed,
    )


def finite(value: float) -> float | None:
    """None for what JSON has no number for."""
    return value if math.isfinite(value) else None
