"""What serving sends: a prediction at each departure and a label at the real arrival, in the order of event time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from demo.flights import CATEGORICAL, NUMERIC, Flights
from demo.model import DECISION, Served
from demo.registry import MODEL_NAME
from schemas import topics
from schemas.deployments import ResourceEvent
from schemas.events import DEFAULT_ENVIRONMENT, WATERMARK_TYPE, LabelEvent, PredictionEvent, WatermarkEvent
from schemas.identifiers import model_key
from streams.engine.processor import EVERY_PARTITION, Output

KEY: Final = model_key(DEFAULT_ENVIRONMENT, MODEL_NAME).encode()
LABEL_SOURCE: Final = "arrivals"
_LATENCY_SECONDS: Final = 0.020
_LATENCY_SPREAD: Final = 0.45
_COST_USD: Final = 4e-5
_ON_TIME: Final = "on_time"
_LATE: Final = "late"
_encode = msgspec.json.Encoder().encode


class Traffic:
    """The requests of a run and their truth, ready to be sent step by step.

    Parameters
    ----------
    flights
        Which flights, sorted by departure.
    serving
        What each version sends and answers, of the same flights.
    seed
        Latencies, costs and the split of the traffic are drawn from it.
    """

    def __init__(self, flights: Flights, serving: Mapping[str, Served], *, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        n = len(flights)
        self.flights = flights
        self.draws: NDArray[np.float64] = rng.random(n)
        self.served = np.full(n, "", dtype="U8")
        """Which version answered; empty before it is sent."""
        self._seed = seed
        self._ids: list[str] = flights.flight_id.tolist()
        self._departure = (flights.departure_ms / 1000).tolist()
        self._latency = np.round(_LATENCY_SECONDS * rng.lognormal(0, _LATENCY_SPREAD, n), 6).tolist()
        self._cost = np.round(_COST_USD * rng.lognormal(0, 0.2, n), 9).tolist()
        self._numeric = {name: np.round(each.numeric, 6).tolist() for name, each in serving.items()}
        self._scores = {name: each.scores for name, each in serving.items()}
        self._answers = {
            name: np.where(each >= DECISION, _LATE, _ON_TIME).tolist() for name, each in self._scores.items()
        }
        self._truth = np.where(flights.is_late, _LATE, _ON_TIME).tolist()
        self._score_lists = {name: np.round(each, 6).tolist() for name, each in self._scores.items()}
        self._categories = list(zip(*(getattr(flights, name).tolist() for name in CATEGORICAL), strict=True))
        labelled = np.flatnonzero(flights.has_label)
        self._label_rows = labelled[np.argsort(flights.arrival_ms[labelled], kind="stable")]
        self._arrival_ms = flights.arrival_ms[self._label_rows]

    @property
    def last_event_ms(self) -> int:
        """Event time of the last prediction or label."""
        return int(max(self.flights.departure_ms[-1], self._arrival_ms[-1]))

    def called_late(self, version: str) -> NDArray[np.bool_]:
        """What a version answers, flight by flight."""
        return self._scores[version] >= DECISION

    def rows(self, start_ms: int, end_ms: int) -> slice:
        """Flights that depart in [start, end)."""
        first, last = np.searchsorted(self.flights.departure_ms, [start_ms, end_ms])
        return slice(int(first), int(last))

    def events(self, start_ms: int, end_ms: int, versions: Sequence[str]) -> Iterator[Output]:
        """Predictions and labels of [start, end), in the order of event time.

        Parameters
        ----------
        start_ms, end_ms
            The step, in milliseconds since the epoch.
        versions
            Which version answers each flight of `rows(start_ms, end_ms)`.
        """
        rows = self.rows(start_ms, end_ms)
        first, last = np.searchsorted(self._arrival_ms, [start_ms, end_ms])
        labels = self._label_rows[first:last]
        self.served[rows] = versions
        times = np.concatenate([self.flights.departure_ms[rows], self._arrival_ms[first:last]])
        n_predictions = rows.stop - rows.start
        for i in np.argsort(times, kind="stable").tolist():
            if i < n_predictions:
                yield self.prediction(rows.start + i, versions[i])
            else:
                yield self.label(int(labels[i - n_predictions]))

    def prediction_event(self, row: int, version: str) -> PredictionEvent:
        """One flight's prediction."""
        score = self._score_lists[version][row]
        features = dict(zip(NUMERIC, self._numeric[version][row], strict=True))
        features.update(zip(CATEGORICAL, self._categories[row], strict=True))
        return PredictionEvent(
            prediction_id=self._ids[row],
            model_name=MODEL_NAME,
            model_version=version,
            prediction_timestamp=self._departure[row],
            prediction_label=self._answers[version][row],
            prediction_score=score,
            features=features,
            latency_seconds=self._latency[row],
            cost_usd=self._cost[row],
        )

    def label_event(self, row: int) -> LabelEvent:
        """One flight's truth."""
        return LabelEvent(
            prediction_id=self._ids[row],
            model_name=MODEL_NAME,
            label_timestamp=int(self.flights.arrival_ms[row]) / 1000,
            actual_label=self._truth[row],
            label_source=LABEL_SOURCE,
        )

    def prediction(self, row: int, version: str) -> Output:
        """One flight's prediction, as it is sent."""
        value = _encode(self.prediction_event(row, version))
        return Output(topic=topics.PREDICTIONS.name, key=self._ids[row].encode(), value=value)

    def label(self, row: int) -> Output:
        """One flight's truth, as it is sent."""
        value = _encode(self.label_event(row))
        return Output(topic=topics.LABELS.name, key=self._ids[row].encode(), value=value)

    def resources(self, at_ms: int, version: str) -> Output:
        """What serving costs, measured at a time."""
        rng = np.random.default_rng([self._seed, 2, at_ms // 1000])
        event = ResourceEvent.model_validate(
            {
                "model_name": MODEL_NAME,
                "model_version": version,
                "instance": "serving-0",
                "cpu_ratio": round(float(rng.beta(4, 8)), 4),
                "memory_bytes": float(rng.integers(420, 470) * 1_000_000),
                "queue_length": float(rng.poisson(1.5)),
                "n_replicas": 2,
                "cost_usd": round(float(rng.normal(0.42, 0.02)), 4),
                "measured_at": at_ms / 1000,
            }
        )
        return Output(topic=topics.RESOURCES.name, key=KEY, value=event.to_bytes())


def watermarks(not_before_ms: int, *, model_names: Sequence[str]) -> list[Output]:
    """Say that nothing before a time will follow: to every partition of both topics, for every model."""
    return [
        Output(
            topic=topic.name,
            key=name.encode(),
            value=_encode(WatermarkEvent(model_name=name, not_before=not_before_ms / 1000)),
            headers=[("ce_type", WATERMARK_TYPE.encode())],
            partition=EVERY_PARTITION,
        )
        for name in model_names
        for topic in (topics.PREDICTIONS, topics.LABELS)
    ]
