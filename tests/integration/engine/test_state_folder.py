"""Local files of a real runner on Apache Kafka: used, lost, damaged, foreign, in use, and on a disk that is full."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_support import LABELS, PREDICTIONS, PROFILES, make_settings, read_all
from structlog.testing import capture_logs

from brokers.kafka import KafkaBroker
from schemas.profiles import Heartbeat, ProfileRecord
from streams.control.view import ControlView
from streams.engine.errors import StateFolderError, StateFolderInUseError
from streams.engine.lag import LagReader
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.local.instance import _checksum
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, StageName

pytestmark = pytest.mark.kafka
T = 1_700_000_000


def settings_with(folder: Path | None, like: Settings) -> Settings:
    engine = like.engine.model_copy(update={"state_folder": folder})
    return like.model_copy(update={"engine": engine})


class World:
    def __init__(self, settings: Settings, publisher: Publisher, lag: LagReader) -> None:
        self.settings, self.publisher, self.lag = settings, publisher, lag
        self.names = TopicNames(settings)
        self.n_served = 0

    def runner(self, folder: Path | None) -> StageRunner:
        settings, view = settings_with(folder, self.settings), ControlView()
        return StageRunner(
            StageName.PROFILER,
            settings,
            self.names,
            lambda partition: ProfilerProcessor(partition=partition, settings=settings, control=view),
        )

    async def serve(self, n: int) -> None:
        """Predictions, and labels for the ones before them."""
        first, self.n_served = self.n_served, self.n_served + n
        for topic, start in ((PREDICTIONS, first), (LABELS, first - n)):
            made = [(f"id-{i}", self.event(topic, i)) for i in range(max(0, start), max(0, start + n))]
            await self.publisher.publish_many(
                Output(topic=topic, key=id_.encode(), value=json.dumps(event).encode()) for id_, event in made
            )

    def event(self, topic: str, i: int) -> dict[str, Any]:
        shared = {"prediction_id": f"id-{i}", "model_name": "m"}
        if topic == PREDICTIONS:
            said = {"prediction_label": "on", "model_version": "1", "features": {"x": 1.0}}
            return {**shared, **said, "prediction_timestamp": T + i}
        return {**shared, "label_timestamp": T + i + 60, "actual_label": "late"}

    async def consumed(self) -> None:
        ends = await self.lag.ends([PREDICTIONS, LABELS])
        await self.lag.wait_until_consumed(StageName.PROFILER, ends=ends, timeout_seconds=30)

    async def once(self, folder: Path | None, n: int) -> list[dict[str, Any]]:
        """One life of a worker that processes what is new; returns what it said about local files."""
        with capture_logs() as logs:
            runner = self.runner(folder)
            await runner.start()
            try:
                await runner.wait_until_ready()
                await self.serve(n)
                await self.consumed()
            finally:
                await runner.stop()
        return [entry for entry in logs if entry["event"].startswith("local_state")]

    async def totals(self) -> dict[str, int]:
        """Sums over partitions, as the last deltas and heartbeats say them."""
        latest: dict[int, tuple[int, dict[str, int]]] = {}
        for record in await read_all(self.settings, PROFILES):
            said = msgspec.msgpack.decode(record.value or b"", type=ProfileRecord)
            of = said.totals.get("production/m", {}) if isinstance(said, Heartbeat) else said.totals
            if of and said.seq >= latest.get(said.source_partition, (0, {}))[0]:
                latest[said.source_partition] = said.seq, of
        out: dict[str, int] = {}
        for _, of in latest.values():
            for name, n in of.items():
                out[name] = out.get(name, 0) + n
        return {name: n for name, n in out.items() if n}


async def with_world(kafka: KafkaBroker, body: Any) -> None:
    settings = make_settings(kafka.bootstrap_servers, state_memory_rows=50)
    names = TopicNames(settings)
    await ensure_topics(settings, names)
    async with Publisher(settings, names) as publisher, LagReader(settings, names) as lag:
        await body(World(settings, publisher, lag))


def events(said: list[dict[str, Any]]) -> list[str]:
    return [entry["event"] for entry in said]


def rewrite(folder: Path, part: str, name: str, value: str) -> None:
    """Change every manifest, with a checksum that fits."""
    for path in folder.glob("**/manifest.json"):
        written = json.loads(path.read_text())
        assert written[part][name]
        written[part][name] = value
        del written["checksum"]
        path.write_text(json.dumps({**written, "checksum": _checksum(written)}))


def test_files_are_used_or_dropped_and_nothing_is_lost(kafka: KafkaBroker, tmp_path: Path) -> None:
    folder = tmp_path / "state"

    async def body(world: World) -> None:
        assert await world.once(folder, 200) == []
        assert events(await world.once(folder, 200)) == ["local_state_used"] * 2
        old = shutil.copytree(folder, tmp_path / "old")
        shutil.rmtree(folder)
        assert await world.once(folder, 200) == []
        shutil.rmtree(folder)
        shutil.copytree(old, folder)
        assert events(await world.once(folder, 200)) == ["local_state_used"] * 2  # the rest comes from the changelog
        for path in folder.glob("**/*.run"):
            data = bytearray(path.read_bytes())
            data[-5] ^= 1
            path.write_bytes(data)
        said = await world.once(folder, 200)
        assert len(said) == 2
        assert all("is damaged: its section" in entry["reason"] for entry in said)
        rewrite(folder, "owner", "cluster_id", "elsewhere")
        said = await world.once(folder, 200)
        assert len(said) == 2
        assert all("is of cluster_id 'elsewhere'" in entry["reason"] for entry in said)
        rewrite(folder, "state", "life", "before a reset")
        said = await world.once(folder, 200)
        assert len(said) == 2
        assert all("an earlier life of the changelog" in entry["reason"] for entry in said)
        assert await world.totals() == {
            "predictions": 1400,
            "predictions_joined": 1200,
            "predictions_pending": 200,
            "labels": 1200,
            "labels_joined": 1200,
        }

    asyncio.run(with_world(kafka, body))


def test_a_full_disk_ends_the_worker_and_loses_nothing(kafka: KafkaBroker, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.once(tmp_path / "state", 100)
        runner, second = world.runner(tmp_path / "state"), world.runner(tmp_path / "state")
        await runner.start()
        await runner.wait_until_ready()
        with pytest.raises(StateFolderInUseError, match="every worker needs a PLUMBLINE_ENGINE_STATE_FOLDER"):
            await second.start()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
        try:
            await world.serve(600)
            with pytest.raises(StateFolderError, match=r"make room in engine\.state_folder"):
                async with asyncio.timeout(30):
                    await runner.wait()
            await runner.stop()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await world.once(None, 100)
        totals = await world.totals()
        assert totals == {
            "predictions": 800,
            "predictions_joined": 200,
            "predictions_pending": 600,
            "labels": 200,
            "labels_joined": 200,
        }

    asyncio.run(with_world(kafka, body))
