"""The judge is fair: what it runs many at a time is what each detector does by itself, and its figures are right."""

import json
from pathlib import Path

import numpy as np
import pytest
from river import drift
from river.drift.binary import HDDMA, HDDMW

from detectors.evaluate.__main__ import main
from detectors.evaluate.baselines import ALWAYS, NEVER
from detectors.evaluate.e_detector import EDetector, error_bets, sequential_alarms
from detectors.evaluate.hddm import hddm_a_alarms, hddm_w_alarms
from detectors.evaluate.judge import BUDGET
from detectors.evaluate.judging import calibrated, delays, false_alarms
from detectors.evaluate.kswin import kswin_alarms, kswin_p_values
from detectors.evaluate.river_detectors import RIVER
from detectors.evaluate.sample import Sample
from detectors.sequential import ShiryaevRoberts


def errors(n_runs: int, seed: int, *, n: int = 3_000, change: int | None = None) -> Sample:
    rng = np.random.default_rng(seed)
    rate = np.where(np.arange(n) < (n if change is None else change), 0.1, 0.35)
    values = (rng.random((n_runs, n)) < rate).astype(float)
    return Sample(name="errors", kind="errors", values=values, n_reference=2_000, change=change, cell=20)


@pytest.mark.parametrize("confidence", [0.001, 0.05, 0.3])
@pytest.mark.parametrize(("river", "ours"), [(HDDMA, hddm_a_alarms), (HDDMW, hddm_w_alarms)])
def test_hddm_many_at_a_time_is_river_s(river: type, ours: object, confidence: float) -> None:
    values = errors(6, 1, n=1_500, change=800).values
    expected = np.zeros(values.shape, dtype=bool)
    for row, out in zip(values, expected, strict=True):
        detector = river(drift_confidence=confidence)
        for t, x in enumerate(row):
            detector.update(x)
            out[t] = detector.drift_detected
    assert expected.any()
    assert (ours(values, confidence) == expected).all()  # type: ignore[operator]


def test_kswin_s_first_alarm_is_river_s() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 1, (5, 400)), rng.normal(2, 1, (5, 200))], axis=1)
    found = kswin_alarms(kswin_p_values(values, 0), 1e-4)
    for row, alarms in zip(values, found, strict=True):
        detector = drift.KSWIN(alpha=1e-4, seed=0)
        first = next(t for t, x in enumerate(row) if detector.update(x) or detector.drift_detected)
        assert alarms.argmax() == first


def test_the_e_detector_many_at_a_time_is_the_library_s() -> None:
    sample = errors(3, 3, change=2_500)
    bets, codes = error_bets(sample)
    alarms = sequential_alarms(bets, codes, 50.0)
    assert alarms.any()
    for i in range(sample.n_runs):
        alone = ShiryaevRoberts()
        for t, code in enumerate(codes[i]):
            alone.update(bets[i, code])
            assert alarms[i, t] == (alone.statistic >= 50.0)
            if alone.statistic >= 50.0:
                alone = ShiryaevRoberts()


def test_figures_worked_by_hand() -> None:
    alarms = np.zeros((4, 100), dtype=bool)
    alarms[0, 10] = alarms[0, 60] = True  # a false one, then a hit after 11 events
    alarms[1, 50] = True  # a hit at once
    alarms[2, 99] = True  # found, but beyond the tolerance
    found = delays(alarms, 50, 20)
    assert found.median == pytest.approx((11 + 50) / 2)
    assert found.n_missed == 1
    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert false_alarms(alarms).per_10_000 == pytest.approx(4 / 400 * 10_000)
    assert false_alarms(NEVER.alarms(errors(2, 1))).per_10_000 == 0.0
    assert false_alarms(ALWAYS.alarms(errors(2, 1))).per_10_000 == 10_000.0


@pytest.mark.parametrize("contestant", [EDetector(budget=20.0), *RIVER], ids=lambda each: each.name)
def test_a_calibrated_setting_keeps_the_budget_and_uses_it(contestant: EDetector) -> None:
    null = errors(8, 4)
    setting = calibrated(contestant, null, 20.0)
    measured = false_alarms(contestant.on(null)(setting)).per_10_000
    assert measured <= 20.0
    assert setting == contestant.loose or measured > 5.0


def test_a_long_stream_without_a_change_stays_within_the_budget_at_the_default() -> None:
    measured = false_alarms(EDetector(budget=BUDGET).on(errors(20, 5, n=6_000))(None))
    assert measured.per_10_000 <= BUDGET


def test_a_short_run_writes_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--short", "--output", str(tmp_path / "summary.json")]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {"bernoulli", "normal", "lognormal", "ar_0.5", "ar_0.9", "seasonal"} <= set(summary["null_streams"])
    assert all(each["budget"] == BUDGET and each["se"] >= 0 for each in summary["null_streams"].values())
    stagger = summary["abrupt_streams"]["stagger_abrupt"]
    assert stagger["delay_median"] < 50
    assert stagger["best_river_delay_median"] < 100
    assert {"never fires", "always fires", "adwin", "kswin"} <= set(stagger["detectors"])
    assert "judge-abrupt" in capsys.readouterr().out


def csv(folder: Path, values: list[float], changes: str) -> list[str]:
    (folder / "values.csv").write_text("x\n" + "\n".join(map(str, values)) + "\n")
    (folder / "changes.txt").write_text(changes)
    return ["--data", str(folder / "values.csv"), "--value", "x", "--changepoints", str(folder / "changes.txt")]


def test_recorded_values_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = errors(1, 6, n=2_600, change=2_000).values[0].tolist()
    assert main(csv(tmp_path, values, "2000\n")) == 0
    ours = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| e-detector | default"))
    assert "1 of 1" in ours


@pytest.mark.parametrize(
    ("changes", "more", "says"),
    [
        ("2000\n", ["--value", "y"], "no column 'y', expected one of ['x']"),
        ("9000\n", [], "row 9000 given, expected rows of"),
        ("soon\n", [], "line 1: 'soon' given, expected a finite number"),
        ("\n", [], "no row given"),
        ("2000\n", ["--reference", "2500"], "--reference: 2500 given, expected 500 to the first change, 2000"),
        ("2000\n", ["--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_cannot_be_judged_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: str, more: list[str], says: str
) -> None:
    values = errors(1, 6, n=2_600, change=2_000).values[0].tolist()
    assert main([*csv(tmp_path, values, changes), *more]) == 2
    assert says in capsys.readouterr().err
