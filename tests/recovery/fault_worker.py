"""A stage that stops dead at one point of a commit: `python -m tests.recovery.fault_worker SETTINGS POINT`.

Its first two commits go through; at the point of a later one it says so on standard output, and holds until its
parent kills it.
"""

from __future__ import annotations

import asyncio
import sys

from streams import logs
from streams.engine.runner import StageRunner
from streams.engine.steps import FaultPoint, Moment, Step
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from tests.integration.engine.engine_support import CountingProcessor

N_WHOLE_COMMITS = 2
_FIRST = FaultPoint(Moment.BEFORE, Step.OUTPUTS)


class HoldAt:
    """Holds who comes to a point, from the third commit on."""

    def __init__(self, point: str) -> None:
        self._point = point
        self._n_commits = 0
        self._said = False

    async def __call__(self, point: FaultPoint) -> None:
        self._n_commits += point == _FIRST
        if str(point) == self._point and self._n_commits > N_WHOLE_COMMITS and not self._said:
            self._said = True
            sys.stdout.write(f"{point}\n")
            sys.stdout.flush()
        if self._said:  # all stand still with the one that came there
            await asyncio.Event().wait()


async def run(settings: Settings, point: str) -> None:
    names = TopicNames(settings)
    runner = StageRunner(StageName.PROFILER, settings, names, CountingProcessor, on_step=HoldAt(point))
    await runner.start()
    await runner.wait()


if __name__ == "__main__":
    chosen = Settings.model_validate_json(sys.argv[1])
    logs.configure(chosen.log)
    asyncio.run(run(chosen, sys.argv[2]))
