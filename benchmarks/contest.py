"""The contest: worker, ceiling and contenders on the same broker and the same events, in alternating order."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks import ceiling, worker
from benchmarks.children import FIRST, Child
from benchmarks.contenders import CONTENDERS, Contender, interpreter
from benchmarks.measuring import Measurement, Spread, Usage, between, usage
from benchmarks.session import Recording, Session

PLUMBLINE: Final = "plumbline"
CEILING: Final = "ceiling"
SAVE_EVERY: Final = 1_000
_FIRST_SECONDS: Final = 60.0
_RESULT_SECONDS: Final = 150.0
_N_RESULT_PARTITIONS: Final = 1
_GRACE_SECONDS: Final = 1.0


class CountError(RuntimeError):
    """A row whose count is not what was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table, over all rounds."""

    key: str
    title: str
    guarantee: str
    differs: str
    n_events: int
    rate: Spread
    """Events a second, by the wall clock."""
    cpu_us: Spread
    """CPU microseconds per event."""
    resident_megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """All rows, and what Plumbline is beside each of the others."""

    rows: list[Row]
    ratios: dict[str, float | None]
    """`ceiling`: ceiling's CPU time per event / ours; contenders: our events/s / theirs; None where one is missing."""
    cpu_ratios: dict[str, float | None]
    """CPU time per event, theirs / ours."""
    prediction_bytes: float | None
    """On the broker's disk, as its producer compresses it; as everything that is in bytes here."""
    label_bytes: float | None
    delta_bytes: float | None
    """Of a profile delta: one commit, one partition, one model."""
    missing: dict[str, str] = field(default_factory=dict)
    """Contenders that could not run, and why."""


async def hold(
    session: Session, *, n_pairs: int, rounds: int, n_contender_pairs: int | None = None, at_once: bool = False
) -> Contest:
    """Run all rows for some rounds, every second one backwards.

    Parameters
    ----------
    session
        The broker.
    n_pairs
        Predictions, and as many labels, for worker and ceiling.
    rounds
        How often.
    n_contender_pairs
        Instead of each contender's own number.
    at_once
        All rows of a round beside each other: to see that they run, not how fast.
    """
    python = interpreter()
    present = CONTENDERS if python is not None else ()
    ours = await session.record(n_pairs)
    recordings = {PLUMBLINE: ours, CEILING: ours}
    for contender in present:
        recordings[contender.name] = await session.record(n_contender_pairs or contender.n_pairs)
    order = [CEILING, PLUMBLINE, *(contender.name for contender in present)]
    found: dict[str, list[Measurement]] = {key: [] for key in order}
    runs: list[worker.WorkerRun] = []

    async def measure(key: str) -> None:
        if key == PLUMBLINE:
            runs.append(await worker.measure(session, recordings[key]))
            found[key].append(runs[-1].measurement)
        elif key == CEILING:
            found[key].append(await ceiling.measure(session, recordings[key]))
        else:
            contender = next(each for each in present if each.name == key)
            found[key].append(await measure_contender(session, contender, recordings[key], python or ""))

    for turn in range(rounds):
        if at_once:
            await asyncio.gather(*map(measure, order))
            continue
        for key in order if turn % 2 == 0 else reversed(order):
            await measure(key)
    why = "no environment of their own: `make bench` installs the extra `bench` into build/bench/venv"
    contest = summed_up(found, {} if present else {contender.name: why for contender in CONTENDERS})
    return replace(
        contest,
        prediction_bytes=_each(session.topic_bytes(ours.predictions), ours.n_pairs),
        label_bytes=_each(session.topic_bytes(ours.labels), ours.n_pairs),
        delta_bytes=_each(session.topic_bytes(runs[-1].profiles), runs[-1].n_deltas),
    )


def _each(n_bytes: int | None, n: int) -> float | None:
    return None if n_bytes is None else n_bytes / n


async def measure_contender(session: Session, contender: Contender, recording: Recording, python: str) -> Measurement:
    """Run a contender from its first record until it has told of every pair; what it commits after that is free."""
    name = session.fresh().engine.application_id
    folder = session.folder / name
    folder.mkdir(parents=True)
    results = f"{name}.results"
    await session.create(results, _N_RESULT_PARTITIONS)
    for table in contender.tables:
        await session.create(f"{name}-{table}-changelog")
    program = f"benchmarks.contenders.{contender.name}"
    variables = {
        "BENCH_BROKER": session.bootstrap_servers,
        "BENCH_PREDICTIONS": recording.predictions,
        "BENCH_LABELS": recording.labels,
        "BENCH_RESULTS": results,
        "BENCH_NAME": name,
        "BENCH_FOLDER": str(folder),
        "BENCH_SAVE_EVERY": str(min(SAVE_EVERY, recording.n_pairs)),
    }
    if contender.name == "bytewax":
        await _prepare_recovery(python, folder)
    command = [python, *contender.arguments(program, str(folder))]
    async with Child(command, environment=variables, grace_seconds=_GRACE_SECONDS) as child:
        begin = await child.heard(child.listen(FIRST), _FIRST_SECONDS)
        end = await _told(session, child, results, recording.n_pairs)
    shutil.rmtree(folder)
    return between(contender.title, recording.n_events, begin, end)


async def _prepare_recovery(python: str, folder: Path) -> None:
    """Create Bytewax's recovery partitions, as its documentation says to, before the first run."""
    made = await asyncio.create_subprocess_exec(python, "-m", "bytewax.recovery", str(folder), "1")
    if await made.wait() != 0:
        msg = f"python -m bytewax.recovery ended with code {made.returncode}: expected 0"
        raise CountError(msg)


async def _told(session: Session, child: Child, topic: str, n_pairs: int) -> Usage:
    """Wait until the results say that every pair was joined; returns the meters at that moment."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=session.bootstrap_servers, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    newest: dict[bytes, Any] = {}
    try:
        consumer.assign([TopicPartition(topic, each) for each in range(_N_RESULT_PARTITIONS)])
        async with asyncio.timeout(_RESULT_SECONDS):
            while True:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    newest.update((record.key, msgspec.json.decode(record.value)) for record in records)
                n_told = sum(result["n_pairs"] for result in newest.values())
                if n_told == n_pairs:
                    return usage(child.pid)
                child.check()
    except TimeoutError:
        msg = (
            f"the contender told of {n_told} pairs within {_RESULT_SECONDS:g} s: expected {n_pairs};"
            f" its last lines:\n{child.tail}"
        )
        raise CountError(msg) from None
    finally:
        await consumer.stop()


def summed_up(found: dict[str, list[Measurement]], missing: dict[str, str]) -> Contest:
    """Make the table of all rounds."""
    rows = [_row(key, runs) for key, runs in found.items()]
    by_key = {row.key: row for row in rows}
    ours = by_key[PLUMBLINE]
    ratios: dict[str, float | None] = {}
    cpu_ratios: dict[str, float | None] = {}
    for contender in CONTENDERS:
        row = by_key.get(contender.name)
        ratios[contender.name] = None if row is None else ours.rate.median / row.rate.median
        cpu_ratios[contender.name] = None if row is None else row.cpu_us.median / ours.cpu_us.median
    ratios[CEILING] = cpu_ratios[CEILING] = by_key[CEILING].cpu_us.median / ours.cpu_us.median
    return Contest(
        rows=rows,
        ratios=ratios,
        cpu_ratios=cpu_ratios,
        prediction_bytes=None,
        label_bytes=None,
        delta_bytes=None,
        missing=missing,
    )


def _row(key: str, runs: Sequence[Measurement]) -> Row:
    contender = next((each for each in CONTENDERS if each.name == key), None)
    guarantee, differs = (
        ("exactly once, profiler and evaluator", "")
        if contender is None
        else (
            contender.guarantee,
            contender.differs,
        )
    )
    if key == CEILING:
        guarantee, differs = "none", "fetches and decodes, and drops it"
    return Row(
        key=key,
        title=runs[0].name,
        guarantee=guarantee,
        differs=differs,
        n_events=runs[0].n_events,
        rate=Spread.of([run.rate for run in runs]),
        cpu_us=Spread.of([run.cpu_us for run in runs]),
        resident_megabytes=max(run.resident_megabytes for run in runs),
    )
