"""Keys and ids: one function each, so that the same thing has the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ALL_SEGMENT = "__all__"
OTHER_VALUE = "__other__"


def stable_id(kind: str, *parts: object) -> str:
    """Name what `parts` identify: the same parts give the same id on every machine and in every run.

    Parameters
    ----------
    kind
        A short prefix that says what the id names, such as `alert`.
    parts
        Whatever identifies the thing; each is taken by its canonical JSON.

    Returns
    -------
    str
        `kind-` and 32 hexadecimal digits of a SHA-256.
    """
    return f"{kind}-{digest(list(parts))[:32]}"


def digest(content: Any) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def model_key(environment: str, model_name: str) -> str:
    """Key of everything that belongs to one model: `environment/model`."""
    return f"{environment}/{model_name}"


def split_model_key(key: str) -> tuple[str, str]:
    """Undo `model_key`; an environment holds no slash, a model's name may."""
    environment, _, model_name = key.partition("/")
    return environment, model_name


def segment_name(dimension: str, value: str) -> str:
    """Name of a segment: `dimension=value`."""
    return f"{dimension}={value}"
