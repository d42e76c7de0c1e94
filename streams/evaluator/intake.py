"""What a profile record must hold before anything of it is merged: a broken one changes nothing, and stops nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from schemas.models import NAME_PATTERN
from schemas.profiles import BlockColumns, Heartbeat, Outcomes, ProfileDelta, ProfileRecord, Watermarks
from streams.control.plan import Plan
from streams.evaluator.cells import AFTER_MATURITY

MAX_PARTITIONS: Final = 1_000
"""More source partitions than the settings allow."""
_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
_EARLIEST_MS: Final = -(2**62)
_NAME: Final = re.compile(NAME_PATTERN)


class ProfileError(ValueError):
    """A record of `ml.profiles.v1` contradicts itself or its plan; names field, value and expectation."""


def check_profile(record: ProfileRecord, plan_by_id: Callable[[str], Plan | None]) -> None:
    """Check a record.

    Raises
    ------
    ProfileError
        Where merging it would fail, or would keep what no profiler says.
    """
    _expect("source_partition", record.source_partition, 0, MAX_PARTITIONS - 1)
    _expect("seq", record.seq, 0, 2**53)
    if isinstance(record, Heartbeat):
        _expect("n_partitions", record.n_partitions, record.source_partition + 1, MAX_PARTITIONS)
        _expect("now_ms", record.now_ms, 0, _LATEST_MS)
        for marks in record.watermarks.values():
            _watermarks(marks)
        return
    _delta(record, plan_by_id)


def _delta(delta: ProfileDelta, plan_by_id: Callable[[str], Plan | None]) -> None:
    _expect("parcel", delta.parcel, 0, 2**31)
    for field, name in (("environment", delta.environment), ("model_name", delta.model_name)):
        if not _NAME.match(name):
            msg = f"{field} = {name[:60]!r}: expected up to 128 letters, digits, '.', '_' and '-'"
            raise ProfileError(msg)
    _watermarks(delta.watermarks)
    for part in delta.parts:
        _expect("parts: late", part.late, 0, AFTER_MATURITY)
        plan = plan_by_id(part.plan_id)
        if plan is not None:
            _columns(part.columns, plan)
    for item in delta.outcomes:
        _outcomes(item)
    for sample in delta.samples:
        _expect("samples: timestamp_ms", sample.timestamp_ms, 0, _LATEST_MS)


def _expect(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        msg = f"{field} = {value}: expected {least} to {most}"
        raise ProfileError(msg)


def _watermarks(marks: Watermarks) -> None:
    for field in ("predictions_ms", "labels_ms"):
        value = getattr(marks, field)
        if value is not None:
            _expect(field, value, _EARLIEST_MS, _LATEST_MS)


def _outcomes(item: Outcomes) -> None:
    _expect("outcomes: cell_ms", item.cell_ms, 0, _LATEST_MS)
    if item.errors.strip(b"\x00\x01"):
        msg = f"outcomes of cell {item.cell_ms}: expected bytes of 0 and 1"
        raise ProfileError(msg)


def _columns(columns: BlockColumns, plan: Plan) -> None:
    n = len(columns.block_cell) // 8
    sizes = (
        ("block_cell", columns.block_cell, 8 * n),
        ("block_version", columns.block_version, 2 * n),
        ("block_segment", columns.block_segment, 2 * n),
        ("block_start", columns.block_start, 4 * (n + 1)),
        ("slots", columns.slots, len(columns.counts) // 8 * 4),
        ("counts", columns.counts, len(columns.counts) // 8 * 8),
    )
    for field, data, expected in sizes:
        if len(data) != expected:
            msg = f"{field} has {len(data)} bytes: expected {expected} for {n} blocks"
            raise ProfileError(msg)
    starts = np.frombuffer(columns.block_start, dtype="<u4").astype(np.int64)
    if starts[0] != 0 or starts[-1] != len(columns.slots) // 4 or (np.diff(starts) < 0).any():
        n_entries = len(columns.slots) // 4
        msg = f"block_start goes from {starts[0]} to {starts[-1]}: expected it to rise from 0 to {n_entries}"
        raise ProfileError(msg)
    _below("slots", columns.slots, "<u4", plan.layout.width)
    _below("block_version", columns.block_version, "<u2", len(columns.versions))
    _below("block_segment", columns.block_segment, "<u2", len(columns.segments))
    cells = np.frombuffer(columns.block_cell, dtype="<i8")
    wrong = cells[(cells % plan.cell_ms != 0) | (cells < 0) | (cells > _LATEST_MS)]
    if len(wrong):
        msg = f"block_cell = {wrong[0]}: expected the start of a cell of {plan.cell_ms} ms"
        raise ProfileError(msg)
    unknown = set(columns.segments) - set(plan.segment_names)
    if unknown:
        n_known = len(plan.segment_names)
        msg = f"segment {min(unknown)[:60]!r} is not in plan {plan.plan_id}: expected one of its {n_known}"
        raise ProfileError(msg)


def _below(field: str, data: bytes, dtype: str, limit: int) -> None:
    if data:
        most = int(np.frombuffer(data, dtype=dtype).max())
        if most >= limit:
            msg = f"{field} has {most}: expected less than {limit}"
            raise ProfileError(msg)
