"""From a million predictions a day to a million a second, worked out from measured unit costs; no measurement here."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.contest import PLUMBLINE
from streams.settings import TopicSettings

DAY_SECONDS: Final = 86_400
RATES: Final[tuple[tuple[str, float], ...]] = (
    ("1 million a day", 1e6 / DAY_SECONDS),
    ("100 million a day", 1e8 / DAY_SECONDS),
    ("10,000 a second", 1e4),
    ("100,000 a second", 1e5),
    ("1 million a second", 1e6),
)
"""Predictions; every one gets its label."""
FILLED_RATIO: Final = 0.5
"""How full a process runs at the peak: the rest is for catching up after a restart."""
COMMIT_SECONDS: Final = 1.0
REPLICATION: Final = 3
N_MODELS: Final = 10
HELD_SECONDS: Final = {"two days": 2 * DAY_SECONDS, "an hour": 3_600}
"""How long a row is held: until its label came and `revision_horizon` (two days by default) is over."""
_BASE_PARTITIONS: Final = TopicSettings().events_partitions


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Measured costs of one thing each."""

    cpu_us: float
    """Of an event, in worker processes (both stages)."""
    prediction_bytes: float
    label_bytes: float
    delta_bytes: float
    changelog_bytes: float
    """Per row, as written."""
    disk_bytes: float
    """Per row, in local files; 0 where there are none."""
    memory_bytes: float
    """Resident, per row."""
    merge_seconds: float
    """Of a delta in stage 2."""

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Units:
        """Take them from a summary.

        Raises
        ------
        KeyError
            Where a room that they come from was not run.
        """
        rooms = summary["rooms"]
        held = rooms["contest"]
        least, most = rooms["pending"][0], rooms["pending"][-1]
        megabytes = most["resident_megabytes"] - least["resident_megabytes"]
        return cls(
            cpu_us=next(row["cpu_us"]["median"] for row in held["rows"] if row["key"] == PLUMBLINE),
            prediction_bytes=held["prediction_bytes"],
            label_bytes=held["label_bytes"],
            delta_bytes=held["delta_bytes"],
            changelog_bytes=most["changelog_bytes"],
            disk_bytes=most["disk_bytes"],
            memory_bytes=max(0.0, megabytes * 1_048_576 / (most["n_pending"] - least["n_pending"])),
            merge_seconds=rooms["closing"][0]["merge_ms"] / 1e3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one load needs."""

    load: str
    predictions_per_second: float
    n_processes: int
    """Stage 1 and 2 together, of one core each, half filled."""
    n_partitions: int
    broker_in: float
    """Bytes a second that the brokers write, all replicas."""
    broker_out: float
    """Bytes a second that consumers read, followers left out."""
    deltas_per_second: float
    merge_cores: float
    """Cores that one model's evaluator needs to merge its deltas if all the load is one model; it has one."""
    rows: dict[str, float]
    """Rows held, by how long they are."""
    state_bytes_per_process: dict[str, float]
    """In local files where there are some, resident otherwise."""


def need(units: Units, load: str, rate: float) -> Need:
    """Work out one load."""
    cores = 2 * rate * units.cpu_us * 1e-6
    n_processes = max(1, math.ceil(cores / FILLED_RATIO))
    n_partitions = max(_BASE_PARTITIONS, _BASE_PARTITIONS * math.ceil(n_processes / _BASE_PARTITIONS))
    models = min(N_MODELS, rate)
    deltas = min(n_partitions * models / COMMIT_SECONDS, rate)
    written = rate * (units.prediction_bytes + units.label_bytes + units.changelog_bytes) + deltas * units.delta_bytes
    read = rate * (units.prediction_bytes + units.label_bytes) + deltas * units.delta_bytes
    rows = {name: rate * seconds for name, seconds in HELD_SECONDS.items()}
    row_bytes = units.disk_bytes or units.memory_bytes
    return Need(
        load=load,
        predictions_per_second=rate,
        n_processes=n_processes,
        n_partitions=n_partitions,
        broker_in=REPLICATION * written,
        broker_out=read,
        deltas_per_second=deltas,
        merge_cores=min(n_partitions / COMMIT_SECONDS, rate) * units.merge_seconds,
        rows=rows,
        state_bytes_per_process={name: n * row_bytes / n_processes for name, n in rows.items()},
    )


def needs(summary: Mapping[str, Any]) -> list[Need]:
    """Work out every load of the page."""
    units = Units.of(summary)
    return [need(units, load, rate) for load, rate in RATES]


def main() -> None:
    """Print the needs as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, default=Path("build/bench/summary.json"))
    for each in needs(json.loads(parser.parse_args().summary.read_text())):
        print(each)


if __name__ == "__main__":
    main()
