"""What a stream of a given rate needs: partitions, workers, broker traffic and state, from measured unit costs.

`python -m benchmarks.capacity` reads build/bench/summary.json. Nothing here is measured: it multiplies.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LEVELS: Final = tuple((f"{name} a day", n / 86_400) for name, n in (("1 million", 1e6), ("10 million", 1e7),
    ("100 million", 1e8))) + (("10,000 a second", 1e4), ("100,000 a second", 1e5), ("1 million a second", 1e6))  # fmt: skip
"""Predictions; every one gets a label."""
WAIT_SECONDS: Final = 86_400.0
"""How long a row is held: a label after a day, and forgotten then. A longer horizon multiplies the state."""
BUSY_RATIO: Final = 0.5
"""Of a core, at most: the other half catches up after a restart, and takes over from a neighbour."""
LEAST_PARTITIONS: Final = 12
PARTITIONS_PER_WORKER: Final = 2
"""So that a worker that goes away leaves its load to several."""
COMMIT_SECONDS: Final = 1.0
COPIES: Final = 3
"""The replication factor that is reckoned with."""
MOST_RESTORE_SECONDS: Final = 600.0
MOST_BROKER_BYTES: Final = 100e6
"""Bytes a second that one broker is given to write, copies among them: an assumption, not measured here."""
MOST_PARTITIONS: Final = 1_000
"""Of one topic: an assumption, where leader elections and clients' metadata begin to take seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Measured unit costs."""

    cpu_us_per_event: float
    prediction_bytes: float
    label_bytes: float
    changelog_bytes: float
    deltas_bytes: float
    disk_bytes_per_row: float
    changelog_bytes_per_row: float
    restored_rows_per_second: float
    """By one worker that has lost its files."""
    merge_ms_per_delta: float
    """Stage 2, one source partition's delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one level needs."""

    level: str
    predictions_per_second: float
    cores: float
    n_workers: int
    n_partitions: int
    written_bytes_per_second: float
    """Into the brokers, each copy counted."""
    read_bytes_per_second: float
    """Out of the brokers, to workers."""
    n_brokers: int
    n_rows: float
    disk_bytes: float
    """Local files of all workers."""
    changelog_bytes: float
    """Live rows in the changelog, one copy."""
    restore_seconds: float
    """Of one worker's share, from the changelog."""
    evaluator_ratio: float
    """Of a core, for merging the deltas of one model that is on every partition: one owner, so one core is the end."""
    breaks: tuple[str, ...]
    """Which limits are passed at this level."""


def units(sections: dict[str, Any]) -> Units:
    """Read unit costs from the sections of a summary.

    Raises
    ------
    KeyError
        Where a section is missing; it names the command that measures it.
    """
    missing = [name for name in ("contest", "processes", "pending", "closing") if name not in sections]
    if missing or sections["processes"]["traffic"] is None:
        msg = f"not measured: {missing or ['traffic']}; run python -m benchmarks " + " ".join(
            f"--only {name}" for name in missing or ["processes"]
        )
        raise KeyError(msg)
    ours = next(row for row in sections["contest"]["rows"] if row["key"] == "plumbline")
    pending, traffic = sections["pending"], sections["processes"]["traffic"]
    return Units(
        cpu_us_per_event=ours["cpu_us"]["median"],
        **traffic,
        disk_bytes_per_row=pending["written"]["bytes_per_row_in_files"],
        changelog_bytes_per_row=pending["bytes_per_row_in_log"],
        restored_rows_per_second=pending["n_rows"] / pending["files lost"]["seconds"],
        merge_ms_per_delta=sections["closing"]["rows"][0]["merge_ms"],
    )


def need(level: str, predictions_per_second: float, unit: Units) -> Need:
    """Work out one level."""
    events = 2 * predictions_per_second
    cores = events * unit.cpu_us_per_event * 1e-6
    n_workers = max(1, math.ceil(cores / BUSY_RATIO))
    n_partitions = max(LEAST_PARTITIONS, 12 * math.ceil(PARTITIONS_PER_WORKER * n_workers / 12))
    inputs = predictions_per_second * (unit.prediction_bytes + unit.label_bytes)
    deltas = events * unit.deltas_bytes
    written = COPIES * (inputs + predictions_per_second * unit.changelog_bytes + deltas)
    n_rows = predictions_per_second * WAIT_SECONDS
    restore = n_rows / n_workers / unit.restored_rows_per_second
    evaluator = n_partitions / COMMIT_SECONDS * unit.merge_ms_per_delta / 1_000
    n_brokers = max(COPIES, math.ceil(written / MOST_BROKER_BYTES))
    limits = {
        "a worker's restore takes over ten minutes": restore > MOST_RESTORE_SECONDS,
        "one model on all partitions fills its evaluator's core": evaluator > BUSY_RATIO,
        "more than 1,000 partitions": n_partitions > MOST_PARTITIONS,
        "more than three brokers": n_brokers > COPIES,
    }
    return Need(
        level=level,
        predictions_per_second=predictions_per_second,
        cores=cores,
        n_workers=n_workers,
        n_partitions=n_partitions,
        written_bytes_per_second=written,
        read_bytes_per_second=inputs + deltas,
        n_brokers=n_brokers,
        n_rows=n_rows,
        disk_bytes=n_rows * unit.disk_bytes_per_row,
        changelog_bytes=n_rows * unit.changelog_bytes_per_row,
        restore_seconds=restore,
        evaluator_ratio=evaluator,
        breaks=tuple(name for name, passed in limits.items() if passed),
    )


def needs(sections: dict[str, Any]) -> list[Need]:
    """Work out every level."""
    unit = units(sections)
    return [need(level, rate, unit) for level, rate in LEVELS]


def main() -> None:
    """Print every level of a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, default=Path("build/bench/summary.json"))
    for each in needs(json.loads(parser.parse_args().summary.read_text())["sections"]):
        print(each)


if __name__ == "__main__":
    main()
