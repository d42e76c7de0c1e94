"""ReferenceView: a reference's counts, cut into the baselines that series are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, clopper_pearson_lower, clopper_pearson_upper
from detectors.scores import BASELINE_ERROR
from detectors.seasonal import SeasonalReference
from detectors.stacked_divergences import wasserstein_null
from schemas.base import milliseconds
from schemas.identifiers import ALL_SEGMENT
from schemas.references import Reference
from streams.control.calendar import cell_of_week
from streams.control.layout import Layout
from streams.control.plan import Plan, reference_blocks, reference_layout
from streams.evaluator.signals import Counted, Pair

_DAY_MS: Final = 86_400_000
T = TypeVar("T")
_BERNOULLI: Final = np.array([0.0, 1.0])


@dataclass(frozen=True, slots=True)
class Slots:
    """Which slots of a layout a series compares: the first ones of a section, and whether they have an order."""

    section: str
    n_ranked: int
    ordered: bool


class ReferenceView:
    """Baselines of one reference under one plan; everything is computed once and kept."""

    def __init__(self, reference: Reference, plan: Plan) -> None:
        self.reference = reference
        self.plan = plan
        self._layout: Layout = reference_layout(reference)
        self._segments: dict[str, Counted | None] = {}
        self._kept: dict[tuple[Any, ...], Any] = {}

    @cached_property
    def _cells(self) -> NDArray[np.int64]:
        """Starts of all cells from the first to the last with counts, in milliseconds."""
        found = [block.cell_ms for block in self._blocks]
        step = milliseconds(self.reference.cell)
        return np.arange(min(found), max(found) + step, step) if found else np.empty(0, dtype=np.int64)

    @cached_property
    def _blocks(self) -> list[Any]:
        return reference_blocks(self.reference)

    @cached_property
    def _contexts(self) -> list[int]:
        step = milliseconds(self.reference.cell)
        return [cell_of_week(int(cell), step, self.reference.time_zone) for cell in self._cells]

    @property
    def has_counts(self) -> bool:
        """Whether there are counts, not only bins."""
        return bool(self.reference.blocks)

    def segment(self, name: str) -> Counted | None:
        """Counts per cell of a segment, shape (cells, width); None where the reference has none."""
        if name not in self._segments:
            blocks = [block for block in self._blocks if block.segment == name]
            self._segments[name] = self._dense(blocks) if blocks else None
        return self._segments[name]

    def _dense(self, blocks: list[Any]) -> Counted:
        counts = np.zeros((len(self._cells), self._layout.width), dtype=np.int64)
        step = milliseconds(self.reference.cell)
        for block in blocks:
            counts[(block.cell_ms - int(self._cells[0])) // step, block.slots] += block.counts
        return Counted(self.plan, self._layout, counts)

    def rate(
        self, key: tuple[Any, ...], segment: str, pair: Callable[[Counted], Pair], *, n_series: int, context: int | None
    ) -> Baseline | None:
        """Baseline of a rate, over all cells or shrunk to a cell of the week.

        Returns None where the reference has no counts, no events, or too few cells to know how they vary.
        """
        name = ("rate", key, segment, n_series, context)
        if name not in self._kept:
            counted = self.segment(segment)
            self._kept[name] = None if counted is None else self._rate(pair(counted), n_series, context)
        kept: Baseline | None = self._kept[name]
        return kept

    def _rate(self, pair: Pair, n_series: int, context: int | None) -> Baseline | None:
        n1, n = pair[0].astype(np.float64), pair[1].astype(np.float64)
        return self._mean(np.stack([n - n1, n1], axis=1), _BERNOULLI, n_series, context)

    def mean(
        self, key: str, segment: str, section: str, values: NDArray[np.float64], *, n_series: int
    ) -> Baseline | None:
        """Baseline of the mean of bounded `values`, one for each slot of a section; None as in `rate`."""
        name = ("mean", key, segment, n_series)
        if name not in self._kept:
            counted = self.segment(segment)
            table = None if counted is None else counted.section(section)
            self._kept[name] = None if table is None else self._mean(table, values, n_series, None)
        kept: Baseline | None = self._kept[name]
        return kept

    def _mean(
        self, table: NDArray[Any], values: NDArray[np.float64], n_series: int, context: int | None
    ) -> Baseline | None:
        if not table.sum():
            return None
        seasonal = self._seasonal(table, context, values=values)
        if seasonal is None:
            return None
        held = seasonal.at(context)
        level = BASELINE_ERROR / n_series
        mean, worth = float(held.probabilities @ values), float(held.n_effective[0])
        return Baseline(
            mean=mean,
            n=held.n,
            n_effective=worth,
            upper=clopper_pearson_upper(mean * worth, worth, level),
            lower=clopper_pearson_lower(mean * worth, worth, level),
            inflation=float(held.inflation[0]),
        )

    def rate_inflation(self, name: str, pair: Callable[[Counted], Pair]) -> float | None:
        """How much a rate over all events varies beyond independent ones; None as in `rate`."""
        baseline = self.rate(("inflation", name), ALL_SEGMENT, pair, n_series=1, context=None)
        return None if baseline is None else baseline.inflation

    def kept(self, name: tuple[Any, ...], build: Callable[[], T]) -> T:
        """Return what was derived from this reference under a name; built at the first call."""
        if name not in self._kept:
            self._kept[name] = build()
        found: T = self._kept[name]
        return found

    def seasonal(
        self, wanted: Sequence[tuple[str, Slots]], *, split: bool
    ) -> dict[tuple[str, Slots], SeasonalReference]:
        """Return what some slots of segments are held against, split by cell of the week or not.

        Parameters
        ----------
        wanted
            Segments and slots, all with the same number of slots, and all of them with an order or none.
        split
            Whether by cell of the week.

        Returns
        -------
        dict
            Without those of which the reference has no counts, no events, or too few cells to know how they vary.
        """
        tables = {name: table for name in wanted if (table := self._table(*name)) is not None and table.any()}
        found = SeasonalReference.of_many(
            list(tables.values()),
            np.array(self._contexts, dtype=np.int64) if split else None,
            ordered=bool(wanted) and wanted[0][1].ordered,
            cells_per_cycle=self._cells_per_day,
        )
        return {name: one for name, one in zip(tables, found, strict=True) if one is not None}

    def wasserstein_null(self, segment: str, slots: Slots) -> float:
        """Return what W1 of some slots exceeds by chance, in units of sqrt(s); 0 where the reference has none."""
        table = self._table(segment, slots)
        return 0.0 if table is None else wasserstein_null(table.sum(axis=0).astype(np.float64))

    def _table(self, segment: str, slots: Slots) -> NDArray[np.int64] | None:
        counted = self.segment(segment)
        return None if counted is None else counted.section(slots.section)[:, : slots.n_ranked]

    def _seasonal(self, table: NDArray[Any], context: int | None, **scores: Any) -> SeasonalReference | None:
        contexts = None if context is None else np.array(self._contexts, dtype=np.int64)
        return SeasonalReference.of(table, contexts, cells_per_cycle=self._cells_per_day, **scores)

    @property
    def _cells_per_day(self) -> int:
        return max(1, _DAY_MS // milliseconds(self.reference.cell))

    def first_slot_above(self, section: str, bins: Any, q: float, segment: str) -> int | None:
        """First slot above the reference's own quantile; None where the reference does not say."""
        counted = self.segment(segment)
        if counted is None:
            return None
        table = counted.section(section).sum(axis=0)
        if section == "residual":
            table = bins.fold(table)
            bins = bins.magnitudes
        return None if not table[: bins.missing_slot].sum() else int(bins.exceedance_slots(table, q))
