from __future__ import annotations

import numpy as np

from demo.flights import NUMERIC, Flights, load_flights


def test_every_flight_of_the_year_is_there_and_the_cancelled_ones_are_not(flights: Flights) -> None:
    assert len(flights) + flights.n_cancelled == 336_776
    assert flights.n_cancelled == 8_255
    assert flights.has_label.sum() == 327_346
    assert (~flights.has_label).sum() == 1_175


def test_flights_are_in_order_and_no_arrival_precedes_its_departure(flights: Flights) -> None:
    assert (np.diff(flights.departure_ms) >= 0).all()
    known = flights.has_label
    assert (flights.arrival_ms[known] > flights.departure_ms[known]).all()
    assert (flights.arrival_ms[known] - flights.departure_ms[known]).max() < 16 * 3_600_000


def test_a_red_eye_lands_on_the_next_day_and_a_western_clock_is_read_in_its_zone(flights: Flights) -> None:
    row = int(np.flatnonzero(flights.flight_id == "UA1545-EWR-IAH-20130101T0515")[0])
    # Departed 05:17 in New York, arrived 08:30 in Houston.
    assert flights.departure_ms[row] == np.datetime64("2013-01-01T10:17", "ms").astype(int)
    assert flights.arrival_ms[row] == np.datetime64("2013-01-01T14:30", "ms").astype(int)


def test_delays_are_in_minutes_and_weather_may_be_missing(flights: Flights) -> None:
    delay = flights.numeric[:, NUMERIC.index("dep_delay")]
    assert delay.min() == -43
    assert delay.max() == 1_301
    assert np.isnan(flights.numeric[:, NUMERIC.index("temp")]).mean() < 0.01


def test_the_cache_gives_the_same_flights(tmp_path, flights: Flights, monkeypatch) -> None:
    from demo import flights as module

    monkeypatch.setattr(module, "_compute", lambda: flights.between(0, int(flights.departure_ms[100])))
    first = load_flights(tmp_path)
    monkeypatch.setattr(module, "_compute", lambda: None)
    again = load_flights(tmp_path)
    assert len(again) == 100
    assert np.array_equal(first.flight_id, again.flight_id)
    assert again.n_cancelled == flights.n_cancelled


def test_a_part_of_the_year_is_cut_by_departure(flights: Flights) -> None:
    start, end = int(flights.departure_ms[1_000]), int(flights.departure_ms[2_000])
    part = flights.between(start, end)
    assert part.departure_ms[0] == start
    assert part.departure_ms[-1] < end
    assert len(part.numeric) == len(part)
