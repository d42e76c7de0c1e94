"""Evidence of many series, fed at once; and that of a state that an older version wrote."""

import msgspec
import numpy as np
import pytest

from detectors.sequential import ShiryaevRoberts
from streams.engine.errors import ChangelogFormatError
from streams.evaluator.feeding import evidence_numbers, feed, statistic_of
from streams.evaluator.series import Reading
from streams.evaluator.state import ModelState, SeriesState, decode_state, encode_series, encode_state

PERIOD = 1_000


def reading(bets: np.ndarray, n: int = 10) -> Reading:
    return Reading(n, 0.5, 0.0, bets)


def test_series_with_other_bets_are_fed_beside_each_other() -> None:
    rng = np.random.default_rng(1)
    states = {name: SeriesState() for name in "abc"}
    alone = {name: ShiryaevRoberts() for name in "abc"}
    for _ in range(5):
        bets = {"a": rng.normal(size=8), "b": rng.normal(size=64), "c": rng.normal(size=64)}
        feed(states, {name: reading(each) for name, each in bets.items()}, PERIOD)
        for name, each in bets.items():
            alone[name].update(each)
    for name, one in alone.items():
        assert evidence_numbers(states[name].evidence) == one.to_list()
        assert states[name].statistic == pytest.approx(one.statistic)
        assert states[name].n_since_reset == 50


def test_another_reference_voids_what_was_gathered() -> None:
    state = SeriesState()
    feed({"a": state}, {"a": reading(np.ones(8))}, PERIOD)
    feed({"a": state}, {"a": reading(np.full(16, 0.5))}, PERIOD)
    assert evidence_numbers(state.evidence) == [1.0, *[0.5] * 16]
    assert state.n_since_reset == 10


def test_nothing_to_bet_on_changes_nothing() -> None:
    state = SeriesState()
    feed({"a": state}, {"a": reading(np.ones(8))}, PERIOD)
    before = state.evidence
    feed({"a": state}, {"a": Reading(0, None, None, why="no reference with counts yet")}, PERIOD)
    assert state.evidence == before


def test_evidence_that_was_written_as_a_list_goes_on() -> None:
    one = ShiryaevRoberts()
    one.update(np.linspace(-1, 1, 8))
    old = {**msgspec.to_builtins(ModelState()), "format": 1}
    old["series"] = {"7|m|all|": {"evidence": one.to_list(), "n_since_reset": 3, "statistic": one.statistic}}
    state = decode_state(msgspec.msgpack.encode(old))
    bets = np.full(8, 0.25)
    feed(state.series, {"7|m|all|": reading(bets)}, PERIOD)
    one.update(bets)
    again = decode_state(encode_state(state), encode_series(state)).series["7|m|all|"]
    assert evidence_numbers(again.evidence) == one.to_list()
    assert again.n_since_reset == 13


def test_the_second_state_begins_anew_after_a_period() -> None:
    state, alone = SeriesState(), ShiryaevRoberts()
    for window in range(7):
        feed({"a": state}, {"a": reading(np.full(8, 0.1 * window))}, 3)
        if window in {3, 6}:
            alone.reset()
        alone.update(np.full(8, 0.1 * window))
        assert evidence_numbers(state.listing) == pytest.approx(alone.to_list())
        assert statistic_of(state.listing) == pytest.approx(alone.statistic)
    assert evidence_numbers(state.evidence)[0] == 7
    assert statistic_of(b"") == 0.0


def test_a_state_of_a_newer_version_is_refused() -> None:
    newer = {**msgspec.to_builtins(ModelState()), "format": 99}
    with pytest.raises(ChangelogFormatError, match="format 99: expected at most"):
        decode_state(msgspec.msgpack.encode(newer))
