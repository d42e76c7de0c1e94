"""The oracle: knows every event that was sent, and counts in plain Python what has to come of it.

None of the project's counting is used. Bin edges and categories alone are read from the published reference.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .workload import CELL, Kind, Sent

CountKey = tuple[str, str, str, int, str, int]
"""Model, version, segment, start of the cell in milliseconds, what is counted, and its bin."""

_CELL_SECONDS: Final = int(CELL.total_seconds())
_CLASSES: Final = ("no", "yes")
_PREDICTIONS: Final = "ml.predictions.v1"


@dataclass(slots=True)
class _Served:
    """A prediction that was counted, and the label that holds."""

    model: str
    version: str
    segments: tuple[str, ...]
    cell_ms: int
    predicted: int
    actual: int | None = None


@dataclass(slots=True)
class Oracle:
    """Counts what is sent.

    Parameters
    ----------
    references
        By model the published reference, as JSON values.
    """

    references: Mapping[str, Mapping[str, Any]]
    counts: Counter[CountKey] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    """What became of each record, by the names that the profiler's books have."""
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each topic and key was sent."""
    _served: dict[str, _Served] = field(default_factory=dict)
    _bins: dict[str, dict[str, Callable[[Any], int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, reference in self.references.items():
            self._bins[model] = {item["name"]: _binning(item) for item in reference["bins"]}

    def take(self, record: Sent) -> None:
        """Count one record that was sent."""
        self.sent[record.topic, record.key] += 1
        if record.topic == _PREDICTIONS:
            self._take_prediction(record)
        else:
            self._take_label(record)

    def _take_prediction(self, record: Sent) -> None:
        self.outcomes["predictions"] += 1
        unusable = {Kind.BROKEN: "dead", Kind.DUPLICATE: "duplicate", Kind.LATE: "late"}
        if record.kind in unusable:
            self.outcomes[f"predictions_{unusable[record.kind]}"] += 1
            return
        self.outcomes["predictions_expired"] += 1  # until its label comes
        event = record.event
        model = event["model_name"]
        seconds = event["prediction_timestamp"]
        served = _Served(
            model=model,
            version=event["model_version"],
            segments=("__all__", self._segment(model, event["tags"]["country"])),
            cell_ms=(seconds - seconds % _CELL_SECONDS) * 1000,
            predicted=_CLASSES.index(event["prediction_label"]),
        )
        self._served[event["prediction_id"]] = served
        self._add(served, "n", 0)
        self._add(served, "prediction", served.predicted)
        for name, binning in self._bins[model].items():
            self._add(served, f"feature:{name}", binning(event["features"][name]))

    def _segment(self, model: str, country: str) -> str:
        known = self.references[model]["segment_values"].get("country", [])
        return f"country={country if country in known else '__other__'}"

    def _take_label(self, record: Sent) -> None:
        self.outcomes["labels"] += 1
        if record.kind is Kind.ORPHAN:
            self.outcomes["labels_orphan"] += 1
            return
        self.outcomes["labels_joined"] += 1
        served = self._served[record.key]
        if served.actual is None:
            self.outcomes["predictions_expired"] -= 1
            self.outcomes["predictions_joined"] += 1
            self._add(served, "labelled", 0)
        else:
            self.outcomes["labels_revised"] += 1
            self._add(served, "confusion", served.actual * 2 + served.predicted, -1)
        served.actual = _CLASSES.index(record.event["actual_label"])
        self._add(served, "confusion", served.actual * 2 + served.predicted)

    def _add(self, served: _Served, what: str, bin_: int, n: int = 1) -> None:
        for segment in served.segments:
            self.counts[served.model, served.version, segment, served.cell_ms, what, bin_] += n


def _binning(item: Mapping[str, Any]) -> Callable[[Any], int]:
    """Return what puts a feature's value into its bin."""
    if item["kind"] == "numeric":
        edges = list(item["edges"])
        return lambda value: len(edges) + 1 if value is None else bisect_right(edges, value)
    categories, rest = list(item["categories"]), set(item["known_rest"])

    def category(value: str | None) -> int:
        if value is None:
            return len(categories) + 1
        if value in categories:
            return categories.index(value)
        return len(categories) if value in rest else len(categories) + 2

    return category
