"""Writes the state of this version as later ones have to read it: `python tests/golden/state/write_state.py 0.1`.

A changelog, and local files of a commit in its middle; both come from the profiler as it is. Run it once for each
minor version, at its release; what older versions wrote is never written again.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import zstandard

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "unit" / "profiler"))

from profiler_world import HOUR, L, P, control, harness, label, prediction, record, totals  # noqa: E402

from streams.engine.harness import Harness  # noqa: E402
from streams.engine.processor import ListRecord  # noqa: E402
from streams.local.instance import TaskFolder  # noqa: E402
from streams.settings import Settings  # noqa: E402

START = 1_700_000_000 // HOUR * HOUR
OWNER = {"cluster_id": "golden", "application_id": "plumbline", "stage": "profiler", "partition": 0}
SETTINGS = Settings.model_validate({"engine": {"state_memory_rows": 40}})
N = 400


def served(n: int) -> list[ListRecord]:
    """Predictions over five hours, some under a second version."""
    draw = random.Random(1)
    return [
        record(P, prediction(f"id-{i}", START + 5 * HOUR * i / n, model_version=draw.choice("112")), i)
        for i in range(n)
    ]


def truths(first: int, last: int) -> list[ListRecord]:
    """Labels of some of them, and of ids that nobody served."""
    return [record(L, label(f"id-{i}", START + 5 * HOUR, "late" if i % 3 else "on"), i) for i in range(first, last)] + [
        record(L, label(f"waits-{i}", START + 5 * HOUR, "on"), 10_000 + i) for i in range(first, first + 5)
    ]


def task(folder: Path) -> Harness:
    """A task that restores from a folder's files, and from nothing else."""
    return harness(control(), SETTINGS, folder=TaskFolder(folder, OWNER))


def go_on(restored: Harness) -> dict[str, Any]:
    """What a restored task says, and what it says after labels for all that waits."""
    before = totals(restored)
    restored.feed(truths(0, N), batch_sizes=50)
    return {"before": before, "after": totals(restored)}


def main(version: str) -> None:
    """Write the fixture."""
    folder = HERE / version
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = task(Path(scratch))
        made.feed([*served(N), *truths(0, N // 4)], batch_sizes=25)
        made.checkpoint()
        shutil.copytree(scratch, folder / "local")
        made.feed(truths(N // 4, N // 2), batch_sizes=25)
        log = [(key, value, made._written_at[key]) for key, value in made.changelog.items()]
        packed = zstandard.ZstdCompressor(level=9).compress(msgspec.msgpack.encode({"seq": made.seq, "entries": log}))
        (folder / "changelog.zst").write_bytes(packed)
        (folder / "expected.json").write_text(json.dumps(go_on(made), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
