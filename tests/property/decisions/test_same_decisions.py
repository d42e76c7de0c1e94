"""The same log gives the same profiles, verdicts, alerts and commands, whoever reads it in whatever batches."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.decisions.decision_world import Course, Decisions, Log, Traffic, decide, make_log

SEEDS = st.integers(1, 5)


@cache
def sent(seed: int) -> Log:
    return make_log(Traffic(seed=seed))


@cache
def plainly(seed: int) -> Decisions:
    """One worker, everything at once."""
    return decide(sent(seed), Course(batch_size=20_000))


@pytest.mark.parametrize("batch_size", [1, 7, 1_000, 20_000])
@settings(max_examples=2, deadline=None, derandomize=True)
@given(seed=SEEDS, course_seed=st.integers(1, 2**16), n_workers=st.sampled_from([1, 3]), restarts=st.booleans())
def test_nothing_of_how_a_log_is_read_matters(
    batch_size: int, seed: int, course_seed: int, n_workers: int, restarts: bool
) -> None:
    course = Course(n_workers=n_workers, batch_size=batch_size, restarts=restarts, seed=course_seed)
    assert decide(sent(seed), course) == plainly(seed)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_the_log_is_one_that_decides(seed: int) -> None:
    """Or the property would hold of nothing."""
    decisions = plainly(seed)
    assert sum(decisions.profiles.values()) > 0
    assert {window[1] for window in decisions.windows} == {"inputs", "outcomes"}
    assert {alert[0]["labels"]["monitor_id"] for alert in decisions.alerts.values()} >= {"error_rate", "feature_drift"}
    assert [command["state"] for command in decisions.commands] == ["requested", "approved"]


KINDS = ("inputs", "outcomes")
LATE = {
    "predictions beyond the lateness": Traffic(seed=1, jitter_seconds=4_000.0),
    "labels beyond the maturity": Traffic(seed=1, label_delay_seconds=12_000.0),
}


@cache
def late(which: str, batch_size: int) -> Decisions:
    return decide(make_log(LATE[which]), Course(batch_size=batch_size, n_workers=3, seed=1))


@pytest.mark.parametrize("which", LATE)
def test_profiles_do_not_depend_on_it_even_for_events_that_are_late(which: str) -> None:
    assert late(which, 2).profiles == late(which, 20_000).profiles


@pytest.mark.parametrize("which", LATE)
def test_decisions_do_not_depend_on_it_even_for_events_that_are_late(which: str) -> None:
    one, other = late(which, 2), late(which, 20_000)
    assert one.windows == other.windows
    assert one.alerts == other.alerts
    assert one.commands == other.commands
    seen = {kind: sum(w["n_predictions"] for w in one.windows.values() if w["kind"] == kind) for kind in KINDS}
    assert one.restated or seen["inputs"] < seen["outcomes"], "or nothing was late"
