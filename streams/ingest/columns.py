"""EventColumns and LabelColumns: what a chunk of records becomes; no Python object per record is left in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.identifiers import OTHER_VALUE
from streams.control.plan import Plan
from streams.ingest.values import Float64, Int64, UInt64

Codes = NDArray[np.uint16]


MAX_NAMES: Final = 4_096
"""Versions, and texts of labels, that are told apart per model; further ones are `__other__`."""
MAX_NAME_CHARS: Final = 256
"""A longer one is no name, and `__other__` too: every name is kept, and written down with every commit."""


class Interner:
    """Small codes for names, in order of appearance; codes never change."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._codes = {name: code for code, name in enumerate(self.names)}

    def code(self, name: str) -> int:
        """The name's code, a new one where it was never seen."""
        code = self._codes.get(name)
        if code is None:
            if (len(self.names) >= MAX_NAMES or len(name) > MAX_NAME_CHARS) and name != OTHER_VALUE:
                return self.code(OTHER_VALUE)
            code = self._codes[name] = len(self.names)
            self.names.append(name)
        return code

    def codes(self, names: Sequence[str]) -> Codes:
        """Codes of many names, shape (n,)."""
        if len(set(names)) == 1:
            return np.full(len(names), self.code(names[0]), dtype=np.uint16)
        try:
            return np.fromiter(map(self._codes.__getitem__, names), dtype=np.uint16, count=len(names))
        except KeyError:
            return np.array([self.code(name) for name in names], dtype=np.uint16)

    def code_or_nan(self, name: str | None) -> float:
        """The name's code; NaN for None."""
        return math.nan if name is None else self.code(name)


class _Columns:
    """Rows of arrays that all have the same length."""

    __slots__ = ()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, slots=True)
class EventColumns(_Columns):
    """Predictions of one model under one plan; n rows in offset order."""

    plan: Plan
    order: Int64
    """Place among the model's records of its topic in this batch."""
    hash_high: UInt64
    hash_low: UInt64
    timestamp_ms: Int64
    version: Codes
    """Codes of the model's own `Interner`."""
    numeric: Float64
    """(n, numeric features), in the order of the plan's numeric bins; NaN is missing."""
    categorical: Codes
    """(n, categorical features): slots of the plan's categorical bins."""
    segments: Codes
    """(n, dimensions): segment codes of the plan."""
    groups: Codes
    """(n, groups): value codes of the plan."""
    predicted: Float64
    """Class code, or the value of a regression; NaN where there is none."""
    score: NDArray[np.uint8]
    latency_seconds: Float64
    cost_usd: Float64
    failed: NDArray[np.bool_]
    backfill: NDArray[np.bool_]
    schema_finding: NDArray[np.bool_]
    rules: NDArray[np.uint8]
    """(n, rules): 0 not evaluated, 1 held, 2 violated."""
    type_findings: NDArray[np.bool_] | None
    """(n, features + 1), the last one for fields that are no features; None where there is no finding."""

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join parts of one plan."""
        if len(parts) == 1:
            return parts[0]
        findings = None
        if any(part.type_findings is not None for part in parts):
            findings = np.concatenate([part.findings() for part in parts])
        names = [f.name for f in fields(cls) if f.name not in {"plan", "type_findings"}]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(plan=parts[0].plan, type_findings=findings, **joined)

    def where(self, kept: NDArray[np.bool_]) -> Self:
        """Keep the rows of a mask."""
        if kept.all():
            return self
        found: dict[str, Any] = {name: column[kept] for name, column in self.arrays().items()}
        return replace(self, **found)

    def findings(self) -> NDArray[np.bool_]:
        """Findings of type as a matrix, even where there are none."""
        if self.type_findings is None:
            return np.zeros((len(self), len(self.plan.bins) + 1), dtype=np.bool_)
        return self.type_findings


@dataclass(frozen=True, slots=True)
class LabelColumns(_Columns):
    """Labels of one model, in offset order; what they say is decided under the plan of their prediction."""

    order: Int64
    hash_high: UInt64
    hash_low: UInt64
    timestamp_ms: Int64
    actual: Float64
    """The actual value of a regression, or the code of the label's text in the model's `Interner`; NaN for none."""
    revision: Int64
    retracted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.order)

    def take(self, rows: Int64) -> Self:
        """Some rows, in this order."""
        return replace(self, **{name: column[rows] for name, column in self.arrays().items()})
