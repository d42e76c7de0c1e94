"""What is in force: specs, monitors, references and plans, over event time."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from detectors.binning import NumericBins
from schemas import topics
from schemas.base import milliseconds
from schemas.models import ModelSpec
from schemas.monitors import Monitor, MonitorsFile, Rule
from schemas.references import BuiltFrom, Reference
from schemas.signals import Signal
from streams.control.plan import make_plan
from streams.control.view import ControlView
from streams.engine.processor import ListRecord

KEY = "production/m"
START = datetime(2026, 1, 5, tzinfo=UTC)
BINS = NumericBins(name="x", edges=(0.0, 1.0), atoms=()).to_dict()


def at(days: int) -> int:
    return milliseconds(START + timedelta(days=days))


def reference(revision: int, day: int | None, **changes: object) -> Reference:
    fields = {
        "reference_id": f"r{revision}", "revision": revision, "model_name": "m", "cell": "6h", "bins": [BINS],
        "built_from": BuiltFrom(kind="recording"),
        "effective_from": None if day is None else START + timedelta(days=day), **changes,
    }  # fmt: skip
    return Reference.model_validate(fields)


def spec(**changes: object) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "cell": "6h", **changes})


def test_a_model_that_nobody_published_is_inferred_with_default_monitors() -> None:
    view = ControlView()
    assert view.spec(KEY).inferred
    assert Signal.FEATURE_DRIFT in {monitor.signal for monitor in view.monitors(KEY)}
    assert view.plan(KEY, 0).bins == ()


def test_a_change_takes_effect_at_its_cell() -> None:
    view = ControlView()
    view.apply(topics.MODELS.name, spec(maturity="12h").to_bytes())
    view.apply(topics.MODELS.name, spec(maturity="2d", effective_from=START + timedelta(days=3)).to_bytes())
    assert view.spec(KEY, at(2)).maturity == timedelta(hours=12)
    assert view.spec(KEY, at(3)).maturity == timedelta(days=2)


def test_bins_count_before_the_reference_judges() -> None:
    view = ControlView()
    view.apply(topics.MODELS.name, spec().to_bytes())
    view.apply(topics.REFERENCES.name, reference(1, 10).to_bytes())
    assert view.reference(KEY, at(9)) is None
    assert view.plan(KEY, at(9)).feature_names == ("x",)
    assert view.reference(KEY, at(10)) is not None


def test_a_plan_that_was_in_force_is_found_by_its_id_for_ever() -> None:
    view = ControlView()
    view.apply(topics.MODELS.name, spec().to_bytes())
    first = view.plan(KEY, at(0)).plan_id
    view.apply(topics.REFERENCES.name, reference(1, None).to_bytes())
    second = view.plan(KEY, at(0)).plan_id
    assert first != second
    replayed = ControlView()
    replayed.apply(topics.MODELS.name, spec().to_bytes())
    replayed.apply(topics.REFERENCES.name, reference(1, None).to_bytes())
    assert {replayed.plan_by_id(first) is not None, replayed.plan_by_id(second) is not None} >= {True}
    assert replayed.plan_by_id(second) is not None


def test_the_plan_id_says_how_events_are_counted_and_nothing_else() -> None:
    rule = Monitor(signal=Signal.RULE_VIOLATION_RATIO, rule=Rule(field="x", minimum=0))
    plain = make_plan(spec(), reference(1, None), [])
    assert make_plan(spec(maturity="5d"), reference(2, 4), []).plan_id == plain.plan_id
    assert make_plan(spec(), reference(1, None), [rule]).plan_id != plain.plan_id
    assert make_plan(spec(segments=["x"]), reference(1, None), []).plan_id != plain.plan_id
    assert make_plan(spec(), reference(1, None, segment_values={"x": ["a"]}), []).plan_id != plain.plan_id


def test_a_monitor_for_all_models_gives_way_to_the_models_own() -> None:
    view = ControlView()
    for name, tolerance in (("*", 0.1), ("m", 0.2)):
        monitor = Monitor(signal=Signal.ERROR_RATE, model_name=name, tolerance=tolerance)
        view.apply(topics.MONITORS.name, monitor.to_bytes())
    assert [m.tolerance for m in view.monitors(KEY)] == [0.2]
    assert [m.tolerance for m in view.monitors("production/other")] == [0.1]


def test_of_what_is_said_of_all_models_each_takes_what_it_has() -> None:
    view = ControlView()
    view.apply(topics.MODELS.name, ModelSpec.model_validate({"name": "*", "cell": "1d"}).to_bytes())
    view.apply(topics.MODELS.name, ModelSpec.model_validate({"name": "m", "task": "regression"}).to_bytes())
    for signal in (Signal.ERROR_RATE, Signal.MAE, Signal.LATENCY_P95):
        view.apply(topics.MONITORS.name, Monitor(signal=signal, model_name="*").to_bytes())
    assert [m.monitor_id for m in view.monitors(KEY)] == ["latency_p95", "mae"]
    assert [m.monitor_id for m in view.monitors("production/other")] == ["error_rate", "latency_p95"]
    assert (view.spec("production/other").cell, view.spec("production/other").model_name) == (
        timedelta(days=1),
        "other",
    )
    assert view.spec(KEY).cell == timedelta(hours=1)
    assert view.monitors("staging/other")[0].model_name == "other"


def test_a_retired_monitor_is_gone() -> None:
    view = ControlView()
    monitor = Monitor(signal=Signal.ERROR_RATE, model_name="m")
    other = Monitor(signal=Signal.MISS_RATE, model_name="m")
    for item in (monitor, other, monitor.model_copy(update={"retired": True})):
        view.apply(topics.MONITORS.name, item.to_bytes())
    assert [m.monitor_id for m in view.monitors(KEY)] == ["miss_rate"]


def test_what_cannot_be_read_is_said_and_changes_nothing() -> None:
    view = ControlView()
    view.apply_record(topics.MODELS.name, ListRecord(topic=topics.MODELS.name, offset=7, value=b'{"cell": "7h"}'))
    assert "offset 7" in view.rejected[0]
    assert view.revision == 0


def test_layout_sections_do_not_overlap_and_cover_the_width() -> None:
    layout = make_plan(spec(groups=["sex"], segments=["s"]), reference(1, None), []).layout
    taken = [slot for name, _ in layout for slot in range(*layout.slice(name).indices(layout.width))]
    assert taken == list(range(layout.width))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"name": "m", "cell": "5h"}, "cell"),
        ({"name": "m", "cell": "-6h"}, "cell"),
        ({"name": "m", "time_zone": "Mars/Base"}, "time_zone"),
        ({"name": "m", "maturity": "20d"}, "label_horizon"),
        ({"name": "m", "colour": "red"}, "colour"),
        ({"name": "m", "monitors": [{"signal": "hapiness"}]}, "signal"),
        ({"name": "m", "monitors": [{"signal": "error_rate", "detector": "threshold"}]}, "thresholds"),
        ({"name": "m", "monitors": [{"signal": "auc"}]}, "detector"),
        ({"name": "m", "monitors": [{"signal": "rule_violation_ratio"}]}, "rule"),
        ({"name": "m", "monitors": [{"signal": "error_rate", "by": ["region"]}]}, "by"),
        ({"name": "m", "monitors": [{"signal": "error_rate"}, {"signal": "error_rate"}]}, "monitor_id"),
        ({"name": "m", "monitors": [{"signal": "miss_rate", "detector": "adwin"}]}, "detector"),
        ({"name": "m", "rollback": {"alpha": 2}}, "alpha"),
        ({"name": "m", "rollback": {"evidence": "feature_drift"}}, "rollback.evidence"),
        ({"name": "m", "rollback": {"evidence": "mood"}}, "rollback.evidence"),
    ],
)
def test_a_bad_monitors_file_is_refused_with_the_field(entry: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        MonitorsFile.model_validate({"models": [entry]})


def test_the_shortest_file_is_valid() -> None:
    entry = MonitorsFile.model_validate({"models": [{"name": "flight-delay"}]}).models[0]
    assert entry.rollback.mode == "dry_run"
    assert {monitor.severity.value for monitor in entry.owned_monitors()} == {"ticket"}
