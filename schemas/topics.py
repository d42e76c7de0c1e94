"""The topic table: every topic's name, key, retention and partition count, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000
MIB: Final = 1_048_576


class Spread(StrEnum):
    """Which partition count a topic takes."""

    EVENTS = "events"
    """One count for predictions and labels, which are joined partition by partition."""
    MODELS = "models"
    """One count for everything that is keyed by environment and model."""
    ONE = "one"
    """Decisions and control events: a single partition, so a single order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One row of the topic table; `retention_ms` is None where everything is kept."""

    name: str
    key: str
    spread: Spread
    retention_ms: int | None
    purpose: str
    max_message_bytes: int = MIB

    def config(self) -> dict[str, str]:
        """Broker settings of this topic, as the admin API takes them.

        Every topic is LogAppendTime: retention must not depend on event time, which lives in the payload.
        """
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(-1 if self.retention_ms is None else self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }


def _topic(name: str, key: str, spread: Spread, days: int | None, purpose: str, mib: int = 1) -> Topic:
    retention = None if days is None else days * DAY_MS
    return Topic(
        name=name,
        key=key,
        spread=spread,
        retention_ms=retention,
        purpose=purpose,
        max_message_bytes=mib * MIB,
    )


_MODEL: Final = "environment/model"

PREDICTIONS: Final = _topic("ml.predictions.v1", "prediction_id", Spread.EVENTS, 7, "predictions as served")
LABELS: Final = _topic("ml.labels.v1", "prediction_id", Spread.EVENTS, 60, "the truth, late")
DEPLOYMENTS: Final = _topic("ml.deployments.v1", f"{_MODEL}/deployment_id", Spread.ONE, None, "which version serves")
VALIDATIONS: Final = _topic("ml.validations.v1", f"{_MODEL}/version/suite", Spread.ONE, None, "what CI ran before")
RESOURCES: Final = _topic("ml.resources.v1", _MODEL, Spread.MODELS, 7, "infrastructure and cost of serving")
MODELS: Final = _topic("ml.models.v1", _MODEL, Spread.ONE, None, "ModelSpec")
MONITORS: Final = _topic("ml.monitors.v1", f"{_MODEL}/monitor_id", Spread.ONE, None, "what is watched, and how")
REFERENCES: Final = _topic("ml.references.v1", "reference_id", Spread.ONE, None, "what current data is held against", 8)
PROFILES: Final = _topic("ml.profiles.v1", _MODEL, Spread.MODELS, 7, "internal: counts from stage 1 to stage 2", 8)
METRICS: Final = _topic("ml.metrics.v1", _MODEL, Spread.MODELS, 90, "closed windows: statistic, threshold, state", 4)
ALERTS: Final = _topic("ml.alerts.v1", _MODEL, Spread.ONE, 90, "alerts and their lifecycle")
EVIDENCE: Final = _topic("ml.evidence.v1", _MODEL, Spread.ONE, 365, "evidence for and against a rollback")
INCIDENTS: Final = _topic("ml.incidents.v1", "incident_id", Spread.ONE, 365, "alerts that have one cause")
INTERVENTIONS: Final = _topic("ml.interventions.v1", _MODEL, Spread.ONE, 365, "what people and upstream say")
ROLLBACKS: Final = _topic("ml.rollbacks.v1", _MODEL, Spread.ONE, 365, "rollback commands, from the governor alone")
ROLLBACK_STATUS: Final = _topic("ml.rollback-status.v1", _MODEL, Spread.ONE, 365, "what executors answer")
AUDIT: Final = _topic("ml.audit.v1", _MODEL, Spread.ONE, 400, "hash-chained record of every decision")
DEAD_LETTERS: Final = _topic("ml.dead-letters.v1", "original key", Spread.EVENTS, 14, "records that cannot be read", 4)

TOPICS: Final[tuple[Topic, ...]] = (
    PREDICTIONS, LABELS, DEPLOYMENTS, VALIDATIONS, RESOURCES, MODELS, MONITORS, REFERENCES, PROFILES, METRICS,
    ALERTS, EVIDENCE, INCIDENTS, INTERVENTIONS, ROLLBACKS, ROLLBACK_STATUS, AUDIT, DEAD_LETTERS,
)  # fmt: skip

CONTROL_TOPICS: Final[tuple[Topic, ...]] = (MODELS, MONITORS, REFERENCES, DEPLOYMENTS, VALIDATIONS)
"""Keep everything and are read by every worker from the start, so that what was in force can be replayed."""
