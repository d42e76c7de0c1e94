"""Faust + river: two agents, tables for what waits and for the detectors."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterable
from typing import Any

import faust

from benchmarks.contenders.watching import (
    BROKER,
    FOLDER,
    LABELS,
    NAME,
    PREDICTIONS,
    RESULTS,
    Watch,
    note_first,
)


class Prediction(faust.Record, serializer="json"):
    """A prediction, with what is used of it."""

    prediction_id: str
    model_name: str
    prediction_label: int
    features: dict[str, Any]


class Label(faust.Record, serializer="json"):
    """A label."""

    prediction_id: str
    model_name: str
    actual_label: int


app = faust.App(
    NAME,
    broker=f"kafka://{BROKER}",
    store="memory://",
    topic_partitions=12,
    consumer_auto_offset_reset="earliest",
    datadir=FOLDER,
)
predictions_topic = app.topic(PREDICTIONS, key_type=str, value_type=Prediction)
labels_topic = app.topic(LABELS, key_type=str, value_type=Label)
results_topic = app.topic(RESULTS, value_serializer="json")

waiting_predictions = app.Table("waiting-predictions", default=None)
waiting_labels = app.Table("waiting-labels", default=None)
detectors = app.Table("detectors", value_type=bytes)
watches: dict[str, Watch] = {}
"""The detectors in hand; the table has them as they were when last saved."""


def watch_of(model_name: str) -> Watch:
    """Return the detectors of a model, as saved where this worker has just started."""
    if model_name not in watches:
        saved = detectors.get(model_name)
        watches[model_name] = Watch() if saved is None else pickle.loads(saved)
    return watches[model_name]


@app.agent(predictions_topic)
async def predictions(stream: AsyncIterable[Prediction]) -> None:
    """Feed the features, and wait for the label."""
    async for prediction in stream:
        note_first()
        watch = watch_of(prediction.model_name)
        watch.take_features(prediction.features)
        actual = waiting_labels.pop(prediction.prediction_id, None)
        if actual is None:
            waiting_predictions[prediction.prediction_id] = prediction.prediction_label
        else:
            await judge(prediction.model_name, watch, prediction.prediction_label, actual)


@app.agent(labels_topic)
async def labels(stream: AsyncIterable[Label]) -> None:
    """Join the label, or keep it until its prediction comes."""
    async for label in stream:
        note_first()
        predicted = waiting_predictions.pop(label.prediction_id, None)
        if predicted is None:
            waiting_labels[label.prediction_id] = label.actual_label
        else:
            await judge(label.model_name, watch_of(label.model_name), predicted, label.actual_label)


async def judge(model_name: str, watch: Watch, predicted: int, actual: int) -> None:
    """Feed the error; say and save what there is to say."""
    result = watch.take_outcome(predicted, actual)
    if watch.is_time:
        detectors[model_name] = pickle.dumps(watch)
    if result is not None:
        await results_topic.send(key=model_name, value=result)
