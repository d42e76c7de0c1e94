"""Where each count of a profile sits: named sections of one flat vector of slots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

N_PREDICTIONS: Final = "n"
N_SERVING_ERRORS: Final = "serving_error"
N_BACKFILL: Final = "backfill"
LATENCY: Final = "latency"
COST: Final = "cost"
_SUM_PREFIX: Final = "sum:"
SUM_LATENCY: Final = "sum:latency"
SUM_COST: Final = "sum:cost"
PREDICTION: Final = "prediction"
SCORE: Final = "score"
TYPE_FINDING: Final = "finding:type"
SCHEMA_FINDING: Final = "finding:schema"
N_LABELLED: Final = "labelled"
CONFUSION: Final = "confusion"
OUTCOME_SCORE: Final = "outcome_score"
LABEL_DELAY: Final = "label_delay"
RESIDUAL: Final = "residual"
SUM_ABS_ERROR: Final = "sum:abs_error"
SUM_SQUARED_ERROR: Final = "sum:squared_error"
SUM_ACTUAL: Final = "sum:actual"
SUM_ACTUAL_SQUARED: Final = "sum:actual_squared"

LABELLED_AT: Final = "labelled_at"
RELATIVE_AT: Final = "relative_at"
SUM_ABS_ERROR_AT: Final = "sum:abs_error_at"
SUM_SQUARED_ERROR_AT: Final = "sum:squared_error_at"
SUM_RELATIVE_ERROR_AT: Final = "sum:relative_error_at"
"""`…_at`: by slot of the prediction; of relative errors only events whose actual value is not zero."""

N_SCORE_BINS: Final = 101
SCORE_MISSING: Final = N_SCORE_BINS
FIXED_POINT: Final = 1_000_000
"""Sums are int64 multiples of a millionth of their unit: float sums would depend on order."""


def feature_section(name: str) -> str:
    """Section of a feature's bins."""
    return f"feature:{name}"


def rule_section(monitor_id: str) -> str:
    """Section of a guardrail: [evaluated, violated]."""
    return f"rule:{monitor_id}"


def group_section(name: str) -> str:
    """Section of a group: per value [n, predicted positive]."""
    return f"group:{name}"


def group_outcome_section(name: str) -> str:
    """Section of a group's outcomes: per value the 2 x 2 table, actual by predicted."""
    return f"group_outcome:{name}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Sections in order; section `name` holds the slots [offset, offset + width)."""

    names: tuple[str, ...]
    offsets: dict[str, int]
    widths: dict[str, int]
    width: int

    @classmethod
    def of(cls, sections: Iterable[tuple[str, int]]) -> Layout:
        """Lay sections one after the other.

        Raises
        ------
        ValueError
            Where a name stands twice.
        """
        offsets: dict[str, int] = {}
        widths: dict[str, int] = {}
        end = 0
        for name, width in sections:
            if name in offsets:
                msg = f"section {name!r} stands twice in the layout: expected unique names"
                raise ValueError(msg)
            offsets[name], widths[name] = end, width
            end += width
        return cls(tuple(offsets), offsets, widths, end)

    @property
    def sums(self) -> list[str]:
        """Sections that hold sums, which may be negative; all others hold counts."""
        return [name for name in self.names if name.startswith(_SUM_PREFIX)]

    def slice(self, name: str) -> slice:
        """The slots of a section."""
        start = self.offsets[name]
        return slice(start, start + self.widths[name])

    def __contains__(self, name: str) -> bool:
        return name in self.offsets

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.widths.items())
