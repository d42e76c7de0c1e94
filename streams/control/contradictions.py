"""Control events that are refused though every field of theirs is right: no plan could be made with them."""

from __future__ import annotations

import binascii
import re
from typing import Final

import msgspec
import numpy as np
import zstandard

from detectors.binning import CategoricalBins
from detectors.outcomes import make_outcome_detector
from schemas.monitors import RIVER_DETECTORS, Monitor
from schemas.references import Reference
from streams.control.plan import Plan, reference_blocks, reference_layout, rule_fields

CONTRADICTIONS: Final = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, msgspec.MsgspecError,
    zstandard.ZstdError, binascii.Error,
)  # fmt: skip
"""What making a plan raises where the events behind it contradict themselves."""
MAX_WIDTH: Final = 1_000_000
"""Slots of a plan: each segment of each open cell takes so many counts."""
_UNDECODABLE: Final = re.compile(r'["\\\x00-\x1f]')
"""What msgspec decodes no field by."""
_N_TRIED: Final = 400
"""Outcomes that a detector is tried with: beyond the warm-up of each of them."""
_MAX_CELL_MS: Final = 2**53


class ControlError(ValueError):
    """A control event contradicts itself or what was published before."""


def check_plan(plan: Plan) -> None:
    """Lay a plan out, with everything that is derived from it when events come.

    Raises
    ------
    Exception
        One of `CONTRADICTIONS`.
    """
    if plan.layout.width > MAX_WIDTH:
        msg = f"a plan of {plan.layout.width} slots: expected at most {MAX_WIDTH}; fewer bins, classes or groups"
        raise ControlError(msg)
    for item in plan.bins:
        if isinstance(item, CategoricalBins) and not all(isinstance(each, str) for each in item.vocabulary):
            msg = f"bins of {item.name!r}: expected texts as categories"
            raise ControlError(msg)
    for name in (*plan.feature_names, *plan.spec.segments, *plan.spec.groups, *rule_fields(plan)):
        if not isinstance(name, str) or not name or _UNDECODABLE.search(name):
            msg = f"a field is called {name!r}: expected a name without quotes, backslashes and control characters"
            raise ControlError(msg)
    names = [
        plan.feature_names,
        plan.spec.segments,
        plan.spec.groups,
        plan.segment_names,
        plan.classes,
        *plan.group_values.values(),
    ]
    if any(len(set(each)) != len(each) for each in names):
        msg = "features, segments, classes or values of a group: expected each name once"
        raise ControlError(msg)
    if not 0 < plan.cell_ms < _MAX_CELL_MS or not np.isfinite(plan.value_scale) or plan.value_scale <= 0:
        msg = f"cell of {plan.cell_ms} ms, residual_scale = {plan.value_scale}: expected both above zero"
        raise ControlError(msg)
    _ = plan.is_count, plan.class_codes, plan.positive_values, plan.segment_offsets, plan.prediction_bins


def check_monitor(monitor: Monitor) -> None:
    """Make the detector of a monitor and let it read some outcomes, where its parameters are a library's.

    Raises
    ------
    Exception
        One of `CONTRADICTIONS`.
    """
    if monitor.detector not in RIVER_DETECTORS:
        return
    try:
        detector = make_outcome_detector(monitor.detector, **monitor.parameters)
        detector.update(np.tile([0.0, 1.0], _N_TRIED // 2))
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # Some detectors are Rust, where a division by zero is no Exception.
        msg = f"parameters = {monitor.parameters!r}: {monitor.detector} cannot read with them: {error}"
        raise ControlError(msg) from error


def check_reference(reference: Reference) -> None:
    """Read a reference's counts.

    Raises
    ------
    Exception
        One of `CONTRADICTIONS`.
    """
    layout = reference_layout(reference)
    if layout.width > MAX_WIDTH:
        msg = f"a reference of {layout.width} slots: expected at most {MAX_WIDTH}"
        raise ControlError(msg)
    for block in reference_blocks(reference):
        counts = block.dense(layout.width)
        for name in set(layout.names) - set(layout.sums):
            if (counts[layout.slice(name)] < 0).any():
                msg = f"section {name!r} has a count below zero: expected none"
                raise ControlError(msg)
