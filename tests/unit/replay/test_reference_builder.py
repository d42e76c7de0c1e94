"""A reference from a recording: what it holds, and that a worker counts under its bins."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas import topics
from schemas.events import LabelEvent, PredictionEvent
from schemas.models import ModelSpec
from schemas.references import Reference
from streams.control.plan import Plan, reference_blocks, reference_layout
from streams.control.view import ControlView
from streams.replay.references import build_reference

HOUR = 3600
START = 1_700_000_000 // HOUR * HOUR


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec(model_name="m", cell=timedelta(hours=1), segments=("carrier",), groups=("sex",), **fields)


def recording(n: int, *, regression: bool = False) -> tuple[list[PredictionEvent], list[LabelEvent]]:
    draw = random.Random(1)
    served, truths = [], []
    for i in range(n):
        x = draw.gauss(0, 1)
        answer: dict[str, Any] = (
            {"prediction_value": x} if regression else {"prediction_label": "late" if x > 1 else "on"}
        )
        truth: dict[str, Any] = (
            {"actual_value": x + 0.5} if regression else {"actual_label": "late" if x > 0.8 else "on"}
        )
        served.append(
            PredictionEvent(
                prediction_id=f"id-{i}",
                model_name="m",
                model_version="1",
                prediction_timestamp=START + 48 * HOUR * i / n,
                features={"x": x, "day": "abc"[i % 3], "carrier": "AA" if i % 4 else "BB"},
                tags={"sex": "fm"[i % 2]},
                **answer,
            )
        )
        truths.append(
            LabelEvent(prediction_id=f"id-{i}", model_name="m", label_timestamp=START + 48 * HOUR * i / n + 60, **truth)
        )
    return served, truths


def whole(reference: Reference, section: str, segment: str = "__all__") -> list[int]:
    layout = reference_layout(reference)
    blocks = [block.dense(layout.width) for block in reference_blocks(reference) if block.segment == segment]
    return np.sum(blocks, axis=0)[layout.slice(section)].tolist()


def test_a_binary_model() -> None:
    served, truths = recording(4800)
    reference = build_reference(spec(positive_class="late"), served, truths, reference_id="r", dataset_version="d1")
    assert (reference.dataset_version, reference.n_cells) == ("d1", 48)
    assert {item["name"]: item["kind"] for item in reference.bins} == {
        "x": "numeric", "day": "categorical", "carrier": "categorical",
    }  # fmt: skip
    assert reference.segment_values == {"carrier": ["AA", "BB"]}
    assert reference.group_values == {"sex": ["f", "m"]}
    assert set(reference.classes) == {"late", "on"}
    assert whole(reference, "n") == [4800]
    assert whole(reference, "labelled") == [4800]
    assert whole(reference, "n", "carrier=BB") == [1200]
    missed = sum(0.8 < event.features["x"] <= 1 for event in served)
    assert whole(reference, "confusion")[2] == missed
    assert sum(whole(reference, "feature:x")) == 4800
    assert max(whole(reference, "feature:x")) < 400
    assert reference.series["error_rate"].variance_inflation_ratio >= 1
    again = Reference.model_validate_json(reference.to_bytes())
    assert again == reference


def test_bytes_in_any_order_give_the_same_counts() -> None:
    served, truths = recording(600)
    shuffled = [msgspec.json.encode(event) for event in served]
    random.Random(2).shuffle(shuffled)
    one = build_reference(spec(positive_class="late"), served, truths, reference_id="r")
    other = build_reference(spec(positive_class="late"), shuffled, reversed(truths), reference_id="r")
    assert one == other


def test_a_regression() -> None:
    served, truths = recording(500, regression=True)
    reference = build_reference(spec(task="regression"), served, truths, reference_id="r")
    assert reference.residual_scale == pytest.approx(0.5)
    assert reference.prediction_bins is not None
    assert sum(whole(reference, "prediction")) == 500
    assert whole(reference, "sum:abs_error") == [500_000_000]


def test_a_worker_counts_under_the_same_layout() -> None:
    served, truths = recording(300)
    model = spec(positive_class="late")
    reference = build_reference(model, served, truths, reference_id="r")
    view = ControlView()
    view.apply(topics.MODELS.name, model.to_bytes())
    view.apply(topics.REFERENCES.name, reference.to_bytes())
    plan: Plan = view.plan("production/m", START * 1000)
    assert reference_layout(reference) == plan.layout


def test_what_is_no_recording_is_refused() -> None:
    served, truths = recording(3)
    with pytest.raises(ValueError, match="no predictions of 'm'"):
        build_reference(spec(), [], truths, reference_id="r")
    foreign = msgspec.structs.replace(served[0], model_name="other")
    with pytest.raises(ValueError, match="production/other: expected production/m"):
        build_reference(spec(), [foreign], [], reference_id="r")
