"""Bins of features: from a value to a small code; counts per code merge by addition.

A numeric feature has a slot for every quantile bin of its reference, one below its minimum, one above its
maximum, one for each atom (a value with more than a bin's share of the rows), and indicators for missing
and non-finite values. A categorical one has its most frequent categories, the other known ones, missing,
and what the reference never saw.
"""

from collections.abc import Mapping
from typing import Any

from detectors.categorical_bins import MAXIMUM_KNOWN_REST, CategoricalBins
from detectors.numeric_bins import NumericBins

__all__ = ["MAXIMUM_KNOWN_REST", "CategoricalBins", "FeatureBins", "NumericBins", "bins_from_dict"]

FeatureBins = NumericBins | CategoricalBins


def bins_from_dict(data: Mapping[str, Any]) -> FeatureBins:
    """Return the bins of either kind that `to_dict` described.

    Parameters
    ----------
    data
        With "kind": "numeric" or "categorical".

    Returns
    -------
    NumericBins or CategoricalBins
        Equal to the original.

    Raises
    ------
    ValueError
        If the kind is neither.
    """
    kind = data.get("kind")
    if kind == "numeric":
        return NumericBins.from_dict(data)
    if kind == "categorical":
        return CategoricalBins.from_dict(data)
    raise ValueError(f"kind: {kind!r} given, expected 'numeric' or 'categorical'")
