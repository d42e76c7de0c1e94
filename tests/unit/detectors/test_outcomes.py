import math

import numpy as np
import pytest

from detectors.outcomes import OUTCOME_DETECTORS, OutcomeDetector, make_outcome_detector

CHANGE_FINDERS = [name for name in OUTCOME_DETECTORS if name not in ("dummy", "eddm", "kswin")]


def errors(before, after, n=1000, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(n) < before, rng.random(n) < after]).astype(float)


@pytest.mark.parametrize("name", CHANGE_FINDERS)
def test_a_rise_is_an_alarm_and_an_improvement_is_none(name):
    found = make_outcome_detector(name).update(errors(0.2, 0.7))
    assert any(i >= 1000 for i in found)
    improved = make_outcome_detector(name).update(errors(0.7, 0.2))
    assert not any(1000 <= i < 1300 for i in improved)


@pytest.mark.parametrize("name", CHANGE_FINDERS)
def test_an_improvement_is_an_alarm_if_it_is_asked_for(name):
    found = make_outcome_detector(name, direction="decrease").update(errors(0.7, 0.2))
    assert any(i >= 1000 for i in found)


@pytest.mark.parametrize("name", ["adwin", "hddm_a", "hddm_w", "page_hinkley"])
@pytest.mark.parametrize("levels", [(0.2, 0.7), (0.7, 0.2)])
def test_both_directions(name, levels):
    found = make_outcome_detector(name, direction="both").update(errors(*levels))
    assert any(i >= 1000 for i in found)


def test_kswin_tells_a_rise_from_a_fall():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 1, 300), rng.normal(4, 1, 60)])
    rising, falling = (make_outcome_detector("kswin", direction=d, alpha=1e-6) for d in ("increase", "decrease"))
    assert any(i >= 300 for i in rising.update(values))
    assert falling.update(values) == []
    assert any(i >= 300 for i in falling.update(-values))


def test_eddm_sees_errors_that_come_closer_together():
    calm, dense = np.tile([0.0] * 19 + [1.0], 60), np.tile([0.0, 1.0], 100)
    found = make_outcome_detector("eddm").update(np.concatenate([calm, dense]))
    assert found
    assert min(found) >= len(calm)


@pytest.mark.parametrize("name", OUTCOME_DETECTORS)
def test_nan_is_skipped_and_counted_and_blinds_nobody(name):
    values = errors(0.2, 0.7)
    spoiled = np.insert(values, [0, 500, 1500], [math.nan, math.inf, math.nan])
    clean, guarded = make_outcome_detector(name), make_outcome_detector(name)
    positions = np.flatnonzero(np.isfinite(spoiled))
    assert guarded.update(spoiled) == positions[clean.update(values)].tolist()
    assert (guarded.n_skipped, guarded.n_values) == (3, 2000)


@pytest.mark.parametrize("name", OUTCOME_DETECTORS)
def test_restored_state_continues_and_chunks_do_not_matter(name):
    values = errors(0.2, 0.7)
    whole = make_outcome_detector(name).update(values)
    first = make_outcome_detector(name)
    found = first.update(values[:50]) + [50 + i for i in first.update(values[50:700])]
    restored = OutcomeDetector.from_bytes(first.to_bytes())
    found += [700 + i for i in restored.update(values[700:])]
    assert found == whole
    assert restored.n_values == 2000


def test_page_hinkley_does_not_depend_on_the_unit():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(10, 1, 1000), rng.normal(13, 1, 1000)])
    found = [make_outcome_detector("page_hinkley").update(values * unit) for unit in (1.0, 1e-6, 1e6)]
    assert found[0] == found[1] == found[2]
    assert any(i >= 1000 for i in found[0])


def test_a_constant_signal_never_alarms():
    for name in OUTCOME_DETECTORS:
        if name != "dummy":
            assert make_outcome_detector(name).update(np.zeros(500)) == []
        assert make_outcome_detector(name).update([]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("ddm", 0.5), ("eddm", 2.0), ("adwin", 1.5), ("hddm_a", -0.1), ("hddm_w", 30.0)],
)
def test_values_outside_the_domain_are_refused_whole(name, value):
    detector = make_outcome_detector(name)
    with pytest.raises(ValueError, match=rf"^values: .*{name} expects"):
        detector.update([0.0, 1.0, value])
    assert detector.n_values == 0


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("cusum", {}, "name"),
        ("adwin", {"direction": "up"}, "direction"),
        ("ddm", {"direction": "both"}, "direction"),
        ("adwin", {"sensitivity": 3}, "parameters"),
        ("kswin", {"alpha": 2.0}, "parameters"),
        ("page_hinkley", {"mode": "up"}, "mode"),
        ("hddm_a", {"two_sided_test": True}, "two_sided_test"),
    ],
)
def test_bad_settings_name_the_field(name, settings, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        make_outcome_detector(name, **settings)
