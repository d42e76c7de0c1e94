"""Cells of the week, and blocks of counts between numpy and the wire."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import format_duration, milliseconds, parse_duration
from streams.control.blocks import Block, compress_blocks, decompress_blocks
from streams.control.calendar import cell_of_week, cell_start

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
