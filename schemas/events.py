"""The two hot events, and the watermark: what serving systems and labelling pipelines produce."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

PREDICTION_TYPE = "plumbline.predictions.v1"
LABEL_TYPE = "plumbline.labels.v1"
WATERMARK_TYPE = "plumbline.watermark.v1"

DEFAULT_ENVIRONMENT = "production"

EventTime = float | datetime
"""Seconds since the epoch, or RFC 3339 with a zone."""


class PredictionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prediction as it was served. Keyed by `prediction_id`."""

    prediction_id: str
    model_name: str
    model_version: str
    prediction_timestamp: EventTime
    environment: str = DEFAULT_ENVIRONMENT
    prediction_label: str | int | bool | None = None
    """The predicted class (classification)."""
    prediction_value: float | None = None
    """The predicted value (regression)."""
    prediction_score: float | dict[str, float] | None = None
    """Score of the positive class in [0, 1], or a score per class."""
    features: dict[str, Any] = {}
    """Inputs as the model received them: numbers, strings, booleans, null for missing."""
    tags: dict[str, str | int | bool | None] = {}
    """Segments and groups that are no inputs."""
    shap_values: dict[str, float] | None = None
    latency_seconds: float | None = None
    cost_usd: float | None = None
    error: str | None = None
    """Why the prediction failed; then there is neither label nor value."""
    variant: str | None = None
    backfill: bool = False
    """Old data replayed: counted, never alerted on."""


class LabelEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The truth about one prediction. Keyed by `prediction_id`."""

    prediction_id: str
    model_name: str
    label_timestamp: EventTime
    environment: str = DEFAULT_ENVIRONMENT
    actual_label: str | int | bool | None = None
    actual_value: float | None = None
    label_source: str | None = None
    revision: int = 0
    """The higher one wins."""
    retracted: bool = False
    """The label was wrong and there is none now."""


class WatermarkEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A producer's word that nothing before `not_before` will follow; sent to every partition of a topic.

    Its record carries the header `ce_type` = `plumbline.watermark.v1`.
    """

    model_name: str
    not_before: EventTime
    environment: str = DEFAULT_ENVIRONMENT
