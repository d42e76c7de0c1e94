"""What closing a window costs in stage 2, by its number of series (features x segments); in memory, no broker."""

from __future__ import annotations

import cProfile
import gc
import pstats
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.events import START
from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.signals import Signal
from streams.app import GC_THRESHOLD
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.evaluator.processor import EvaluatorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.replay.references import build_reference
from streams.settings import Settings

SIZES: Final = ((10, 9), (30, 32), (100, 99))
"""Features and segment values; with the whole, 100, 990 and 10,000 series."""
CELL: Final = timedelta(minutes=10)
N_WINDOWS: Final = 4
_PER_CELL: Final = 600
_N_HOT: Final = 8
_REFERENCE_CELLS: Final = 45
_STEP: Final = CELL.total_seconds() / _PER_CELL


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Closing one window of so many series."""

    n_series: int
    n_features: int
    n_segments: int
    median_ms: float
    max_ms: float
    us_per_series: float
    first_ms: float
    """The first window against a reference: what is derived from it is made then, once."""
    merge_ms: float
    """Merging one delta that closes nothing."""
    metrics_bytes: int
    """The published window, all its records, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotSpot:
    """A function, and its own part of the time."""

    function: str
    share_ratio: float
    n_calls_per_window: float


def measure(n_features: int, n_values: int, *, profile: bool = False) -> tuple[Closing, list[HotSpot]]:
    """Close windows of a model with one monitor on all features by all segments.

    The counts are merged in a batch before; the batch that is measured holds one more event, which moves the watermark
    past the cell's end.

    Returns
    -------
    tuple
        What it costs in CPU time, and the functions that take most of it where asked for: in one window more, since
        looking slows it.
    """
    gc.set_threshold(*GC_THRESHOLD)  # as the worker does
    view = _control(n_features, n_values)
    settings = Settings.model_validate({"topics": {"events_partitions": 1}})
    stage1 = Harness(lambda: ProfilerProcessor(partition=0, settings=settings, control=view))
    stage2 = Harness(lambda: EvaluatorProcessor(partition=0, settings=settings, control=view))
    profiler = cProfile.Profile() if profile else None
    seconds, sizes, merges = [], [], []
    for window in range(N_WINDOWS + profile):
        first = window * _PER_CELL
        merges.append(_through(stage1, stage2, list(_events(n_features, n_values, _PER_CELL - 1, first=first + 1))))
        stage1.add(_records(list(_events(n_features, n_values, 1, first=first + _PER_CELL))))
        delta = stage1.commit().outputs
        stage2.add(ListRecord(topic=each.topic, value=each.value) for each in delta)
        if profiler is not None and window == N_WINDOWS:
            profiler.enable()
        begin = time.process_time()
        staged = stage2.commit()
        seconds.append(time.process_time() - begin)
        if profiler is not None and window == N_WINDOWS:
            profiler.disable()
        sizes.append(sum(len(o.value or b"") for o in staged.outputs if o.topic == topics.METRICS.name))
    if not any(sizes):
        msg = f"{N_WINDOWS} windows were fed, and none was published: expected one each"
        raise RuntimeError(msg)
    n_series = n_features * (n_values + 1)
    later = seconds[1:N_WINDOWS]
    closing = Closing(
        n_series=n_series,
        n_features=n_features,
        n_segments=n_values + 1,
        median_ms=1e3 * float(np.median(later)),
        max_ms=1e3 * max(later),
        us_per_series=1e6 * float(np.median(later)) / n_series,
        first_ms=1e3 * seconds[0],
        merge_ms=1e3 * float(np.median(merges)),
        metrics_bytes=max(sizes),
    )
    return closing, _hot(profiler)


def _through(stage1: Harness, stage2: Harness, values: list[bytes]) -> float:
    stage1.add(_records(values))
    stage2.add(ListRecord(topic=each.topic, value=each.value) for each in stage1.commit().outputs)
    begin = time.process_time()
    stage2.commit()
    return time.process_time() - begin


def _records(values: list[bytes]) -> Iterator[ListRecord]:
    for value in values:
        key = msgspec.json.decode(value)["prediction_id"].encode()
        yield ListRecord(topic=topics.PREDICTIONS.name, key=key, value=value, timestamp=round(1e13))


def _spec() -> ModelSpec:
    return ModelSpec(model_name="wide", cell=CELL, lateness=timedelta(0), segments=("region",), max_segment_values=200)


def _control(n_features: int, n_values: int) -> ControlView:
    view = ControlView()
    view.apply(topics.MODELS.name, _spec().to_bytes())
    monitor = Monitor(signal=Signal.FEATURE_DRIFT, model_name="wide", by=("region",), min_samples=1)
    view.apply(topics.MONITORS.name, monitor.to_bytes())
    recorded = _events(n_features, n_values, _REFERENCE_CELLS * _PER_CELL // 4, first=0, step=4 * _STEP, before=True)
    view.apply(topics.REFERENCES.name, build_reference(_spec(), recorded, [], reference_id="wide").to_bytes())
    return view


def _events(
    n_features: int, n_values: int, n: int, *, first: int, step: float = _STEP, before: bool = False
) -> Iterator[bytes]:
    draw = random.Random(first)
    encode = msgspec.json.Encoder().encode
    start = START - (_REFERENCE_CELLS * CELL.total_seconds() if before else 0)
    for i in range(first, first + n):
        yield encode(
            {
                "prediction_id": f"{'r' if before else 'p'}{i:09d}",
                "model_name": "wide",
                "model_version": "7",
                "prediction_timestamp": start + i * step,
                "prediction_label": i & 1,
                "features": {f"n{j:03d}": draw.gauss(0, 1) for j in range(n_features)},
                "tags": {"region": f"r{i % n_values:03d}"},
            }
        )


def _hot(profiler: cProfile.Profile | None) -> list[HotSpot]:
    if profiler is None:
        return []
    found: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(pstats.Stats(profiler))["stats"]
    whole = sum(own for _, _, own, _, _ in found.values())
    first = sorted(found.items(), key=lambda item: -item[1][2])[:_N_HOT]
    return [
        HotSpot(
            function=f"{name} ({Path(file).parent.name}/{Path(file).name})" if line else name,
            share_ratio=own / whole,
            n_calls_per_window=float(n_calls),
        )
        for (file, line, name), (_, n_calls, own, _, _) in first
    ]


def main() -> None:
    """Print the sizes, and where the time of the largest goes."""
    for size in SIZES:
        closing, hot = measure(*size, profile=size == SIZES[-1])
        print(closing, *hot, sep="\n")


if __name__ == "__main__":
    main()
