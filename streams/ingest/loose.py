"""The slow way of one prediction: what the fast path refused is looked at field by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.events import DEFAULT_ENVIRONMENT
from streams.ingest.chunk import require, text_of, time_of
from streams.ingest.rejection import wrong
from streams.ingest.schema import LARGEST_INT, PredictionSchema, as_float, is_number

REQUIRED: Final = ("prediction_id", "model_name", "model_version", "prediction_timestamp")


@dataclass(slots=True)
class Findings:
    """What a record that was accepted still had wrong."""

    types: list[str | None] = field(default_factory=list)
    """Features whose value had the wrong type; None for a field that is no feature."""
    schema: bool = False
    """There was a field that nobody knows."""


def read_prediction(parsed: dict[str, Any], schema_of: Callable[[str, str], PredictionSchema]) -> tuple[Any, Findings]:
    """Make the model's struct from parsed JSON.

    Parameters
    ----------
    parsed
        The event.
    schema_of
        From environment and model name to the schema; may refuse the model.

    Raises
    ------
    RejectedError
        Where the envelope is wrong. A feature never is a reason: it becomes a finding.
    """
    require(parsed, REQUIRED)
    fields: dict[str, Any] = {name: text_of(parsed, name) for name in ("prediction_id", "model_version")}
    fields["environment"] = text_of(parsed, "environment", DEFAULT_ENVIRONMENT)
    fields["prediction_timestamp"] = time_of(parsed, "prediction_timestamp")
    for name, (expected, check) in _OPTIONAL.items():
        value = parsed.get(name)
        if value is None:
            continue
        if not check(value):
            raise wrong(name, value, expected)
        fields[name] = value
    schema = schema_of(fields["environment"], text_of(parsed, "model_name"))
    findings = Findings(schema=not parsed.keys() <= _KNOWN)
    fields["features"] = schema.make_features(_features(_mapping(parsed, "features"), schema, findings))
    fields["tags"] = _tags(_mapping(parsed, "tags"), findings)
    return schema.struct(**fields), findings


def is_finite(value: object) -> bool:
    """Whether a raw value is a number that float64 can hold."""
    return is_number(value) and abs(as_float(value)) < math.inf


def is_category(value: object) -> bool:
    """Whether a raw value names a category: a text, a boolean or an integer."""
    return isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) <= LARGEST_INT)


def _is_score(value: object) -> bool:
    return is_finite(value) or (isinstance(value, dict) and all(map(is_finite, value.values())))


_OPTIONAL: Final[dict[str, tuple[str, Callable[[object], bool]]]] = {
    "prediction_label": ("a text, an integer or a boolean", is_category),
    "prediction_value": ("a finite number", is_finite),
    "prediction_score": ("a finite number, or one per class", _is_score),
    "latency_seconds": ("a finite number", is_finite),
    "cost_usd": ("a finite number", is_finite),
    "error": ("a text", lambda value: isinstance(value, str)),
    "variant": ("a text", lambda value: isinstance(value, str)),
    "backfill": ("true or false", lambda value: isinstance(value, bool)),
}
_KNOWN: Final = frozenset({*REQUIRED, *_OPTIONAL, "environment", "features", "tags", "shap_values"})


def _mapping(parsed: dict[str, Any], name: str) -> Mapping[str, Any]:
    value = parsed.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, value, "a JSON object")
    return value


def _features(raw: Mapping[str, Any], schema: PredictionSchema, findings: Findings) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    numeric = set(schema.numeric)
    for name, value in raw.items():
        if not schema.knows(name):
            findings.schema = True
        elif value is not None:
            number = is_number(value)
            fits = number if name in numeric else is_category(value) or (number and schema.takes_numbers(name))
            if fits:
                kept[name] = as_float(value) if number and name in numeric else value
            else:
                findings.types.append(name)
    return kept


def _tags(raw: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    kept = {name: value for name, value in raw.items() if value is None or is_category(value)}
    if len(kept) < len(raw):
        findings.types.append(None)
    return kept
