from __future__ import annotations

import numpy as np
import pytest

from demo.flights import NUMERIC, Flights
from demo.model import SKEWED, ServedScores, as_hours, quality


def _month(flights: Flights, month: int) -> np.ndarray:
    months = flights.departure_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(int) % 12 + 1
    return (months == month) & flights.has_label


@pytest.mark.parametrize("month", range(2, 13))
def test_v1_holds_through_the_year(flights: Flights, scores: ServedScores, month: int) -> None:
    chosen = _month(flights, month)
    found = quality(scores.minutes[chosen], flights.is_late[chosen])
    assert 0.85 <= found.accuracy <= 0.95
    assert 0.86 <= found.auc <= 0.93
    assert 0.22 <= found.miss_rate <= 0.43


@pytest.mark.parametrize("month", [6, 7, 8])
def test_v2_is_broken_in_summer(flights: Flights, scores: ServedScores, month: int) -> None:
    chosen = _month(flights, month)
    found = quality(scores.hours[chosen], flights.is_late[chosen])
    assert 0.66 <= found.accuracy <= 0.79
    assert found.auc < 0.65
    assert found.miss_rate > 0.9


def test_v2_differs_in_the_one_value_that_is_sent(flights: Flights) -> None:
    sent = as_hours(flights.numeric[:100])
    others = [i for i, name in enumerate(NUMERIC) if name != "dep_delay"]
    assert np.array_equal(sent[:, others], flights.numeric[:100][:, others], equal_nan=True)
    assert np.allclose(sent[:, SKEWED] * 60, flights.numeric[:100, SKEWED])
