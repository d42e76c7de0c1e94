"""Windows of more series than one record holds."""

from datetime import UTC, datetime, timedelta

import msgspec

from schemas import topics
from schemas.metrics import PARCEL_SIZE, SeriesVerdict, WindowMetrics, join_parcels
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.signals import Signal
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.engine.processor import ListRecord
from streams.evaluator.processor import EvaluatorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.replay.references import build_reference
from streams.settings import Settings
from streams.web.board import Board

START = datetime(2026, 3, 2, tzinfo=UTC)
N_FEATURES, N_SEGMENTS = 100, 120  # the whole, 118 regions, and `__other__`
WIDE = ModelSpec(
    model_name="wide", cell=timedelta(minutes=10), lateness=timedelta(0), segments=("region",), max_segment_values=200
)


def events(n: int, *, first: int) -> list[ListRecord]:
    found = []
    for i in range(first, first + n):
        event = {
            "prediction_id": f"p{i:06d}",
            "model_name": "wide",
            "model_version": "7",
            "prediction_timestamp": (START + timedelta(seconds=5 * i)).timestamp(),
            "prediction_label": i & 1,
            "features": {f"n{j:03d}": float(i % 7 + j) for j in range(N_FEATURES)},
            "tags": {"region": f"r{i % (N_SEGMENTS - 2):03d}"},
        }
        value = msgspec.json.encode(event)
        key = event["prediction_id"].encode()  # type: ignore[attr-defined]
        found.append(ListRecord(topic=topics.PREDICTIONS.name, key=key, value=value, timestamp=round(1e13)))
    return found


def test_twelve_thousand_series_are_published_in_records_that_the_topic_takes() -> None:
    view = ControlView()
    view.apply(topics.MODELS.name, WIDE.to_bytes())
    monitor = Monitor(signal=Signal.FEATURE_DRIFT, model_name="wide", by=("region",))
    view.apply(topics.MONITORS.name, monitor.to_bytes())
    recorded = [each.value or b"" for each in events(240, first=0)]
    view.apply(topics.REFERENCES.name, build_reference(WIDE, recorded, [], reference_id="wide").to_bytes())
    settings = Settings.model_validate({"topics": {"events_partitions": 1}})
    stage1 = Harness(lambda: ProfilerProcessor(partition=0, settings=settings, control=view))
    stage2 = Harness(lambda: EvaluatorProcessor(partition=0, settings=settings, control=view))
    published: list[bytes] = []
    for first in (1_000, 2_000):
        stage1.add(events(240, first=first))
        stage2.add(ListRecord(topic=each.topic, value=each.value) for each in stage1.commit().outputs)
        published += [o.value or b"" for o in stage2.commit().outputs if o.topic == topics.METRICS.name]
    windows = [WindowMetrics.model_validate_json(value) for value in published]
    board, whole = Board(), [each for each in windows if each.n_parts > 1]
    assert whole, "no window had more series than a record holds"
    assert max(map(len, published)) < topics.METRICS.max_message_bytes
    for value in published:
        board.apply_record(topics.METRICS.name, ListRecord(topic=topics.METRICS.name, value=value, timestamp=0))
    last = board.last_window("production/wide", "7", "inputs")
    assert last is not None
    assert len(last.verdicts) == N_FEATURES * N_SEGMENTS == 12_000
    assert len({(v.segment, v.feature) for v in last.verdicts}) == 12_000


def long_verdict(i: int) -> SeriesVerdict:
    companions = [{"name": "wasserstein", "value": 0.1234567890123456, "threshold": 1e-300} for _ in range(2)]
    fields = {
        "monitor_id": "m" * 128, "signal": "selection_rate_difference", "segment": f"{'d' * 128}={i:0128d}",
        "feature": "f" * 128, "status": "warming_up", "statistic": 1.2345678901234567e-300,
        "threshold": 1.2345678901234567e-300, "value": 1.2345678901234567e-300,
        "reference_value": 1.2345678901234567e-300, "n": 10**12, "companions": companions,
    }  # fmt: skip
    return SeriesVerdict.model_validate(fields)


def test_a_window_comes_back_as_it_was() -> None:
    window = WindowMetrics(
        model_name="m",
        model_version="7",
        kind="inputs",
        window_start=START,
        window_end=START,
        values={"volume": 3.0},
        findings={"missing:x": 1},
        segments={f"s={i}": {"accuracy": i / 5_000} for i in range(5_000)},
        verdicts=[long_verdict(i) for i in range(2 * PARCEL_SIZE + 1)],
    )
    parcels = [WindowMetrics.model_validate_json(each.to_bytes()) for each in window.parcels()]
    assert [each.part for each in parcels] == [0, 1, 2]
    assert max(len(each.to_bytes()) for each in parcels) < topics.METRICS.max_message_bytes
    assert join_parcels(parcels) == window
    assert list(join_parcels(parcels).segments) == list(window.segments)


def test_parcels_that_come_twice_or_in_part_do_no_harm() -> None:
    def parcels(hour: int) -> list[WindowMetrics]:
        at = START + timedelta(hours=hour)
        verdicts = [SeriesVerdict(monitor_id=f"m{i}", signal="volume", status="stable") for i in range(PARCEL_SIZE + 1)]
        whole = WindowMetrics(
            model_name="m", model_version="7", kind="inputs", window_start=at, window_end=at, verdicts=verdicts
        )
        return list(whole.parcels())

    board = Board()
    for each in (*parcels(0), *parcels(0)[1:], *parcels(1)[:1], *parcels(2), *parcels(1)[1:]):
        board.apply(each, START)
    last = board.last_window("production/m", "7", "inputs")
    assert last is not None
    assert last.window_end == START + timedelta(hours=2)
    assert len(last.verdicts) == PARCEL_SIZE + 1
