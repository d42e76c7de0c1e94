"""A worker of counting Processors, as a process: `counting_worker.py BOOTSTRAP GUARANTEE`."""

from __future__ import annotations

import sys

from engine_support import CountingProcessor, make_settings

from streams.app import Parts, run_worker
from streams.control.view import ControlView
from streams.engine.processor import Staged
from streams.settings import StageName

STAGES = [StageName.PROFILER, StageName.EVALUATOR]


class NoExporter:
    """Takes commits and does nothing with them."""

    def committed(self, stage: StageName, partition: int, staged: Staged) -> None:
        """Take it."""

    def closed(self, stage: StageName, partition: int) -> None:
        """Forget nothing."""


def make_parts() -> Parts:
    """Counting Processors for every stage, and a page of one line."""
    return Parts(
        control=ControlView(),
        processors=dict.fromkeys(STAGES, CountingProcessor),
        exporter=NoExporter(),
        render_status=lambda: "<p>counting</p>",
    )


if __name__ == "__main__":
    settings = make_settings(sys.argv[1], processing_guarantee=sys.argv[2])
    settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"connect_timeout_seconds": 2.0})})
    sys.exit(run_worker(settings, STAGES, make_parts))
