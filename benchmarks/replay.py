"""Speed and memory of `plumbline replay`: a million rows of 20 features through all stages, on one core.

`python -m benchmarks.replay` writes a recording of 30 days, replays it in a process of its own, and prints rows a
second, CPU seconds and peak memory. All that the command does is in the figures: reading, sorting, building the
reference from the first rows, and the report.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

N_NUMERIC: Final = 16
N_CATEGORICAL: Final = 4
DAYS: Final = 30
START: Final = 1_700_006_400
_BLOCK: Final = 100_000
COLUMNS: Final = ("--timestamp", "at", "--id", "id", "--prediction", "said", "--score", "score", "--label", "truth")
_ONE_CORE: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}


def write_recording(path: Path, n: int, *, days: int = DAYS, seed: int = 1) -> None:
    """Write a CSV or Parquet file, block by block.

    Parameters
    ----------
    path
        Its ending says which.
    n
        Rows.
    days
        Over which they are spread evenly.
    seed
        Of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    writer: Any = None
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(n, start + _BLOCK))
        said = rng.integers(0, 2, len(rows))
        columns: dict[str, Any] = {"id": [f"r{row:09d}" for row in rows], "at": START + rows * (days * 86_400 / n)}
        columns |= {f"n{i:02d}": rng.normal(size=len(rows)) for i in range(N_NUMERIC)}
        columns |= {f"c{i}": rng.choice(list("abcdefgh"), len(rows)) for i in range(N_CATEGORICAL)}
        columns |= {"said": said, "score": rng.random(len(rows))}
        columns["truth"] = np.where(rng.random(len(rows)) < 0.1, 1 - said, said)
        table = pa.table(columns)
        if writer is None:
            kind = pa_csv.CSVWriter if path.suffix == ".csv" else pa_parquet.ParquetWriter
            writer = kind(path, table.schema)
        writer.write_table(table)
    writer.close()


def measure(path: Path, n: int, *options: str) -> dict[str, float]:
    """Replay a file in a process of its own; CPU seconds are its own, of all its threads."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "streams.cli", "replay", str(path), *COLUMNS, *options, "--output", output]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(command, env={**os.environ, **_ONE_CORE}, capture_output=True, text=True, check=False)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rows": n,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "rows_per_second": n / cpu,
        "peak_megabytes": after.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--reference", default="first:20000", help="as of plumbline replay")
    parser.add_argument("--days", type=int, default=DAYS, help="that they are spread over")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{options.format}"
        write_recording(path, options.rows, days=options.days)
        found = measure(path, options.rows, "--reference", options.reference)
    print(f"{options.rows:,} rows of {N_NUMERIC + N_CATEGORICAL} features, {options.format}:")
    print(
        f"{found['rows_per_second']:,.0f} rows/s of CPU time, {found['cpu_seconds']:.1f} CPU seconds,"
        f" {found['wall_seconds']:.1f} s, peak {found['peak_megabytes']:,.0f} MB"
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
