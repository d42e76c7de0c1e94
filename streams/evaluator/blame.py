"""Where the cause of an alert probably lies: a table of named rules, of which the first that applies decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from schemas.alerts import AlertEvidence, AlertStatus
from schemas.monitors import Monitor
from schemas.signals import INPUT_DRIFT_SIGNALS, Signal
from streams.evaluator.scene import Scene
from streams.evaluator.state import AlertState

Cause = Literal["data", "model", "pipeline", "label", "unknown"]

BROKEN_RECORD_SIGNALS: Final = frozenset(
    {Signal.TYPE_VIOLATION_RATIO, Signal.SCHEMA_VIOLATION_RATIO, Signal.MISSING_RATIO}
)
LABEL_SIGNALS: Final = frozenset({Signal.LABEL_COVERAGE, Signal.LABEL_DELAY_P95})


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameRule:
    """A named rule: where it applies, and the cause that it gives."""

    name: str
    cause: Cause
    why: str
    """For a person."""
    applies: Callable[[Monitor, Scene], bool]


BLAME_RULES: Final[tuple[BlameRule, ...]] = (
    BlameRule(
        name="broken_records", cause="pipeline",
        why="values are missing or of another type than agreed, which no model and no world does",
        applies=lambda monitor, scene: monitor.signal in BROKEN_RECORD_SIGNALS,
    ),
    BlameRule(
        name="labels_late", cause="label",
        why="the labels themselves are late or missing: nothing is said about the model",
        applies=lambda monitor, scene: monitor.signal in LABEL_SIGNALS,
    ),
    BlameRule(
        name="inputs_drifted", cause="data",
        why="what moved are inputs or predictions, and that alone is no harm",
        applies=lambda monitor, scene: monitor.signal in INPUT_DRIFT_SIGNALS,
    ),
    BlameRule(
        name="worse_than_champion", cause="model",
        why="the candidate does worse than the champion over the same time",
        applies=lambda monitor, scene: monitor.signal is Signal.CANARY_HARM,
    ),
    BlameRule(
        name="other_version_too", cause="data",
        why="another version that serves at the same time is affected as well, so it is not this one's doing",
        applies=lambda monitor, scene: scene.incumbent_affected is True,
    ),
    BlameRule(
        name="nothing_tells", cause="unknown",
        why="a rate that has risen does not say by itself why",
        applies=lambda monitor, scene: True,
    ),
)  # fmt: skip


def blame(monitor: Monitor, scene: Scene) -> BlameRule:
    """The first rule that applies to an alert of `monitor`; the last one always does."""
    return next(rule for rule in BLAME_RULES if rule.applies(monitor, scene))


def is_other_affected(alerts: Iterable[AlertState], monitor: Monitor, scene: Scene) -> bool:
    """Whether the same monitor's alert fires for another version that has data in the scene's window or up to it.

    Versions close one after the other, so of two that fail at once the first one says so only when it alarms again.
    """
    return any(
        alert.monitor_id == monitor.monitor_id
        and alert.model_version != scene.model_version
        and alert.status == AlertStatus.FIRING.value
        and alert.last_data_ms >= scene.window_start_ms
        for alert in alerts
    )


def with_other_versions(
    alerts: Iterable[AlertState], monitor: Monitor, scene: Scene, evidence: AlertEvidence | None
) -> tuple[Scene, AlertEvidence | None]:
    """The scene and the evidence of a window, which say so where another version is affected too."""
    if not is_other_affected(alerts, monitor, scene):
        return scene, evidence
    told = None if evidence is None else evidence.model_copy(update={"incumbent_also_affected": True})
    return replace(scene, incumbent_affected=True), told
