"""A stage whose Processor blocks the whole process: `python -m tests.recovery.slow_worker SETTINGS SECONDS`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from streams import logs
from streams.engine.processor import Record
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import CountingProcessor


class Slow(CountingProcessor):
    """Takes this long over every chunk; nothing else runs meanwhile, heartbeats to the group least of all."""

    seconds = 0.0

    def add(self, topic: str, records: Sequence[Record]) -> None:
        time.sleep(self.seconds)
        super().add(topic, records)


async def run(settings: Settings) -> None:
    runner = StageRunner(StageName.PROFILER, settings, TopicNames(settings), Slow)
    await runner.start()
    await runner.wait()


if __name__ == "__main__":
    chosen = Settings.model_validate_json(sys.argv[1])
    Slow.seconds = float(sys.argv[2])
    logs.configure(chosen.log)
    asyncio.run(run(chosen))
