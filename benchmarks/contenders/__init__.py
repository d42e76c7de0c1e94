"""What a user would pick instead, each written as its own documentation teaches, all with river's detectors.

Every program does the same work: decode, join label to prediction, one detector per feature and one on the errors,
state that survives a restart, results to a topic. Where the choice was ours it went in the contender's favour:
detectors are saved once in `SAVE_EVERY` pairs and not with each of them, and results are told as often, not one a pair.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = Path("build/bench/venv")
"""Where the `bench` extra is installed: their dependencies are theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One program."""

    name: str
    """Its module in this package, and its key among the ratios."""
    title: str
    distributions: tuple[str, ...]
    n_pairs: int
    """How many predictions (and as many labels) it is given: enough for about ten seconds."""
    arguments: Callable[[str, str], list[str]]
    """Of its program and its folder: what comes after the interpreter."""
    guarantee: str
    """What it promises after a crash, as it is run here."""
    differs: str
    """Which part of the work it does otherwise, or cannot do."""
    tables: tuple[str, ...] = ()
    """Names of its tables, whose changelogs are created before it starts."""


def interpreter() -> str | None:
    """Python of the contenders' environment, or None where that is missing."""
    found = ENVIRONMENT.resolve() / "bin" / Path(sys.executable).name
    found = found if found.exists() else ENVIRONMENT.resolve() / "bin" / "python"
    return str(found) if found.exists() else None


CONTENDERS: Final = (
    Contender(
        name="naive_faust",
        title="Faust + river",
        distributions=("faust-streaming", "river"),
        n_pairs=10_000,
        arguments=lambda program, _: ["-m", "faust", "-A", program, "worker", "-l", "warn", "--without-web"],
        guarantee="at least once, joins and detectors apart",
        differs="no transactions here (its exactly_once sends outside of them when a topic is new to it); a worker's "
        "detectors are its own and do not add up over workers; pending predictions never expire; a record that meets a "
        "changelog which is not in its metadata yet is lost, so its changelogs are created beforehand",
        tables=("waiting-predictions", "waiting-labels", "detectors"),
    ),
    Contender(
        name="quix",
        title="Quix Streams + river",
        distributions=("quixstreams", "river"),
        n_pairs=20_000,
        arguments=lambda program, _: ["-m", program],
        guarantee="exactly once; detectors up to SAVE_EVERY pairs behind",
        differs="detectors by model need a repartition topic, so one model is one partition and one process; a label "
        "that comes before its prediction is dropped by join_asof",
    ),
    Contender(
        name="bytewax",
        title="Bytewax + river",
        distributions=("bytewax", "river"),
        n_pairs=20_000,
        arguments=lambda program, folder: ["-m", "bytewax.run", f"{program}:flow", "-r", folder, "-s", "1", "-b", "0"],
        guarantee="at least once (snapshots each second)",
        differs="one process owns all state of a run, a crash rewinds all partitions to the last snapshot; one model "
        "is one key and one worker; pending predictions never expire",
    ),
)
