"""Measures a trivial Processor end to end: `measure_engine.py [tansu|kafka|host:port] [n_events]`.

Publishes predictions of 888 bytes first, then starts one runner with twelve tasks and times it until its group has
committed them all; a second figure includes joining the group and restoring.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop
from engine_support import PREDICTIONS, PROFILES

from brokers import open_broker
from streams import telemetry
from streams.engine.lag import LagReader
from streams.engine.processor import Change, CommitContext, Output, Record, Staged
from streams.engine.publisher import Publisher
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName

VALUE = (b'{"features":{' + b",".join(b'"f%d":%d' % (i, i * 911) for i in range(20)) + b"}}").ljust(888)


class Trivial:
    """Counts records; one output and one change a commit."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.total = 0
        self._n = 0

    def restore(self, key: str, value: bytes | None) -> None:
        self.total = int(value or b"0")

    def restored(self) -> None: ...

    def add(self, topic: str, records: Sequence[Record]) -> None:
        self._n += len(records)

    def stage(self, context: CommitContext, *, heartbeat: bool) -> Staged:
        n, self._n = self._n, 0
        if not n:
            return Staged(overlay=0)
        return Staged(
            outputs=[Output(topic=PROFILES, key=b"k", value=b"%d" % n)],
            changes=[Change(key="total", value=b"%d" % (self.total + n))],
            overlay=n,
        )

    def apply(self, staged: Staged) -> None:
        self.total += staged.overlay


async def measure(bootstrap_servers: str, guarantee: str, n_events: int) -> str:
    settings = Settings.model_validate(
        {"kafka": {"bootstrap_servers": bootstrap_servers}, "engine": {"processing_guarantee": guarantee}}
    )
    names = TopicNames(settings)
    await ensure_topics(settings, names)
    async with Publisher(settings, names) as publisher, LagReader(settings, names) as lag:
        started = time.monotonic()
        await publisher.publish_many(
            Output(topic=PREDICTIONS, key=b"id-%032d" % i, value=VALUE) for i in range(n_events)
        )
        published = time.monotonic() - started
        ends = await lag.ends([PREDICTIONS])
        runner = StageRunner(StageName.PROFILER, settings, names, Trivial)
        started = time.monotonic()
        await runner.start()
        await runner.wait_until_ready()
        ready, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        await lag.wait_until_consumed(StageName.PROFILER, ends=ends, timeout_seconds=300)
        done, used_after = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        await runner.stop()
    cpu = used_after.ru_utime + used_after.ru_stime - used.ru_utime - used.ru_stime
    n_commits = telemetry.REGISTRY.get_sample_value("plumbline_commits_total", {"stage": "profiler"})
    return (
        f"{guarantee}: published {n_events / published:,.0f}/s; processed {n_events / (done - ready):,.0f} events/s"
        f" ({n_events / (done - started):,.0f} with join and restore), {cpu / n_events * 1e6:.2f} us CPU an event,"
        f" {n_commits:.0f} commits\n"
    )


def main() -> None:
    kind = sys.argv[1] if len(sys.argv) > 1 else "kafka"
    n_events = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    gc.set_threshold(50_000, 20, 100)
    with tempfile.TemporaryDirectory() as folder, open_broker(kind, Path(folder)) as broker:
        guarantee = "exactly_once" if broker.supports_transactions else "at_least_once"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            sys.stdout.write(loop.run(measure(broker.bootstrap_servers, guarantee, n_events)))


if __name__ == "__main__":
    main()
