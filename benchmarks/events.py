"""The events that every row of the benchmarks reads, and the model that they belong to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import msgspec

from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor, default_monitors
from schemas.references import Reference
from streams.control.view import ControlView
from streams.replay.references import build_reference

N_NUMERIC: Final = 16
N_CATEGORICAL: Final = 4
START: Final = 1_700_006_400
"""Event time of the first event, in seconds since the epoch; a cell begins there."""
STEP_SECONDS: Final = 0.05
"""Event time between two predictions."""
LABEL_DELAY_SECONDS: Final = 60
CELL: Final = timedelta(minutes=10)
MATURITY: Final = timedelta(minutes=30)
_N_REFERENCE: Final = 20_000
_REFERENCE_CELLS: Final = 60


def spec(name: str = "bench") -> ModelSpec:
    """The watched model: cells short enough that the evaluator closes dozens of windows in a run."""
    return ModelSpec(model_name=name, positive_class="1", cell=CELL, maturity=MATURITY)


def events(
    n: int, *, seed: int = 1, first: int = 0, start: float = START, step_seconds: float = STEP_SECONDS
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Make key, prediction and label of n ids.

    Parameters
    ----------
    n
        How many ids; each has one prediction (about 700 bytes, 20 features) and one label.
    seed
        Of everything that is drawn.
    first
        Number of the first id: its event time follows from it.
    start, step_seconds
        Event time of number 0, and between two of them.
    """
    draw = random.Random(seed)
    encode = msgspec.json.Encoder().encode
    for i in range(first, first + n):
        at = start + i * step_seconds
        features: dict[str, object] = {f"n{j:02d}": draw.gauss(0, 1) for j in range(N_NUMERIC)}
        features |= {f"c{j}": draw.choice("abcdefgh") for j in range(N_CATEGORICAL)}
        id_ = f"{draw.getrandbits(96):024x}"
        prediction = {
            "prediction_id": id_,
            "model_name": "bench",
            "model_version": "7",
            "prediction_timestamp": at,
            "prediction_label": draw.getrandbits(1),
            "prediction_score": draw.random(),
            "features": features,
            "latency_seconds": 0.01 + draw.random() / 50,
        }
        label = {
            "prediction_id": id_,
            "model_name": "bench",
            "label_timestamp": at + LABEL_DELAY_SECONDS,
            "actual_label": draw.getrandbits(1),
        }
        yield id_.encode(), encode(prediction), encode(label)


def monitors() -> tuple[Monitor, ...]:
    """What a model gets that names none: every feature, the predictions, data quality, service and errors."""
    return default_monitors(spec())


def reference(of: ModelSpec | None = None) -> Reference:
    """Bins and counts of cells before `START`, drawn as the events are."""
    of = of or spec()
    span = _REFERENCE_CELLS * of.cell.total_seconds()
    drawn = list(events(_N_REFERENCE, seed=0, start=START - span, step_seconds=span / _N_REFERENCE))
    return build_reference(
        of, (prediction for _, prediction, _ in drawn), (label for _, _, label in drawn), reference_id="bench"
    )


def control() -> ControlView:
    """What is in force, for measurements without a broker."""
    view = ControlView()
    view.apply(topics.MODELS.name, spec().to_bytes())
    for monitor in monitors():
        view.apply(topics.MONITORS.name, monitor.to_bytes())
    view.apply(topics.REFERENCES.name, reference().to_bytes())
    return view
