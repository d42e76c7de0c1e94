"""The typed shape of a model's predictions, made from its plans: what the fast path decodes into."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain, starmap
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from detectors.binning import NumericBins
from schemas.events import DEFAULT_ENVIRONMENT
from streams.control.plan import Plan, rule_fields
from streams.ingest.values import Float64

EventTime = float | Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
LARGEST_INT: Final = 2**63 - 1
Category = str | bool | Annotated[int, msgspec.Meta(ge=-LARGEST_INT, le=LARGEST_INT)] | None
Number = float | None

_ENVELOPE: Final[tuple[tuple[Any, ...], ...]] = (
    ("prediction_id", Text),
    ("model_version", Text),
    ("prediction_timestamp", EventTime),
    ("environment", Text, DEFAULT_ENVIRONMENT),
    ("prediction_label", Category, None),
    ("prediction_value", Number, math.nan),
    ("prediction_score", float | dict[str, float] | None, None),
    ("shap_values", msgspec.Raw, b""),
    ("latency_seconds", Number, math.nan),
    ("cost_usd", Number, math.nan),
    ("error", str | None, None),
    ("variant", str | None, None),
    ("backfill", bool, False),
)
TAGS: Final = dict[str, Category]


class PredictionSchema:
    """One model's struct, and fast access to its features.

    Parameters
    ----------
    model_name
        The tag that tells this model's records from others.
    plans
        Every plan that may be in force, of every environment. Features are known by their bins; with a plan that
        has none everything is taken as it comes, into a dict.
    """

    def __init__(self, model_name: str, plans: Sequence[Plan]) -> None:
        self.model_name = model_name
        self.is_open = any(plan.reference is None for plan in plans)
        kinds = {} if self.is_open else _kinds(plans)
        self.numeric = tuple(name for name, kind in kinds.items() if kind == "numeric")
        others = tuple(name for name, kind in kinds.items() if kind != "numeric")
        self._mixed = frozenset(name for name, kind in kinds.items() if kind == "mixed")
        self._attributes = {name: f"f{i}" for i, name in enumerate((*self.numeric, *others))}
        self._column = {name: i for i, name in enumerate(self.numeric)}
        self.features: Any = dict[str, Any] if self.is_open else self._features(kinds)
        default = msgspec.field(default_factory=dict if self.is_open else self.features)
        self.struct: type[Any] = msgspec.defstruct(
            "Prediction",
            [*_ENVELOPE, ("features", self.features, default), ("tags", TAGS, msgspec.field(default_factory=dict))],
            tag_field="model_name",
            tag=model_name,
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )
        self._pack = struct.Struct(f"{len(self.numeric)}d").pack
        self._get_numeric = _getter([self._attributes[name] for name in self.numeric])

    def _features(self, kinds: dict[str, str]) -> type[Any]:
        types: dict[str, tuple[Any, Any]] = {
            "numeric": (Number, math.nan),
            "categorical": (Category, None),
            "mixed": (float | str | bool | None, None),
        }
        return msgspec.defstruct(
            "Features",
            [(self._attributes[name], *types[kind]) for name, kind in kinds.items()],
            rename={attribute: name for name, attribute in self._attributes.items()},
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )

    def knows(self, name: str) -> bool:
        """Whether a feature of that name is decoded; with an open schema any is."""
        return self.is_open or name in self._attributes

    def takes_numbers(self, name: str) -> bool:
        """Whether a feature that is not numeric may hold numbers all the same."""
        return self.is_open or name in self._mixed

    def make_features(self, values: dict[str, Any]) -> Any:
        """Build the features of one record from checked values."""
        if self.is_open:
            return values
        return self.features(**{self._attributes[name]: value for name, value in values.items()})

    def named(self, features: Any) -> dict[str, Any]:
        """One record's features by name; those that are missing are left out."""
        if self.is_open:
            return dict(features)
        found = {name: getattr(features, attribute) for name, attribute in self._attributes.items()}
        # A number that is not itself is NaN: the default of a missing numeric feature.
        return {name: value for name, value in found.items() if value is not None and value == value}  # noqa: PLR0124

    def column(self, features: Sequence[Any], name: str) -> list[Any] | None:
        """Raw values of one feature; None where it is not known."""
        if self.is_open:
            return [row.get(name) for row in features]
        attribute = self._attributes.get(name)
        return None if attribute is None else list(map(attrgetter(attribute), features))

    def matrix(self, features: Sequence[Any], names: Sequence[str]) -> Float64:
        """Numeric features as float64 of shape (n, len(names)); None, and what is no number, as NaN."""
        if self.is_open or not set(names) <= self._column.keys():
            columns = [_numbers(self.column(features, name), len(features)) for name in names]
            return np.stack(columns, axis=1) if columns else np.empty((len(features), 0))
        n, width = len(features), len(self.numeric)
        if not width:
            return np.empty((n, 0))
        try:
            # Packing a row of doubles at a time takes two thirds of the time of np.fromiter.
            flat = np.frombuffer(b"".join(starmap(self._pack, map(self._get_numeric, features))), dtype=np.float64)
        except struct.error:  # a null among them
            rows = chain.from_iterable(map(self._get_numeric, features))
            flat = np.array([math.nan if value is None else value for value in rows], dtype=np.float64)
        matrix = flat.reshape(n, width)
        wanted = [self._column[name] for name in names]
        return matrix if wanted == list(range(width)) else matrix[:, wanted]


def _getter(attributes: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(attributes) == 1:
        single = attrgetter(attributes[0])
        return lambda row: (single(row),)
    return attrgetter(*attributes) if attributes else lambda _: ()


def _numbers(values: Sequence[Any] | None, n: int) -> Float64:
    if values is None:
        return np.full(n, math.nan)
    return np.array([as_float(v) for v in values], dtype=np.float64)


def is_number(value: object) -> bool:
    """Whether a raw value is a number, which a boolean is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_float(value: Any) -> float:
    """A raw value as a number: NaN where it is none, infinite where it is too large an integer."""
    if not is_number(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _kinds(plans: Sequence[Plan]) -> dict[str, str]:
    """Features by kind; those with bins, in order, and then fields of rules and dimensions that have none."""
    kinds: dict[str, str] = {}
    for plan in plans:
        for item in plan.bins:
            kind = "numeric" if isinstance(item, NumericBins) else "categorical"
            kinds[item.name] = kind if kinds.get(item.name, kind) == kind else "mixed"
    for plan in plans:
        for name in (*plan.spec.segments, *plan.spec.groups, *rule_fields(plan)):
            kinds.setdefault(name, "mixed")
    return kinds
