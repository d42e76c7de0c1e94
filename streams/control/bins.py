"""From columns of raw values to the bins, values and scales of a reference: pure, for replays and first references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeGuard

import numpy as np

from detectors.binning import CategoricalBins, FeatureBins, NumericBins
from schemas.base import from_milliseconds
from schemas.models import ModelSpec, TaskKind
from schemas.profiles import Sample
from schemas.references import BuiltFrom, Reference

FeatureKind = Literal["numeric", "categorical"]
TAG_PREFIX: Final = "tags."
"""Put before the names of tags where tags and features stand in one mapping, as in a `Sample`."""
_MAX_CLASSES: Final = 100
_TOO_LARGE_INT: Final = 2**63
"""Integers from here on name nothing."""


def canonical_text(value: object) -> str | None:
    """Name a category: a text as it is, `true` or `false`, a number without a needless `.0`; None for all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < _TOO_LARGE_INT else None
    if isinstance(value, float) and np.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def infer_kind(values: Iterable[object]) -> FeatureKind:
    """Tell a feature's kind: numeric where every value that is not missing is a number, and no boolean."""
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return "categorical"
    return "numeric"


def feature_bins(name: str, values: Sequence[object], kind: FeatureKind) -> FeatureBins:
    """Cut the bins of one feature.

    Parameters
    ----------
    name
        The feature's name.
    values
        Raw values; None is missing, and what does not fit the kind is left out.
    kind
        `numeric` or `categorical`.
    """
    if kind == "numeric":
        numbers = [float(v) for v in values if _is_number(v)]
        return NumericBins.from_sample(name, numbers)
    return CategoricalBins.from_sample(name, [canonical_text(v) for v in values])


def _is_number(value: object) -> TypeGuard[float]:
    is_int = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE_INT
    return is_int or isinstance(value, float)


def frequent_values(values: Iterable[object], *, at_most: int) -> list[str]:
    """Return the most frequent values, by name; equal counts in alphabetical order."""
    counts = Counter(text for text in map(canonical_text, values) if text is not None)
    return sorted(counts, key=lambda text: (-counts[text], text))[:at_most]


def reference_from_columns(
    spec: ModelSpec,
    columns: Mapping[str, Sequence[object]],
    *,
    reference_id: str,
    built_from: BuiltFrom,
    predictions: Sequence[object] = (),
    residuals: Sequence[float] = (),
    classes: Sequence[object] = (),
    revision: int = 1,
    model_version: str = "",
    dataset_version: str = "",
    effective_from: datetime | None = None,
) -> Reference:
    """Make a reference that holds bins and no counts.

    Parameters
    ----------
    spec
        Names segments and groups, and may fix kinds and classes.
    columns
        Raw values by feature, and by `tags.` + name for tags; all of one length.
    reference_id, built_from, revision, model_version, dataset_version, effective_from
        As in `Reference`.
    predictions
        What was predicted: values of a regression, classes otherwise.
    residuals
        Predicted minus actual (regression). Without any the unit is half the interquartile range of the predictions.
    classes
        Further classes, such as actual ones.
    """
    names = sorted(name for name in columns if not name.startswith(TAG_PREFIX))
    bins = [feature_bins(n, columns[n], spec.features.get(n) or infer_kind(columns[n])) for n in names]
    regression = spec.task is TaskKind.REGRESSION
    values = [float(v) for v in predictions if _is_number(v)]
    known = (
        []
        if regression
        else list(spec.classes) or sorted(frequent_values([*predictions, *classes], at_most=_MAX_CLASSES))
    )
    return Reference(
        reference_id=reference_id,
        revision=revision,
        environment=spec.environment,
        model_name=spec.model_name,
        model_version=model_version,
        dataset_version=dataset_version,
        built_from=built_from,
        effective_from=effective_from,
        cell=spec.cell,
        time_zone=spec.time_zone,
        bins=[item.to_dict() for item in bins],
        prediction_bins=NumericBins.from_sample("prediction", values).to_dict() if regression and values else None,
        residual_scale=_scale(values, residuals) if regression else None,
        classes=known,
        segment_values=_values_of(spec, spec.segments, columns),
        group_values=_values_of(spec, spec.groups, columns),
    )


def _values_of(
    spec: ModelSpec, dimensions: Sequence[str], columns: Mapping[str, Sequence[object]]
) -> dict[str, list[str]]:
    return {
        name: frequent_values(
            columns.get(name) or columns.get(TAG_PREFIX + name) or (), at_most=spec.max_segment_values
        )
        for name in dimensions
    }


def _scale(values: Sequence[float], residuals: Sequence[float]) -> float:
    finite = np.abs(np.asarray(residuals, dtype=np.float64))
    finite = finite[np.isfinite(finite)]
    if finite.size and (median := float(np.median(finite))) > 0.0:
        return median
    spread = float(np.subtract(*np.percentile(values, [75, 25]))) / 2.0 if values else 0.0
    return spread if spread > 0.0 and np.isfinite(spread) else 1.0


def reference_from_samples(
    spec: ModelSpec,
    samples: Sequence[Sample],
    *,
    reference_id: str,
    revision: int = 1,
    model_version: str = "",
    effective_from: datetime | None = None,
) -> Reference:
    """Make the first reference of a model from its bottom-k samples: bins alone, to be counted into afterwards.

    Parameters
    ----------
    spec
        The model.
    samples
        Of any order; at least one.
    reference_id, revision, model_version, effective_from
        As in `Reference`.

    Raises
    ------
    ValueError
        Without samples.
    """
    if not samples:
        msg = f"no samples of {spec.model_name!r}: expected at least one"
        raise ValueError(msg)
    columns = columns_of([sample.features for sample in samples])
    built = BuiltFrom(
        kind="first",
        description=f"bottom-k sample of {len(samples)} predictions",
        n_predictions=len(samples),
        start=from_milliseconds(min(sample.timestamp_ms for sample in samples)),
        end=from_milliseconds(max(sample.timestamp_ms for sample in samples)),
    )
    return reference_from_columns(
        spec,
        columns,
        reference_id=reference_id,
        built_from=built,
        predictions=[sample.prediction for sample in samples],
        revision=revision,
        model_version=model_version,
        effective_from=effective_from,
    )


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows into columns; what a row lacks is None."""
    names = sorted({name for row in rows for name in row})
    return {name: [row.get(name) for row in rows] for name in names}
