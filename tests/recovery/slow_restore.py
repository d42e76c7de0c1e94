"""The worker's own process around a Processor that restores slowly.

A changelog that takes the product's Processors long enough would have millions of rows.
"""

from __future__ import annotations

import sys
import time

from streams.app import Parts, run_worker
from streams.commands.configuration import load_settings
from streams.control.view import ControlView
from streams.engine.processor import Staged
from streams.settings import StageName
from tests.integration.engine.engine_support import CountingProcessor


class SlowlyRestored(CountingProcessor):
    """Takes its time over every entry."""

    def restore(self, key: str, value: bytes | None) -> None:
        time.sleep(0.25)
        super().restore("total", value)


class NoExporter:
    """Takes commits and does nothing with them."""

    def committed(self, stage: StageName, partition: int, staged: Staged) -> None:
        """Take it."""

    def closed(self, stage: StageName, partition: int) -> None:
        """Forget nothing."""


def make_parts() -> Parts:
    return Parts(
        control=ControlView(),
        processors={StageName.PROFILER: SlowlyRestored},
        exporter=NoExporter(),
        render_status=str,
    )


if __name__ == "__main__":
    sys.exit(run_worker(load_settings(), [StageName.PROFILER], make_parts))
