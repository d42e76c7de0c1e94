"""BoundedSeries: gauges by model, with a bound on how many a model may have."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

from streams import telemetry

Model = tuple[str, str]
"""Environment and model name."""
Labelled = tuple[Gauge, tuple[str, ...]]
"""A gauge and its labels behind environment, model name and version."""
_Place = tuple[Gauge, tuple[str, ...]]


class BoundedSeries:
    """Sets gauges whose labels begin with environment, model name and version.

    Parameters
    ----------
    maximum
        Series per model. Beyond it the series of another version that was set longest ago gives way; where all
        belong to the version at hand, the new one is not exported, and `series_limit_reached_total` counts it.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._places: dict[Model, dict[_Place, str]] = {}
        self._groups: dict[tuple[Model, str, str], frozenset[Labelled]] = {}

    def set(self, gauge: Gauge, model: Model, version: str, *labels: str, value: float | None) -> bool:
        """Set one series, or remove it where there is no value; whether it is exported."""
        places = self._places.setdefault(model, {})
        place = (gauge, (*model, version, *labels))
        if value is None:
            if places.pop(place, None) is not None:
                gauge.remove(*place[1])
            return False
        if place not in places and len(places) >= self._maximum and not self._make_room(places, version):
            telemetry.SERIES_LIMIT_REACHED.labels(environment=model[0], model_name=model[1]).inc()
            return False
        places.pop(place, None)
        places[place] = version  # moves to the end: the newest
        gauge.labels(*place[1]).set(value)
        return True

    def replace(self, model: Model, version: str, group: str, values: Mapping[Labelled, float | None]) -> None:
        """Set a group of series together; those that the group had before and has no more are removed."""
        before = self._groups.get((model, version, group), frozenset())
        for gauge, labels in before - set(values):
            self.set(gauge, model, version, *labels, value=None)
        self._groups[model, version, group] = frozenset(values)
        for (gauge, labels), value in values.items():
            self.set(gauge, model, version, *labels, value=value)

    @staticmethod
    def _make_room(places: dict[_Place, str], version: str) -> bool:
        oldest = next((place for place, of_version in places.items() if of_version != version), None)
        if oldest is None:
            return False
        del places[oldest]
        oldest[0].remove(*oldest[1])
        return True

    def count(self, model: Model) -> int:
        """Return how many series a model has."""
        return len(self._places.get(model, {}))

    def drop(self, model: Model) -> None:
        """Remove every gauge of a model."""
        self._places.pop(model, None)
        self._groups = {place: kept for place, kept in self._groups.items() if place[0] != model}
        telemetry.drop_model(*model)
