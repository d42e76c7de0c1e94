"""Control events that would stop every worker for good, if they were believed."""

from typing import Any

import pytest
from test_view import BINS, KEY, reference, spec

from detectors.binning import CategoricalBins
from schemas import topics
from schemas.monitors import Monitor, Rule
from schemas.signals import Signal
from streams.control.contradictions import ControlError
from streams.control.view import ControlView
from streams.engine.processor import ListRecord


def view_of(value: bytes, topic: str) -> ControlView:
    view = ControlView()
    view.apply(topics.MODELS.name, spec().to_bytes())
    view.apply(topics.REFERENCES.name, reference(1, None).to_bytes())
    view.apply_record(topic, ListRecord(topic=topic, offset=9, value=value))
    return view


CATEGORICAL = CategoricalBins(name="k", categories=("a",)).to_dict()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bins": [{"kind": "other"}]}, "expected 'numeric' or 'categorical'"),
        ({"bins": [BINS, BINS]}, "stands twice"),
        ({"bins": [{**BINS, "edges": [2.0, 1.0]}]}, "expected finite increasing numbers"),
        ({"bins": [{**BINS, "name": 3}]}, "a field is called 3"),
        ({"bins": [{**BINS, "name": 'a"b'}]}, "without quotes"),
        ({"bins": [{"kind": "numeric"}]}, "'name'"),
        ({"bins": [{**CATEGORICAL, "categories": [1]}]}, "expected texts"),
        ({"blocks": "AAAA"}, "contradicts itself"),
        ({"residual_scale": -1.0}, "expected both above zero"),
        ({"sections": [{"name": "n", "width": 10**9}]}, "expected at most"),
        ({"environment": "a/b"}, "environment = 'a/b'"),
    ],
)
def test_a_reference_that_no_plan_can_be_made_with(changes: dict[str, Any], said: str) -> None:
    view = view_of(reference(2, None, **changes).to_bytes(), topics.REFERENCES.name)
    (why,) = view.rejected
    assert "ml.references.v1, offset 9" in why
    assert said in why, why
    assert [each.reference_id for each in view.references(KEY)] == ["r1"]
    assert view.plan(KEY, 0).feature_names == ("x",)


@pytest.mark.parametrize(
    "value",
    [
        b'{"model_name":"m","segments":["carrier","carrier"]}',
        spec(groups=["a\\b"]).to_bytes(),
        spec(task="multiclass", classes=[f"c{i}" for i in range(1_200)]).to_bytes(),
        b'{"model_name":"m","cell":"1e308d"}',
        b'{"model_name":"m","cell":"99999999999999d"}',
        b'{"model_name":"m","time_zone":"America"}',
        b'{"model_name":"m","time_zone":"' + b"x" * 5_000 + b'"}',
        b'{"model_name":"m","effective_from":"0001-01-01T00:00:00+23:59"}',
        b"\xff",
    ],
)
def test_a_model_that_cannot_be_counted(value: bytes) -> None:
    view = view_of(value, topics.MODELS.name)
    assert view.n_rejected == 1
    assert view.spec(KEY) == spec()


@pytest.mark.parametrize("parameters", [{"late": 0.5}, {"delta": "x"}, {"delta": [1]}, {"mode": "up"}, {"clock": 0}])
def test_a_monitor_whose_detector_cannot_be_made_or_cannot_read(parameters: dict[str, Any]) -> None:
    monitor = Monitor(signal=Signal.ERROR_RATE, model_name="m", detector="adwin", parameters=parameters)
    view = view_of(monitor.to_bytes(), topics.MONITORS.name)
    assert view.n_rejected == 1
    assert "adwin" not in {each.detector for each in view.monitors(KEY)}


def test_what_is_said_of_all_models_must_hold_for_one_that_nobody_announced() -> None:
    view = ControlView()
    guard = Monitor(
        signal=Signal.RULE_VIOLATION_RATIO, model_name="*", monitor_id="g", rule=Rule(field='a"', minimum=0)
    )
    with pytest.raises(ControlError, match="a field is called"):
        view.apply(topics.MONITORS.name, guard.to_bytes())
    assert view.model_keys() == []
    assert view.plan("production/any", 0).rules == ()
    assert view.monitors("production/any")  # the default ones: nothing is left of what was refused
