"""Cells of the week, maintenance, and blocks of counts between numpy and the wire."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import format_duration, milliseconds, parse_duration
from schemas.maintenance import Maintenance
from schemas.models import ModelSpec
from streams.control.blocks import Block, compress_blocks, decompress_blocks
from streams.control.calendar import cell_of_week, cell_start, maintenance_of

SIX_HOURS = milliseconds(timedelta(hours=6))


def test_summer_time_does_not_shift_the_contexts() -> None:
    winter = milliseconds(datetime(2013, 1, 7, 12, tzinfo=UTC))
    summer = milliseconds(datetime(2013, 7, 8, 12, tzinfo=UTC))
    assert cell_of_week(winter, SIX_HOURS, "America/New_York") == cell_of_week(summer, SIX_HOURS, "America/New_York")


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2040, 1, 1)))  # noqa: DTZ001
def test_a_cell_has_one_context_and_a_week_has_all(moment: datetime) -> None:
    start = cell_start(milliseconds(moment.replace(tzinfo=UTC)), SIX_HOURS)
    week = {cell_of_week(start + i * SIX_HOURS, SIX_HOURS, "UTC") for i in range(28)}
    assert week == set(range(28))


def covered(entry: dict[str, Any], hours: range, *, of: str, time_zone: str = "UTC") -> list[int]:
    """Which hours of a day (in UTC) an entry covers, cells being hours."""
    spec = ModelSpec.model_validate({"name": "m", "time_zone": time_zone, "maintenance": [entry]})
    day, hour = milliseconds(datetime.fromisoformat(of).replace(tzinfo=UTC)), milliseconds(timedelta(hours=1))
    return [h for h in hours if maintenance_of(spec, day + h * hour, day + (h + 1) * hour) is not None]


SUNDAYS = {"starts_at": "2026-01-04T02:30:00+01:00", "duration": "2h", "every": "week"}
"""At half past two in Berlin, where that is half past one in UTC in winter, and half past midnight in summer."""


@pytest.mark.parametrize(
    ("entry", "day", "hours"),
    [
        ({"starts_at": "2026-01-05T03:30:00Z", "duration": "1h"}, "2026-01-05", [3, 4]),
        ({"starts_at": "2026-01-05T03:00:00Z", "duration": "1h"}, "2026-01-05", [3]),
        ({"starts_at": "2026-01-05T03:30:00Z", "duration": "1h"}, "2026-01-06", []),
        ({"starts_at": "2026-01-05T22:00:00Z", "duration": "4h", "every": "day"}, "2026-02-11", [0, 1, 22, 23]),
        ({"starts_at": "2026-01-05T22:00:00Z", "duration": "4h", "every": "day"}, "2026-01-04", []),
        ({"starts_at": "2026-01-05T22:00:00Z", "duration": "4h", "every": "day", "until": "2026-02-11T00:00:00Z"},
         "2026-02-11", [0, 1]),
        (SUNDAYS, "2026-02-08", [1, 2, 3]),
        (SUNDAYS, "2026-02-09", []),
        (SUNDAYS, "2026-07-12", [0, 1, 2]),
    ],
)  # fmt: skip
def test_maintenance_covers_cells_that_it_overlaps(entry: dict[str, Any], day: str, hours: list[int]) -> None:
    assert covered(entry, range(24), of=day, time_zone="Europe/Berlin" if entry is SUNDAYS else "UTC") == hours


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"starts_at": "2026-01-05T03:30:00Z", "duration": "0h"}, "duration"),
        ({"starts_at": "2026-01-05T03:30:00Z", "duration": "24h", "every": "day"}, "duration"),
        ({"starts_at": "2026-01-05T03:30:00Z", "duration": "1h", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"starts_at": "2026-01-05T03:30:00", "duration": "1h"}, "starts_at"),
    ],
)
def test_maintenance_that_makes_no_sense_is_refused(entry: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Maintenance.model_validate(entry)


@given(
    st.lists(
        st.tuples(st.sampled_from(["v1", "v2"]), st.sampled_from(["__all__", "carrier=UA"]), st.integers(0, 9),
                  st.lists(st.integers(-(2**40), 2**40), min_size=5, max_size=5)),
        max_size=8,
    )
)  # fmt: skip
def test_blocks_survive_the_wire(rows: list[tuple[str, str, int, list[int]]]) -> None:
    blocks = [Block.from_dense(v, s, c * SIX_HOURS, np.array(counts, dtype=np.int64)) for v, s, c, counts in rows]
    back = decompress_blocks(compress_blocks(blocks))
    for (version, segment, cell, counts), block in zip(rows, back, strict=True):
        assert (block.model_version, block.segment, block.cell_ms) == (version, segment, cell * SIX_HOURS)
        assert block.dense(5).tolist() == counts


@given(st.integers(0, 10**12))
def test_durations_are_read_as_they_are_written(value: int) -> None:
    duration = timedelta(milliseconds=value)
    assert parse_duration(format_duration(duration)) == duration
