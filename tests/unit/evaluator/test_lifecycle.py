"""The alert lifecycle, read as timelines: one column a window of an hour."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import AlertStatus, Resolution
from schemas.base import milliseconds
from schemas.monitors import Monitor
from streams.evaluator.lifecycle import Condition, Life, Terms, advance, supersede

HOUR = 3_600_000
LETTERS = {"!": Condition.BREACH, "~": Condition.BETWEEN, ".": Condition.CLEAR, "+": Condition.RECOVERED,
           "?": Condition.NO_DATA}  # fmt: skip
STATES = {None: "-", AlertStatus.PENDING: "p", AlertStatus.FIRING: "F", AlertStatus.RESOLVED: "r",
          AlertStatus.NO_DATA: "n"}  # fmt: skip


def play(conditions: str, terms: Terms) -> str:
    life: Life | None = None
    states = []
    for hour, letter in enumerate(conditions, start=1):
        life = advance(life, LETTERS[letter], hour * HOUR, terms)
        states.append(STATES[None if life is None else life.status])
    return "".join(states)


def patience(for_hours: int = 0, keep_hours: int = 0) -> Terms:
    return Terms(for_ms=for_hours * HOUR, keep_firing_ms=keep_hours * HOUR)


@pytest.mark.parametrize(
    ("title", "terms", "conditions", "states"),
    [
        ("fires at once and clears at once", patience(), ".!.", "-Fr"),
        ("waits for `for`", patience(for_hours=2), "!!!!.", "ppFFr"),
        ("a short breach is never told", patience(for_hours=2), "!!.!.", "pp-p-"),
        ("between set and clear nothing changes", patience(), "!~~~.", "FFFFr"),
        ("between the levels a pending one is forgotten", patience(for_hours=3), "!~!", "p-p"),
        ("keeps firing after the last alarm", patience(keep_hours=3), "!....", "FFFrx"[:3] + "r-"),
        ("a new alarm starts the wait anew", patience(keep_hours=2), "!.!..", "FFFFr"),
        ("the mirrored test ends it early", patience(keep_hours=9), "!.+", "FFr"),
        ("no data keeps it raised", patience(), "!??!.", "FnnFr"),
        ("no data, then clear", patience(), "!?.", "Fnr"),
        ("no data keeps a pending one pending", patience(for_hours=2), "!?!", "ppF"),
        ("resolved, then again: another alert", patience(), "!.!", "FrF"),
    ],
)
def test_timeline(title: str, terms: Terms, conditions: str, states: str) -> None:
    assert play(conditions, terms) == states, title


def test_a_second_alert_starts_anew() -> None:
    first = advance(None, Condition.BREACH, HOUR, patience())
    assert first is not None
    over = advance(first, Condition.CLEAR, 2 * HOUR, patience())
    assert over is not None
    assert over.is_over
    assert over.resolution is Resolution.RECOVERED
    second = advance(over, Condition.BREACH, 9 * HOUR, patience())
    assert second is not None
    assert (second.starts_at_ms, second.status) == (9 * HOUR, AlertStatus.FIRING)


def test_superseding_ends_it_with_the_reason() -> None:
    raised = advance(None, Condition.BREACH, HOUR, patience())
    assert raised is not None
    ended = supersede(raised, Resolution.SUPERSEDED)
    assert (ended.status, ended.resolution, ended.starts_at_ms) == (AlertStatus.RESOLVED, Resolution.SUPERSEDED, HOUR)


@given(st.text(alphabet="!~.+?", max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_never_fires_without_a_breach_that_held(conditions: str, for_hours: int, keep_hours: int) -> None:
    states = play(conditions, patience(for_hours, keep_hours))
    for hour, state in enumerate(states):
        if state == "F" and (hour == 0 or states[hour - 1] not in "Fn"):
            window = conditions[max(0, hour - for_hours) : hour + 1]
            assert window.strip("?")[-1:] == "!", (conditions, states)
            assert not set(window) & set("~.+"), (conditions, states)


@given(st.text(alphabet="!~.", max_size=80), st.integers(1, 6))
def test_on_its_threshold_it_changes_at_most_once_in_every_for(conditions: str, for_hours: int) -> None:
    """Whatever a statistic does that sits on its threshold; the monitor's own patience is the default one."""
    monitor = Monitor.model_validate(
        {"signal": "auc", "detector": "threshold", "thresholds": {"set": 0.7}, "for": f"{for_hours}h"}
    )
    states = play(
        conditions, Terms(for_ms=milliseconds(monitor.for_), keep_firing_ms=milliseconds(monitor.keep_firing))
    )
    told = ["F" if state == "F" else "-" for state in states]
    changes = [hour for hour in range(1, len(told)) if told[hour] != told[hour - 1]]
    assert all(later - earlier >= for_hours for earlier, later in itertools.pairwise(changes)), (conditions, states)
