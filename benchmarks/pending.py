"""Memory, disk and changelog of predictions whose labels are still to come: from one million to ten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import events, worker
from benchmarks.measuring import usage
from benchmarks.session import Session
from schemas import topics
from schemas.models import ModelSpec
from streams.engine.lag import LagReader
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName

MILLIONS: Final = (1.0, 2.0, 5.0, 10.0)
_PER_SECOND: Final = 5_000
"""Predictions in a second of event time: ten million are half an hour, far within any horizon."""
_TURN: Final = 100_000
_READY_SECONDS: Final = 60.0
_CONSUMED_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A worker that holds so many predictions."""

    n_pending: int
    resident_megabytes: float
    disk_bytes: float
    """Local state files, per pending prediction."""
    changelog_bytes: float
    """The changelog's segments on the broker, per pending prediction; compaction has not run."""


async def measure(session: Session, *, millions: tuple[float, ...] = MILLIONS) -> list[Pending]:
    """Send predictions without labels, and read the meters whenever the worker has committed so many."""
    folder = session.folder / "state"
    settings = session.fresh(None, **{"engine": worker.THROUGHPUT, **_state_folder(folder)})
    await session.apply(settings, specs=[_spec()])
    rows, sent = [], 0
    async with (
        worker.child(settings, (StageName.PROFILER,)) as running,
        LagReader(settings, TopicNames(settings)) as lag,
        Publisher(settings) as publisher,
    ):
        await running.heard(running.listen("worker_started"), _READY_SECONDS)
        for target in (round(1e6 * each) for each in millions):
            while sent < target:
                n = min(_TURN, target - sent)
                await publisher.publish_many(_predictions(sent, n))
                sent += n
            ends = await lag.ends([topics.PREDICTIONS.name])
            await lag.wait_until_consumed(StageName.PROFILER, ends=ends, timeout_seconds=_CONSUMED_SECONDS)
            running.check()
            changelog = session.topic_bytes(TopicNames(settings).changelog(StageName.PROFILER)) or 0
            rows.append(
                Pending(
                    n_pending=sent,
                    resident_megabytes=usage(running.pid).resident_megabytes,
                    disk_bytes=_size(folder) / sent,
                    changelog_bytes=changelog / sent,
                )
            )
    return rows


def _spec() -> ModelSpec:
    return ModelSpec(model_name="bench", positive_class="1", cell=events.CELL, maturity=events.MATURITY)


def _predictions(first: int, n: int) -> Iterator[Output]:
    """Small ones: what a pending row holds does not depend on how many features came with it."""
    for i in range(first, first + n):
        key = f"{(i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:024x}"
        value = (
            f'{{"prediction_id":"{key}","model_name":"bench","model_version":"7","prediction_timestamp":'
            f'{events.START + i / _PER_SECOND:.3f},"prediction_label":{i & 1},"prediction_score":0.{i % 997:03d}}}'
        )
        yield Output(topic=topics.PREDICTIONS.name, key=key.encode(), value=value.encode())


def _state_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The setting that says where local state lies, by whatever group has it; none where there are no local files."""
    return {
        group: {name: str(folder)}
        for group, field in Settings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {})
        if name in {"folder", "state_folder", "state_dir", "state_path"}
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0
