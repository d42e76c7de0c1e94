"""The stages: which topics each one reads, partition by partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas import topics
from schemas.topics import Spread, Topic
from streams.settings import StageName


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of stream tasks; task p owns partition p of every input."""

    name: StageName
    inputs: tuple[Topic, ...]
    keeps_files: bool = False
    """Whether it has more state than memory may have room for."""

    @property
    def spread(self) -> Spread:
        """Which partition count its inputs, its changelog and so its tasks have."""
        return self.inputs[0].spread


PROFILER: Final = Stage(name=StageName.PROFILER, inputs=(topics.PREDICTIONS, topics.LABELS), keeps_files=True)
EVALUATOR: Final = Stage(name=StageName.EVALUATOR, inputs=(topics.PROFILES, topics.RESOURCES))
GOVERNOR: Final = Stage(
    name=StageName.GOVERNOR,
    inputs=(topics.ALERTS, topics.EVIDENCE, topics.INTERVENTIONS, topics.ROLLBACK_STATUS),
)

STAGES: Final = {stage.name: stage for stage in (PROFILER, EVALUATOR, GOVERNOR)}
