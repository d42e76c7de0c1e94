import math

import numpy as np
import pytest

from detectors.sequential import LOG_CAP, EProcess, ShiryaevRoberts


def test_shiryaev_roberts_is_its_recursion():
    bets = np.log([[1.5, 0.5], [2.0, 1.0], [0.1, 3.0]])
    detector = ShiryaevRoberts()
    assert detector.statistic == 0.0
    m = np.zeros(2)
    for window in bets:
        detector.update(window)
        m = (m + 1) * np.exp(window)
        assert detector.statistic == pytest.approx(m.mean())
    assert detector.n_windows == 3
    detector.reset()
    assert (detector.statistic, detector.n_windows, detector.log_statistic) == (0.0, 0, -math.inf)


def test_windows_without_events_count_as_time():
    detector = ShiryaevRoberts()
    for _ in range(7):
        detector.update(np.zeros(8))
    assert detector.statistic == pytest.approx(7.0)


def test_evidence_is_capped_and_comes_back():
    detector, process = ShiryaevRoberts(), EProcess()
    for accumulator in (detector, process):
        accumulator.update(np.full(8, 1e9))
        accumulator.update(np.full(8, 1e9))
    assert detector.statistic == pytest.approx(1e300)
    assert process.e_value == pytest.approx(1e300)
    detector.update(np.full(8, -1e9))
    detector.update(np.full(8, 0.0))
    assert detector.statistic == pytest.approx(1.0)
    assert process.log_e_value == pytest.approx(LOG_CAP)


@pytest.mark.parametrize("kind", [ShiryaevRoberts, EProcess])
def test_restored_state_continues(kind):
    rng = np.random.default_rng(5)
    whole, first = kind(), kind()
    windows = rng.normal(0, 0.5, (20, 8))
    for window in windows[:9]:
        whole.update(window)
        first.update(window)
    restored = kind.from_list(first.to_list())
    for window in windows[9:]:
        whole.update(window)
        restored.update(window)
    assert restored.to_list() == whole.to_list()
    assert kind.from_list(kind().to_list()).to_list() == kind().to_list()


@pytest.mark.parametrize("kind", [ShiryaevRoberts, EProcess])
@pytest.mark.parametrize("bad", [[], [math.nan], [-math.inf], [[0.0]]])
def test_bad_bets_are_refused(kind, bad):
    with pytest.raises(ValueError, match="log_bets"):
        kind().update(bad)


@pytest.mark.parametrize("kind", [ShiryaevRoberts, EProcess])
def test_the_number_of_components_is_fixed_by_the_first_update(kind):
    accumulator = kind()
    accumulator.update(np.zeros(8))
    with pytest.raises(ValueError, match=r"expected \(8,\)"):
        accumulator.update(np.zeros(9))
    accumulator.reset()
    accumulator.update(np.zeros(9))
    with pytest.raises(ValueError, match="state"):
        kind.from_list([])


def test_the_last_minimum_dates_the_onset():
    process = EProcess()
    for bet in (-1.0, -1.0, 0.5, -0.5, 0.0, 1.0, 1.0, 1.0):
        process.update(np.full(3, bet))
    assert process.minimum == pytest.approx(-2.0)
    assert process.n_since_minimum == 3
    assert process.e_value == pytest.approx(math.e)
    process.reset()
    assert (process.e_value, process.minimum, process.n_since_minimum) == (1.0, 0.0, 0)


def test_an_e_process_rarely_reaches_one_over_alpha():
    rng = np.random.default_rng(11)
    runs, grid = 2000, np.array([0.1, 0.5, 0.9])
    log_m = np.zeros((runs, 3))
    reached = np.zeros(runs, dtype=bool)
    for _ in range(300):
        log_m += np.log1p(grid * rng.choice([-1.0, 1.0], size=(runs, 1)))
        reached |= np.exp(log_m).mean(axis=1) >= 20
    assert reached.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
