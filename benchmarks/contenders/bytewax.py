"""Bytewax + river: a keyed join, then one stateful step per model; its recovery store keeps both."""

from __future__ import annotations

import json
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow

from benchmarks.contenders.watching import (
    BROKER,
    LABELS,
    PREDICTIONS,
    RESULTS,
    Watch,
    note_first,
)


def by_id(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, dict[str, Any]]:
    """Decode a message, under its prediction_id."""
    note_first()
    return message.key.decode(), json.loads(message.value)


def by_model(item: tuple[str, tuple[dict[str, Any], dict[str, Any]]]) -> tuple[str, Any]:
    """Put a joined pair under its model."""
    _, pair = item
    return pair[0]["model_name"], pair


def watch_pair(watch: Watch | None, pair: tuple[dict[str, Any], dict[str, Any]]) -> tuple[Watch, Any]:
    """Feed one joined pair to the detectors of its model."""
    watch = Watch() if watch is None else watch
    prediction, label = pair
    watch.take_features(prediction["features"])
    return watch, watch.take_outcome(prediction["prediction_label"], label["actual_label"])


def to_message(item: tuple[str, dict[str, Any]]) -> KafkaSinkMessage[bytes, bytes]:
    """Encode a result."""
    model_name, result = item
    return KafkaSinkMessage(model_name.encode(), json.dumps(result).encode())


flow = Dataflow("watch")
predictions = kop.input("predictions", flow, brokers=[BROKER], topics=[PREDICTIONS])
labels = kop.input("labels", flow, brokers=[BROKER], topics=[LABELS])
joined = op.join(
    "join",
    op.map("decode-predictions", predictions.oks, by_id),
    op.map("decode-labels", labels.oks, by_id),
)
watched = op.stateful_map("watch", op.map("by-model", joined, by_model), watch_pair)
told = op.filter("told", watched, lambda item: item[1] is not None)
kop.output("results", op.map("encode", told, to_message), brokers=[BROKER], topic=RESULTS)
