"""What a shifted feature looks like: another unit, another feature's values, or mostly missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import FeatureBins, NumericBins
from detectors.measures import psi
from schemas.events import PredictionEvent
from streams.gate.traffic import Traffic

FACTORS: Final[dict[float, str]] = {
    60.0: "60 (hours where minutes were, or minutes where seconds were)",
    3600.0: "3600 (hours where seconds were)",
    24.0: "24 (days where hours were)",
    1000.0: "1000 (kilo, or seconds where milliseconds were)",
    100.0: "100 (a share where percents were)",
    1.609344: "1.609 (miles where kilometres were)",
    2.204623: "2.205 (kilograms where pounds were)",
}
"""Usual mistakes of units, each both ways."""
_MOSTLY: Final = 0.5


def psi_of(reference: NDArray[np.int64], current: NDArray[np.int64]) -> float:
    """Population stability index of two columns of counts; 0 where one of them is empty."""
    if not reference.sum() or not current.sum():
        return 0.0
    return float(psi(reference.astype(np.float64), current.astype(np.float64)))


def hint(traffic: Traffic, feature: str, suspects: Sequence[str], limit: float) -> str:
    """Say what a feature looks like that has left its reference; empty where nothing fits.

    Parameters
    ----------
    traffic
        With the candidate's recorded values.
    feature
        Its name.
    suspects
        All features that have left theirs.
    limit
        What explains the shift must bring it to a third of this, or to an eighth of what it is.
    """
    own = {item.name: item for item in traffic.plan.bins}[feature]
    values = column(traffic.candidate.predictions, feature)
    if np.isnan(values).mean() > _MOSTLY and isinstance(own, NumericBins):
        return f"{np.isnan(values).mean():.0%} of the values are missing"
    expected = traffic.reference.section(f"feature:{feature}")
    now = psi_of(expected, traffic.candidate.whole.section(f"feature:{feature}"))
    found = sorted(_explanations(traffic, own, expected, values, suspects))
    return found[0][1] if found and found[0][0] < max(limit / 3.0, now / 8.0) else ""


def _explanations(
    traffic: Traffic,
    own: FeatureBins,
    expected: NDArray[np.int64],
    values: NDArray[np.float64],
    suspects: Sequence[str],
) -> Iterator[tuple[float, str]]:
    """What may have been done to a feature, and how far from its reference it would be without that."""
    if not isinstance(own, NumericBins):
        return
    for factor, meaning in FACTORS.items():
        yield psi_of(expected, _counts(own, _rounded(values * factor))), f"values are too small by {meaning}"
        yield psi_of(expected, _counts(own, _rounded(values / factor))), f"values are too large by {meaning}"
    bins = {item.name: item for item in traffic.plan.bins}
    for other in suspects:
        theirs = bins[other]
        if other == own.name or not isinstance(theirs, NumericBins):
            continue
        there = psi_of(expected, _counts(own, column(traffic.candidate.predictions, other)))
        back = psi_of(traffic.reference.section(f"feature:{other}"), _counts(theirs, values))
        yield max(there, back), f"it holds the values of {other}, and {other} its own: the columns are swapped"


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To five digits: a value that was divided and written down short would miss the edge that it stood on."""
    sizes = np.floor(np.log10(np.abs(np.where(np.isfinite(values) & (values != 0.0), values, 1.0))))
    units = 10.0 ** (sizes - 4.0)
    return np.asarray(np.round(values / units) * units)


def column(predictions: Sequence[PredictionEvent], feature: str) -> NDArray[np.float64]:
    """A feature's values as numbers; NaN for what is none."""
    found = [event.features.get(feature) for event in predictions]
    return np.array(
        [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else np.nan for v in found],
        dtype=np.float64,
    )


def _counts(bins: NumericBins, values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(bins.encode(values), minlength=bins.n_slots).astype(np.int64)
