"""A year of flights as one CSV, as a person would have recorded them: for `plumbline replay` (docs/replay.md).

    python -m demo.recording flights.csv

v1 serves but for a week from the second Monday in June, when v2 does, whose pipeline sends `dep_delay` in hours.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from demo.flights import CATEGORICAL, NUMERIC, load_flights
from demo.model import DECISION, HOME, TRAINED_UNTIL, as_hours, score
from demo.scenarios import GOOD_VERSION, NEW_VERSION

DEPLOYED: Final = datetime(2013, 6, 10, tzinfo=HOME)
WITHDRAWN: Final = datetime(2013, 6, 17, tzinfo=HOME)
_SEED: Final = 7


def write_recording(path: Path, cache_folder: Path) -> int:
    """Write the flights after the model's training, with what it said and what came true; return their number."""
    flights = load_flights(cache_folder)
    scores = score(flights, seed=_SEED)
    served = flights.departure_ms >= round(TRAINED_UNTIL.timestamp() * 1000)
    start_ms, end_ms = (round(moment.timestamp() * 1000) for moment in (DEPLOYED, WITHDRAWN))
    is_new = (flights.departure_ms >= start_ms) & (flights.departure_ms < end_ms)
    said = np.where(is_new, scores.hours, scores.minutes)
    sent = np.where(is_new[:, None], as_hours(flights.numeric), flights.numeric)
    known = flights.has_label
    table = pd.DataFrame(
        {
            "flight": flights.flight_id,
            "departed": pd.to_datetime(flights.departure_ms, unit="ms", utc=True),
            "version": np.where(is_new, NEW_VERSION, GOOD_VERSION),
            **{name: np.round(sent[:, i], 6) for i, name in enumerate(NUMERIC)},
            **{name: getattr(flights, name) for name in CATEGORICAL},
            "predicted": np.where(said >= DECISION, "late", "on_time"),
            "score": np.round(said, 6),
            "actual": np.where(known, np.where(flights.is_late, "late", "on_time"), ""),
            "landed": pd.to_datetime(np.where(known, flights.arrival_ms, 0), unit="ms", utc=True).where(known),
        }
    )[served]
    table.to_csv(path, index=False)
    return len(table)


def main() -> None:
    """Write the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("build/demo"), help="where computed flights are kept")
    options = parser.parse_args()
    print(f"{write_recording(options.file, options.cache):,} flights written to {options.file}")


if __name__ == "__main__":
    main()
