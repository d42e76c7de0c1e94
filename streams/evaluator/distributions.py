"""Distributions of many series read at once: one array operation in the place of one call for each series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import NumericBins
from detectors.stacked import CategoricalBets, HeldStack, OrderedBets, StackedReferences
from detectors.stacked_divergences import stacked_companions
from schemas.models import TaskKind
from schemas.monitors import Monitor
from streams.control import layout as sections
from streams.control.plan import Plan
from streams.evaluator.explaining import describe_move
from streams.evaluator.reference_view import ReferenceView, Slots
from streams.evaluator.series import Reading, Series, Shown
from streams.evaluator.signals import Counted

_UNSEEN: Final = -1
"""Stands for every cell of the week that the reference does not hold: all of them are held against the same."""


def read_distributions(
    series: Sequence[Series],
    counted: Callable[[str], Counted],
    view: ReferenceView | None,
    context: int | None,
    n_series: int,
) -> Iterator[tuple[str, Reading]]:
    """Read all series of one drift monitor in one window.

    Parameters
    ----------
    series
        All that the monitor watches under the view's plan; always the same ones for a monitor.
    counted
        The window's counts of a segment.
    view
        The reference; None while there is none.
    context
        The window's cell of the week; None for the reference as a whole.
    n_series
        Number of series that share the error of an estimated baseline.
    """
    if view is None or not view.has_counts:
        for one in series:
            window = counted(one.segment)
            slots = slots_of(one, window.plan)
            n = int(window.section(slots.section)[: slots.n_ranked].sum())
            yield one.key, Reading(n, None, None, why="no reference with counts yet")
        return
    monitor = series[0].monitor
    stacks = view.kept(("stacks", monitor.revision, n_series), lambda: _stacks(series, view, context, n_series))
    for stack in stacks:
        yield from stack.read(counted, context)


def slots_of(series: Series, plan: Plan) -> Slots:
    """Say which slots of a layout are compared."""
    if series.feature is not None:
        bins = plan.bins[plan.feature_names.index(series.feature)]
        section = sections.feature_section(series.feature)
        if isinstance(bins, NumericBins):
            return Slots(section, bins.n_ranked, ordered=True)
        return Slots(section, bins.missing_slot, ordered=False)
    if plan.prediction_bins is not None:
        return Slots(sections.PREDICTION, plan.prediction_bins.n_ranked, ordered=True)
    if plan.spec.task is TaskKind.BINARY:
        return Slots(sections.SCORE, sections.N_SCORE_BINS, ordered=True)
    return Slots(sections.PREDICTION, len(plan.classes), ordered=False)


def _labels(plan: Plan) -> list[str]:
    """The names of the slots of predictions that are compared."""
    if plan.prediction_bins is not None:
        return plan.prediction_bins.labels()
    if plan.spec.task is TaskKind.BINARY:
        return [f"score {slot / sections.N_SCORE_BINS:.2f}" for slot in range(sections.N_SCORE_BINS)]
    return list(plan.classes)


def _stacks(series: Sequence[Series], view: ReferenceView, context: int | None, n_series: int) -> list[_Stack]:
    by_slots: dict[tuple[bool, int], list[tuple[Series, Slots]]] = {}
    for one in series:
        slots = slots_of(one, view.plan)
        by_slots.setdefault((slots.ordered, slots.n_ranked), []).append((one, slots))
    split = context is not None
    return [_Stack(own, view, split=split, n_series=n_series) for own in by_slots.values()]


class _Stack:
    """Series of one monitor with the same number of slots, and what they are held against.

    The bets of one context are kept: those of the last window, or of the reference as a whole.
    """

    def __init__(self, own: Sequence[tuple[Series, Slots]], view: ReferenceView, *, split: bool, n_series: int) -> None:
        found = view.seasonal([(one.segment, slots) for one, slots in own], split=split)
        known = [(one, slots, found[one.segment, slots]) for one, slots in own if (one.segment, slots) in found]
        self._unknown = [(one, slots) for one, slots in own if (one.segment, slots) not in found]
        self._series = [one for one, _, _ in known]
        self._monitor: Monitor = own[0][0].monitor
        self._plan = view.plan
        self._ordered, self._n_ranked = own[0][1].ordered, own[0][1].n_ranked
        self._n_series = n_series
        self._references = StackedReferences([reference for _, _, reference in known]) if known else None
        self._null = None
        if self._ordered:
            self._null = np.array([view.wasserstein_null(one.segment, slots) for one, slots, _ in known])
        self._segments = sorted({one.segment for one in self._series})
        row = {segment: i for i, segment in enumerate(self._segments)}
        self._rows = np.array([row[one.segment] for one in self._series], dtype=np.int64)
        starts = [self._plan.layout.slice(slots.section).start for _, slots, _ in known]
        self._slots = np.array(starts, dtype=np.int64)[:, None] + np.arange(self._n_ranked)
        self._kept: tuple[int | None, HeldStack, OrderedBets | CategoricalBets] | None = None

    def read(self, counted: Callable[[str], Counted], context: int | None) -> Iterator[tuple[str, Reading]]:
        for one, slots in self._unknown:
            n = int(counted(one.segment).section(slots.section)[: slots.n_ranked].sum())
            yield one.key, Reading(n, None, None, why="the reference holds too little of this series")
        if self._references is None:
            return
        held, bets = self._held(self._references, context)
        table = np.array([counted(segment).counts for segment in self._segments])
        counts = table[self._rows[:, None], self._slots]
        log_bets = bets.log_bets(counts.astype(np.float64))
        n = counts.sum(axis=1)
        shown = self._shown(held, counts, n)
        for i, (one, size) in enumerate(zip(self._series, n.tolist(), strict=True)):
            if not size:
                yield one.key, Reading(0, None, 0.0, log_bets[i])
                continue
            companions = shown[i]
            say = partial(self._most_moved, i, held, counts)
            yield one.key, Reading(size, companions[0].value, 0.0, log_bets[i], companions=companions, summarise=say)

    def _held(
        self, references: StackedReferences, context: int | None
    ) -> tuple[HeldStack, OrderedBets | CategoricalBets]:
        name = context if context is None or references.has(context) else _UNSEEN
        if self._kept is None or self._kept[0] != name:
            held = references.at(name)
            build = OrderedBets if self._ordered else CategoricalBets
            self._kept = name, held, build(held, n_series=self._n_series, tolerance=self._monitor.tolerance)
        return self._kept[1], self._kept[2]

    def _shown(self, held: HeldStack, counts: NDArray[np.int64], n: NDArray[np.int64]) -> dict[int, tuple[Shown, ...]]:
        some = np.flatnonzero(n)
        if not some.size:
            return {}
        found = stacked_companions(
            held.probabilities[some],
            counts[some].astype(np.float64),
            n=held.n[some],
            inflation=held.inflation[some].max(axis=1),
            wasserstein_null=None if self._null is None else self._null[some],
        )
        columns = [
            map(Shown._make, zip([c.name] * some.size, c.values.tolist(), c.thresholds.tolist(), strict=True))
            for c in found
        ]
        return dict(zip(some.tolist(), zip(*columns, strict=True), strict=True))

    def _most_moved(self, i: int, held: HeldStack, counts: NDArray[np.int64]) -> str:
        expected, share = held.probabilities[i], counts[i] / counts[i].sum()
        feature = self._series[i].feature
        if feature is not None:
            return describe_move(self._plan.bins[self._plan.feature_names.index(feature)], expected, share)
        slot = int(np.abs(share - expected).argmax())
        name = _labels(self._plan)[slot]
        return f"{name}: {expected[slot]:.1%} in the reference, {share[slot]:.1%} now"
