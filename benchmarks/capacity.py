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
MOST_RESTORE_SECONDS: Final = 600.0
MOST_BROKER_BYTES: Final = 100e6
"""Bytes a second that a broker is given to write: an assumption about disks, not measured here."""
MOST_PARTITIONS: Final = 1_000
"""Of one topic: an assumption, too; elections and metadata take seconds from about there on."""
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
    """Per row, in local files."""
    restored_rows_per_second: float
    """By a process that has lost its local files."""
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
        held, pending = rooms["contest"], rooms["pending"]
        return cls(
            cpu_us=next(row["cpu_us"]["median"] for row in held["rows"] if row["key"] == PLUMBLINE),
            prediction_bytes=held["prediction_bytes"],
            label_bytes=held["label_bytes"],
            delta_bytes=held["delta_bytes"],
            changelog_bytes=pending["bytes_per_row_in_log"],
            disk_bytes=pending["written"]["bytes_per_row_in_files"],
            restored_rows_per_second=pending["n_rows"] / pending["files lost"]["seconds"],
            merge_seconds=rooms["closing"]["rows"][0]["merge_ms"] / 1e3,
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
    """In local files."""
    restore_seconds: dict[str, float]
    """Of one process that has lost them."""
    gives_way: tuple[str, ...]
    """Which limits are passed at this load."""


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
    merge_cores = min(n_partitions / COMMIT_SECONDS, rate) * units.merge_seconds
    restore = {name: n / n_processes / units.restored_rows_per_second for name, n in rows.items()}
    limits = {
        "restore of rows held two days takes over ten minutes": max(restore.values()) > MOST_RESTORE_SECONDS,
        "one model's merging needs over half a core": merge_cores > FILLED_RATIO,
        f"over {MOST_BROKER_BYTES / 1e6:g} MB/s for each of three brokers": (
            REPLICATION * written > REPLICATION * MOST_BROKER_BYTES
        ),
        f"over {MOST_PARTITIONS:,} partitions a topic": n_partitions > MOST_PARTITIONS,
    }
    return Need(
        load=load,
        predictions_per_second=rate,
        n_processes=n_processes,
        n_partitions=n_partitions,
        broker_in=REPLICATION * written,
        broker_out=read,
        deltas_per_second=deltas,
        merge_cores=merge_cores,
        rows=rows,
        state_bytes_per_process={name: n * units.disk_bytes / n_processes for name, n in rows.items()},
        restore_seconds=restore,
        gives_way=tuple(name for name, passed in limits.items() if passed),
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
