"""Features that drifted: shares of their bins in the reference, and while they did."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.binning import NumericBins
from schemas.identifiers import ALL_SEGMENT
from schemas.profiles import ProfileDelta, ProfileRecord
from schemas.references import Reference
from schemas.signals import Signal
from streams.control import layout as sections
from streams.control.blocks import decompress_blocks, unpack_blocks
from streams.control.plan import Plan
from streams.control.view import ControlView
from streams.replay.results import Results

_DAY_MS: Final = 86_400_000
_MOST_FEATURES: Final = 6
Counts = NDArray[np.int64]
Shares = tuple[str, list[str], list[float], list[float]]


class DayCounts:
    """Counts over all segments by plan, version and day: what memory holds grows with days, not with rows."""

    def __init__(self) -> None:
        self.by_day: dict[tuple[str, str, int], Counts] = {}

    def take(self, value: bytes, control: ControlView) -> None:
        """Take what the profiler published."""
        said = msgspec.msgpack.decode(value, type=ProfileRecord)
        for part in said.parts if isinstance(said, ProfileDelta) else ():
            plan = control.plan_by_id(part.plan_id)
            if plan is None:
                continue
            for block in unpack_blocks(part.columns):
                if block.segment == ALL_SEGMENT:
                    key = (part.plan_id, block.model_version, block.cell_ms // _DAY_MS)
                    if key not in self.by_day:
                        self.by_day[key] = np.zeros(plan.layout.width, dtype=np.int64)
                    np.add.at(self.by_day[key], block.slots, block.counts)


def moved_features(results: Results, days: DayCounts, control: ControlView, key: str) -> list[Shares]:
    """Name, bins, and shares in the reference and in the days on which it drifted, of each feature that did.

    Parameters
    ----------
    results
        Say which features drifted, and when.
    days
        The counts.
    control
        Has the plans and references.
    key
        Of the model: environment/name.
    """
    drifted: dict[str, set[tuple[str, str, int]]] = {}
    for window in results.windows:
        for each in window.verdicts:
            if each.feature and each.signal == Signal.FEATURE_DRIFT.value and each.status == "drift":
                day = int(window.window_start.timestamp() * 1000) // _DAY_MS
                drifted.setdefault(each.feature, set()).add((window.plan_id, window.model_version, day))
    references = [each for each in control.references(key) if each.blocks]
    if not references:
        return []
    found = []
    for name in sorted(drifted, key=lambda each: (-len(drifted[each]), each))[:_MOST_FEATURES]:
        places = sorted(drifted[name] & days.by_day.keys())
        plan = control.plan_by_id(places[-1][0]) if places else None
        if plan is None:
            continue
        current = sum((days.by_day[p] for p in places if p[0] == plan.plan_id), np.zeros(plan.layout.width, np.int64))
        found.append(_shares(name, plan, _counted(references[-1], plan), current))
    return found


def _counted(reference: Reference, plan: Plan) -> Counts:
    """The reference's counts over all segments and cells, in the plan's layout."""
    here = dict(plan.layout)
    out = np.zeros(plan.layout.width, dtype=np.int64)
    dense = np.zeros(sum(section.width for section in reference.sections), dtype=np.int64)
    for block in decompress_blocks(base64.b64decode(reference.blocks)):
        if block.segment == ALL_SEGMENT:
            np.add.at(dense, block.slots, block.counts)
    start = 0
    for section in reference.sections:
        if here.get(section.name) == section.width:
            out[plan.layout.slice(section.name)] = dense[start : start + section.width]
        start += section.width
    return out


def _shares(name: str, plan: Plan, before: Counts, now: Counts) -> Shares:
    bins: Any = plan.bins[plan.feature_names.index(name)]
    where = plan.layout.slice(sections.feature_section(name))
    labels = list(bins.labels())
    n = bins.n_ranked if isinstance(bins, NumericBins) else bins.missing_slot
    pair = [counts[where] / max(1, int(counts[where].sum())) for counts in (before, now)]
    extra = [i for i in range(n, len(labels)) if pair[0][i] or pair[1][i]]
    shown = [*range(n), *extra]
    return name, [labels[i] for i in shown], [float(pair[0][i]) for i in shown], [float(pair[1][i]) for i in shown]
