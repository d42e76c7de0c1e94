"""Plan: a pure function of ModelSpec, Reference and monitors, that says how events are counted."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import FeatureBins, NumericBins, bins_from_dict
from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS
from detectors.regression import ResidualBins
from schemas.base import milliseconds
from schemas.identifiers import ALL_SEGMENT, OTHER_VALUE, digest, segment_name
from schemas.models import ModelSpec, TaskKind
from schemas.monitors import Monitor, Rule
from schemas.references import Reference
from streams.control import layout as sections
from streams.control.blocks import Block, decompress_blocks
from streams.control.layout import Layout

POSITIVE_BY_DEFAULT: Final = frozenset({"1", "true"})
"""Positive class of a binary model that names none."""
RESIDUAL_BINS: Final = ResidualBins(minimum=1e-3, maximum=1e3, gamma=1.3)
"""Bins of a regression residual (predicted minus actual), in units of the reference's median residual."""


@dataclass(frozen=True)
class Plan:
    """How the events of one model are counted; `plan_id` is part of the key of every profile."""

    spec: ModelSpec
    reference: Reference | None
    rules: tuple[tuple[str, Rule], ...] = ()
    """Guardrails: monitor_id and predicate."""
    sequence_outcomes: bool = False
    """Whether matured outcomes are emitted in order, for detectors that read sequences."""
    bins: tuple[FeatureBins, ...] = field(init=False)
    plan_id: str = field(init=False)

    def __post_init__(self) -> None:
        bins = tuple(bins_from_dict(item) for item in self.reference.bins) if self.reference else ()
        object.__setattr__(self, "bins", bins)
        object.__setattr__(self, "plan_id", digest(self._content())[:16])

    def _content(self) -> list[object]:
        """What decides how events are counted, and nothing else."""
        spec = self.spec
        counted = {
            "environment", "model_name", "task", "classes", "positive_class", "time_zone", "cell", "label_horizon",
            "segments", "groups",
        }  # fmt: skip
        return [
            spec.model_dump(mode="json", include=counted),
            [item.to_dict() for item in self.bins],
            None if self.reference is None else [
                self.reference.prediction_bins, self.reference.residual_scale, self.reference.segment_values,
                self.reference.group_values, self.reference.classes,
            ],
            [[monitor_id, rule.model_dump(mode="json")] for monitor_id, rule in self.rules],
        ]  # fmt: skip

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Features that are counted, in order of their bins."""
        return tuple(item.name for item in self.bins)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names by code. Binary: (negative, positive); multiclass ends with a class for all others."""
        spec = self.spec
        if spec.task is TaskKind.REGRESSION:
            return ()
        known = spec.classes or tuple(self.reference.classes if self.reference else ())
        if spec.task is TaskKind.MULTICLASS:
            return (*known, OTHER_VALUE)
        positive = spec.positive_class or next((c for c in known if c in POSITIVE_BY_DEFAULT), "1")
        negatives = [name for name in known if name != positive]
        return (negatives[0] if negatives else OTHER_VALUE, positive)

    @cached_property
    def positive_values(self) -> frozenset[str]:
        """Labels that count as the positive class of a binary model."""
        if self.spec.positive_class is not None:
            return frozenset({self.spec.positive_class})
        return POSITIVE_BY_DEFAULT

    @cached_property
    def class_codes(self) -> dict[str, int]:
        """Class name to code (multiclass); others take the last code."""
        return {name: code for code, name in enumerate(self.classes)}

    @cached_property
    def prediction_bins(self) -> NumericBins | None:
        """Bins of the predicted value (regression)."""
        if self.reference is None or self.reference.prediction_bins is None:
            return None
        bins = bins_from_dict(self.reference.prediction_bins)
        if not isinstance(bins, NumericBins):
            msg = f"prediction_bins = {self.reference.prediction_bins!r}: expected numeric bins"
            raise TypeError(msg)
        return bins

    @cached_property
    def segment_values(self) -> dict[str, tuple[str, ...]]:
        """Values per segment dimension; the last one takes all others."""
        return {name: self._values(name, "segment_values") for name in self.spec.segments}

    @cached_property
    def group_values(self) -> dict[str, tuple[str, ...]]:
        """Values per group; the last one takes all others."""
        return {name: self._values(name, "group_values") for name in self.spec.groups}

    def _values(self, name: str, kind: str) -> tuple[str, ...]:
        known: dict[str, list[str]] = getattr(self.reference, kind) if self.reference else {}
        return (*known.get(name, [])[: self.spec.max_segment_values], OTHER_VALUE)

    @cached_property
    def segment_names(self) -> tuple[str, ...]:
        """Every segment by code: `__all__` first, then dimension by dimension."""
        names = [segment_name(dim, value) for dim, values in self.segment_values.items() for value in values]
        return (ALL_SEGMENT, *names)

    @cached_property
    def segment_offsets(self) -> dict[str, int]:
        """Code of the first segment of each dimension."""
        offsets: dict[str, int] = {}
        end = 1
        for name, values in self.segment_values.items():
            offsets[name] = end
            end += len(values)
        return offsets

    @cached_property
    def is_count(self) -> NDArray[np.bool_]:
        """Which slots hold counts, never below zero; shape (width,)."""
        mask = np.ones(self.layout.width, dtype=np.bool_)
        for name in self.layout.sums:
            mask[self.layout.slice(name)] = False
        return mask

    @cached_property
    def cell_ms(self) -> int:
        """Length of a cell in milliseconds."""
        return milliseconds(self.spec.cell)

    @cached_property
    def value_scale(self) -> float:
        """Unit in which a regression's errors and values are summed."""
        scale = self.reference.residual_scale if self.reference else None
        return scale or 1.0

    @cached_property
    def layout(self) -> Layout:
        """Where each count sits."""
        n_classes = len(self.classes)
        parts: list[tuple[str, int]] = [
            (sections.N_PREDICTIONS, 1),
            (sections.N_SERVING_ERRORS, 1),
            (sections.N_BACKFILL, 1),
            (sections.SUM_LATENCY, 1),
            (sections.SUM_COST, 1),
            (sections.LATENCY, LATENCY_BINS.n_slots),
            (sections.COST, COST_BINS.n_slots),
            (sections.TYPE_FINDING, len(self.bins) + 1),
            (sections.SCHEMA_FINDING, 1),
            *((sections.feature_section(item.name), item.n_slots) for item in self.bins),
            *((sections.rule_section(monitor_id), 2) for monitor_id, _ in self.rules),
            *((sections.group_section(name), 2 * len(values)) for name, values in self.group_values.items()),
            (sections.N_LABELLED, 1),
            (sections.LABEL_DELAY, DELAY_BINS.n_slots),
        ]
        if self.spec.task is TaskKind.REGRESSION:
            if self.prediction_bins is not None:
                parts.append((sections.PREDICTION, self.prediction_bins.n_slots))
            parts.append((sections.RESIDUAL, RESIDUAL_BINS.n_slots))
            parts += [(name, 1) for name in REGRESSION_SUMS]
            if self.prediction_bins is not None:
                parts += [(name, self.prediction_bins.n_slots) for name in ERRORS_BY_PREDICTION]
        else:
            parts += [(sections.PREDICTION, n_classes), (sections.CONFUSION, n_classes * n_classes)]
            parts += [(sections.SCORE, sections.N_SCORE_BINS + 1)]
            if self.spec.task is TaskKind.BINARY:
                parts.append((sections.OUTCOME_SCORE, 2 * sections.N_SCORE_BINS))
                parts += [
                    (sections.group_outcome_section(name), 4 * len(values))
                    for name, values in self.group_values.items()
                ]
            else:
                # Wrong and right predictions by the score of what was said.
                parts.append((sections.OUTCOME_SCORE, 2 * sections.N_SCORE_BINS))
        return Layout.of(parts)


REGRESSION_SUMS: Final = (
    sections.SUM_ABS_ERROR,
    sections.SUM_SQUARED_ERROR,
    sections.SUM_ACTUAL,
    sections.SUM_ACTUAL_SQUARED,
)

ERRORS_BY_PREDICTION: Final = (
    sections.LABELLED_AT,
    sections.RELATIVE_AT,
    sections.SUM_ABS_ERROR_AT,
    sections.SUM_SQUARED_ERROR_AT,
    sections.SUM_RELATIVE_ERROR_AT,
)
"""What a regression's errors are at each slot of its prediction: what errors are expected of predictions like it."""


def make_plan(spec: ModelSpec, reference: Reference | None, monitors: Sequence[Monitor]) -> Plan:
    """Derive the plan of a model; the order of the monitors does not matter."""
    rules = tuple(sorted((m.monitor_id, m.rule) for m in monitors if m.rule is not None and not m.retired))
    return Plan(spec, reference, rules, any(_reads_sequence(monitor) for monitor in monitors))


def _reads_sequence(monitor: Monitor) -> bool:
    return monitor.detector not in {"e_detector", "threshold"} and not monitor.retired


def reference_blocks(reference: Reference) -> list[Block]:
    """Decode the per-cell counts of a reference; slots are those of `reference_layout`."""
    return decompress_blocks(base64.b64decode(reference.blocks)) if reference.blocks else []


def reference_layout(reference: Reference) -> Layout:
    """Layout under which a reference was counted."""
    return Layout.of((section.name, section.width) for section in reference.sections)


def rule_fields(plan: Plan) -> list[str]:
    """Fields that guardrails read."""
    return [name for _, rule in plan.rules for name in (rule.field, rule.less_or_equal) if name is not None]
