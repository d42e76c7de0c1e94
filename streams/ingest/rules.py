"""Guardrails: a predicate on each event, evaluated on columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.monitors import Rule
from streams.ingest.schema import as_float
from streams.ingest.values import Float64, texts

NOT_EVALUATED, HELD, VIOLATED = 0, 1, 2


def rule_verdicts(rule: Rule, raw: Callable[[str], Sequence[Any]]) -> NDArray[np.uint8]:
    """Evaluate a rule.

    Parameters
    ----------
    rule
        The predicate.
    raw
        From a field's name to its raw values, one for each event.

    Returns
    -------
    numpy.ndarray
        Shape (n,): `NOT_EVALUATED` where a value is missing, `HELD` or `VIOLATED`.
    """
    values = raw(rule.field)
    if rule.allowed or rule.excluded:
        wanted, holds = (set(rule.allowed), True) if rule.allowed else (set(rule.excluded), False)
        said = [None if text is None else (text in wanted) is holds for text in texts(values)]
        return np.array([NOT_EVALUATED if s is None else HELD if s else VIOLATED for s in said], dtype=np.uint8)
    x = _numeric(values)
    low = -np.inf if rule.minimum is None else rule.minimum
    high: Float64 | float = np.inf if rule.maximum is None else rule.maximum
    if rule.less_or_equal is not None:
        high = _numeric(raw(rule.less_or_equal))
    verdict = np.where((x >= low) & (x <= high), HELD, VIOLATED)
    return np.where(np.isnan(x) | np.isnan(high), NOT_EVALUATED, verdict).astype(np.uint8)


def _numeric(raw: Sequence[Any]) -> Float64:
    return np.array([as_float(v) for v in raw], dtype=np.float64)
