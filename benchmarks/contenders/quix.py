"""Quix Streams + river: labels joined as of their predictions, then grouped by model for the detectors."""

from __future__ import annotations

import base64
import pickle
from datetime import timedelta
from typing import Any

from quixstreams import Application, State

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

STATE_KEY = "detectors"
watches: dict[str, Watch] = {}
"""The detectors in hand; the state store has them as they were when last saved."""


def watch_pair(pair: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Feed one joined pair to the detectors of its model."""
    name = pair["model_name"]
    watch = watches.get(name)
    if watch is None:
        saved = state.get(STATE_KEY)
        watch = watches[name] = Watch() if saved is None else pickle.loads(base64.b64decode(saved))
    watch.take_features(pair["features"])
    result = watch.take_outcome(pair["prediction_label"], pair["actual_label"])
    if watch.is_time:
        state.set(STATE_KEY, base64.b64encode(pickle.dumps(watch)).decode())
    return result


def main() -> None:
    """Build the pipeline and run it."""
    app = Application(
        broker_address=BROKER,
        consumer_group=NAME,
        auto_offset_reset="earliest",
        state_dir=FOLDER,
        commit_interval=1.0,  # as Plumbline's; results are seen when they are committed
        processing_guarantee="exactly-once",
    )
    predictions = app.dataframe(app.topic(PREDICTIONS, key_deserializer="str", value_deserializer="json"))
    labels = app.dataframe(app.topic(LABELS, key_deserializer="str", value_deserializer="json"))
    results = app.topic(RESULTS, key_serializer="str", value_serializer="json")

    predictions = predictions.update(note_first)
    joined = labels.join_asof(predictions, how="inner", on_merge="keep-left", grace_ms=timedelta(days=14))
    watched = joined.group_by("model_name").apply(watch_pair, stateful=True)
    watched.filter(lambda result: result is not None).to_topic(results)
    app.run()


if __name__ == "__main__":
    main()
