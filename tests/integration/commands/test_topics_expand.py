"""Growing the partition count of a live application on Apache Kafka: nothing pending is lost, nothing counted twice."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from brokers.kafka import KafkaBroker
from schemas import topics
from schemas.models import ModelSpec
from schemas.profiles import Heartbeat, ProfileDelta, ProfileRecord, Totals
from streams.commands import expand as expansion
from streams.commands.console import CommandError, UsageError
from streams.commands.expand import expand
from streams.commands.reset import reset
from streams.control.blocks import unpack_blocks
from streams.engine.errors import TopicLayoutError
from streams.engine.groups import GroupInUseError
from streams.engine.lag import LagReader
from streams.engine.processor import EVERY_PARTITION, Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, describe_topics, ensure_topics
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import make_settings, read_all

pytestmark = pytest.mark.kafka
P, L = topics.PREDICTIONS.name, topics.LABELS.name
KEY = "production/m"


def with_partitions(settings: Settings, n: int) -> Settings:
    return settings.model_copy(update={"topics": settings.topics.model_copy(update={"events_partitions": n})})


def environment(settings: Settings) -> dict[str, str]:
    said = {}
    for group in ("kafka", "topics", "engine", "web"):
        values = getattr(settings, group).model_dump(mode="json", exclude_defaults=True)
        said |= {
            f"PLUMBLINE_{group}_{name}".upper(): json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in values.items()
        }
    return said


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker of every stage, as a process; ended in order."""
    command = [str(Path(sys.executable).with_name("plumbline")), "worker"]
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=environment(settings), stderr=file)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def event(topic: str, id_: str, **fields: Any) -> Output:
    value = {"prediction_id": id_, "model_name": "m", **fields}
    return Output(topic=topic, key=id_.encode(), value=json.dumps(value).encode())


def predictions(numbers: Sequence[int], start: float) -> list[Output]:
    return [
        event(P, f"id-{i}", model_version=str(i % 2), prediction_timestamp=start + i / 10, prediction_label="on")
        for i in numbers
    ]


def labels(numbers: Sequence[int], start: float) -> list[Output]:
    return [
        event(L, f"id-{i}", label_timestamp=start + 100 + i / 10, actual_label=("on", "late")[i % 3 == 0])
        for i in numbers
    ]


async def consumed(settings: Settings) -> None:
    async with LagReader(settings) as lag:
        await lag.wait_until_consumed(StageName.PROFILER, timeout_seconds=40)


async def said(settings: Settings) -> tuple[Counter[tuple[str, int]], dict[int, Heartbeat], list[ProfileDelta]]:
    """Counts by (version, slot) over everything; the last heartbeat of every source; all deltas."""
    counts: Counter[tuple[str, int]] = Counter()
    beats: dict[int, Heartbeat] = {}
    deltas = []
    for record in await read_all(settings, topics.PROFILES.name):
        profile = msgspec.msgpack.decode(record.value or b"", type=ProfileRecord)
        if isinstance(profile, Heartbeat):
            beats[profile.source_partition] = profile
            continue
        deltas.append(profile)
        for part in profile.parts:
            for block in unpack_blocks(part.columns):
                if block.segment == "__all__":
                    for slot, n in zip(block.slots.tolist(), block.counts.tolist(), strict=True):
                        counts[block.model_version, slot] += n
    return Counter({key: n for key, n in counts.items() if n}), beats, deltas


async def totals_of(settings: Settings, n_sources: int, until: Any) -> dict[str, int]:
    """Totals over all sources, once `until` holds of them."""
    deadline = time.monotonic() + 30
    while True:
        _, beats, _ = await said(settings)
        sums: Counter[str] = Counter()
        for beat in beats.values():
            sums.update(beat.totals.get(KEY, {}))
        if len(beats) == n_sources and until(sums):
            return dict(sums)
        assert time.monotonic() < deadline, (len(beats), sums)


async def interrupted(monkeypatch: pytest.MonkeyPatch, old: Settings, new: Settings, n_new: int) -> None:
    """Begin it twice, and break off before the state is written, and before the last topic grows."""
    real = expansion.grow

    async def break_off(*_: object) -> None:
        msg = "broken off"
        raise RuntimeError(msg)

    async def grow_all_but_predictions(admin: Any, settings: Settings, topic: str, n: int) -> None:
        await (break_off() if topic.endswith(P) else real(admin, settings, topic, n))

    for name, replacement in (("write_state", break_off), ("grow", grow_all_but_predictions)):
        with monkeypatch.context() as patch:
            patch.setattr(expansion, name, replacement)
            with pytest.raises(RuntimeError, match="broken off"):
                await expand(old, n_new, quiet_seconds=0)
        for settings in (old, new):  # half grown, no worker starts, whatever count it is told
            with pytest.raises(TopicLayoutError, match="plumbline topics expand"):
                await ensure_topics(settings)


async def test_an_application_grows_without_losing_what_waits(
    kafka: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_old, n_new, n = 2, 5, 600
    base = make_settings(kafka.bootstrap_servers, session_timeout_seconds=2.0)
    old, new = with_partitions(base, n_old), with_partitions(base, n_new)
    start = time.time() - 1_000
    log = tmp_path / "worker.log"
    await ensure_topics(old)
    spec = ModelSpec(model_name="m", positive_class="late")
    async with Publisher(old) as publisher:
        await publisher.publish(Output(topic=topics.MODELS.name, key=KEY.encode(), value=spec.to_bytes()))
        # A third is labelled before; a third of the labels wait for their prediction; the rest is pending.
        await publisher.publish_many([*predictions(range(n), start), *labels(range(0, n, 3), start)])
        await publisher.publish_many(labels(range(n, n + 90), start))
    with worker(old, log):
        await consumed(old)
        with pytest.raises(GroupInUseError, match="stop every worker"):
            await expand(old, n_new, quiet_seconds=0)
    before, _, _ = await said(old)
    with pytest.raises(UsageError, match="expected at most the new count"):
        await expand(old, 1, quiet_seconds=0)
    await expand(old, n_new, dry_run=True, quiet_seconds=0)
    assert all(each.fits for each in await describe_topics(old))
    async with Publisher(old) as publisher:
        await publisher.publish(predictions([n], start)[0])
        with pytest.raises(CommandError, match="1 records that were not read yet"):
            await expand(old, n_new, quiet_seconds=0)
    with worker(old, log):
        await consumed(old)
    await interrupted(monkeypatch, old, new, n_new)
    await expand(old, n_new, quiet_seconds=0)
    assert all(each.fits for each in await describe_topics(new))
    await expand(old, n_new, quiet_seconds=0)  # once more: nothing to do
    with pytest.raises(TopicLayoutError, match="plumbline topics expand"):
        await ensure_topics(old)
    async with Publisher(new) as publisher:
        rest = [i for i in range(n + 1) if i % 3]
        await publisher.publish_many([*labels(rest, start), *predictions(range(n + 1, n + 90), start)])
    with worker(new, log):
        await consumed(new)
        sums = await totals_of(new, n_new, lambda found: found["predictions"] == n + 90)
    assert sums["predictions"] == sums["predictions_joined"] == n + 90, sums
    assert sums["labels"] == sums["labels_joined"] == n + 90, sums
    assert sums[Totals.PREDICTIONS] == sum(sums[name] for name in Totals.PREDICTION_OUTCOMES)
    counts, _, deltas = await said(new)
    assert {version: counts[version, 0] for version in "01"} == {"0": (n + 90) // 2, "1": (n + 90) // 2}
    assert before[("0", 0)] == n // 2
    seqs: dict[int, list[int]] = {}
    for delta in deltas:
        seqs.setdefault(delta.source_partition, []).append(delta.seq)
    assert set(seqs) == set(range(n_new))
    assert all(found == sorted(set(found)) for found in seqs.values())
    assert "Traceback" not in log.read_text()


async def test_what_the_topics_no_longer_hold_is_refused(kafka: KafkaBroker, tmp_path: Path) -> None:
    from aiokafka import TopicPartition
    from aiokafka.admin import RecordsToDelete

    from streams.engine.clients import open_admin

    settings = make_settings(kafka.bootstrap_servers, session_timeout_seconds=2.0)
    await ensure_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish_many(predictions(range(50), time.time() - 1_000))
    with worker(settings, tmp_path / "worker.log"):
        await consumed(settings)
    admin = await open_admin(settings)
    in_use = TopicNames(settings).in_use(P)
    async with LagReader(settings) as lag:
        ends = await lag.ends([P])
    await admin.delete_records(
        {TopicPartition(in_use, p): RecordsToDelete(before_offset=end) for (_, p), end in ends.items()}
    )
    await admin.close()
    with pytest.raises(CommandError, match=r"50 predictions or labels that still wait .*retention\.ms"):
        await expand(settings, 4, quiet_seconds=0)
    assert all(each.fits for each in await describe_topics(settings))


async def test_reset_forgets_an_application(
    kafka: KafkaBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(kafka.bootstrap_servers, session_timeout_seconds=2.0)
    own = settings.engine.application_id
    log = tmp_path / "worker.log"
    await ensure_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish_many(predictions(range(40), time.time() - 1_000))
        mark = {"model_name": "m", "not_before": time.time() - 900}
        headers = (("ce_type", b"plumbline.watermark.v1"),)
        value = json.dumps(mark).encode()
        await publisher.publish(Output(topic=P, key=None, value=value, headers=headers, partition=EVERY_PARTITION))
    with worker(settings, log):
        await consumed(settings)
        await reset(settings, own, dry_run=True)
        with pytest.raises(GroupInUseError):
            await reset(settings, own)
    with pytest.raises(UsageError, match=re.escape(f"expected {own!r}")):
        await reset(settings, "plumbline")
    asked: list[str] = []
    await reset(settings, own, confirm=lambda question: bool(asked.append(question)))
    assert len(asked) == 1
    assert all(each.exists for each in await describe_topics(settings))
    await reset(settings, own)
    shown = capsys.readouterr().err
    assert f"offsets of group {own}-profiler" in shown
    assert f"topic {own}-profiler-changelog, about" in shown
    described = await describe_topics(settings)
    assert {each.name for each in described if not each.exists} == {
        f"{own}-{stage}-changelog" for stage in ("profiler", "evaluator", "governor")
    }
    assert await read_all(settings, topics.PROFILES.name) == []
    with worker(settings, log):  # and it begins again
        await consumed(settings)
        sums = await totals_of(settings, 2, lambda found: found["predictions"] >= 40)
    assert sums["predictions"] == sums["predictions_pending"] == 40
    await reset(settings, own)
    await reset(settings, own)
    assert "There is nothing of application" in capsys.readouterr().err
