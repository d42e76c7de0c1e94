"""Scene: what was in force when a window closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.deployments import DeploymentEvent
from schemas.models import ModelSpec
from schemas.references import Reference
from streams.evaluator.state import Moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What was in force when a window closed: goes into each of its alerts."""

    spec: ModelSpec
    model_version: str
    window_start_ms: int
    window_end_ms: int
    n: int
    reference: Reference | None
    deployment: DeploymentEvent | None
    config_revision: str
    coverage: float | None
    moves: Moves
    """How much further than usual features stand from the reference (population stability index)."""
    incumbent_affected: bool | None = None
    offsets: Mapping[str, Mapping[str, tuple[int, int]]] | None = None
