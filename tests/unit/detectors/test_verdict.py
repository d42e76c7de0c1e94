import dataclasses

import pytest

import detectors
from detectors.verdict import Status, Verdict


def test_a_verdict_is_a_frozen_value():
    verdict = Verdict(status=Status.DRIFT, statistic=12.0, threshold=10.0, n=500)
    assert verdict.direction == ""
    assert verdict == Verdict(status=Status("drift"), statistic=12.0, threshold=10.0, n=500)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.n = 1


def test_states_are_their_names_on_the_wire():
    assert [str(status) for status in Status] == ["warming_up", "no_data", "stable", "drift"]


def test_every_public_name_is_there():
    assert len(set(detectors.__all__)) == len(detectors.__all__)
    assert all(hasattr(detectors, name) for name in detectors.__all__)
