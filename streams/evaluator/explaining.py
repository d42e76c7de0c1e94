"""How a feature moved, in words: medians and tails of ordered bins, gains and losses of categories."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.binning import CategoricalBins, FeatureBins, NumericBins

MAXIMUM_NAMED: Final = 2
"""Categories that are named in each direction."""
_NOTHING: Final = 1e-9


def describe_move(bins: FeatureBins, expected: NDArray[np.float64], share: NDArray[np.float64]) -> str:
    """Say in reference and current terms how a feature moved.

    Parameters
    ----------
    bins
        The feature's bins.
    expected, share
        The reference's and the current share of each slot that is compared, shape (n,), each with sum 1; n is
        `n_ranked` of numeric bins, and `missing_slot` of categorical ones.

    Returns
    -------
    str
        Such as `median 2 -> 0.03; 98.0% below the reference's 5 % quantile (5.0% in the reference)`.

    Raises
    ------
    ValueError
        If the shares do not belong to the bins.
    """
    n_slots = bins.n_ranked if isinstance(bins, NumericBins) else bins.missing_slot
    for name, given in (("expected", expected), ("share", share)):
        if given.shape != (n_slots,):
            msg = f"{name}: shape {given.shape} given for feature {bins.name!r}, expected ({n_slots},)"
            raise ValueError(msg)
    if isinstance(bins, NumericBins):
        return _describe_values(bins, expected, share)
    return _describe_categories(bins, expected, share)


def quantile_text(bins: NumericBins, share: NDArray[np.float64], level: float) -> str:
    """A quantile from the shares of ranked slots, linear within a bin; outside of all edges only a bound is known."""
    if not bins.edges:
        return "any value"
    cumulative = np.cumsum(share)
    slot = min(int(np.searchsorted(cumulative, level * cumulative[-1], side="left")), share.size - 1)
    if slot == 0:
        return f"< {bins.edges[0]:.3g}"
    if slot == share.size - 1:
        return f"> {math.nextafter(bins.edges[-1], -math.inf):.3g}"
    low, high = bins.edges[slot - 1], bins.edges[slot]
    if low in bins.atoms:
        return f"{low:.3g}"
    within = (level * float(cumulative[-1]) - float(cumulative[slot - 1])) / float(share[slot])
    return f"{low + within * (high - low):.3g}"


def _describe_values(bins: NumericBins, expected: NDArray[np.float64], share: NDArray[np.float64]) -> str:
    medians = f"median {quantile_text(bins, expected, 0.5)} -> {quantile_text(bins, share, 0.5)}"
    if not bins.edges:
        return medians
    before, now = np.cumsum(expected)[:-1], np.cumsum(share)[:-1]
    cut = int(np.abs(now - before).argmax())
    below = bool(now[cut] > before[cut])
    usual, current = (before[cut], now[cut]) if below else (max(0.0, 1.0 - before[cut]), max(0.0, 1.0 - now[cut]))
    return f"{medians}; {current:.1%} {_side(bins, cut, below)} {_cut(before, cut)} ({usual:.1%} in the reference)"


def _side(bins: NumericBins, cut: int, below: bool) -> str:
    """A cut right above an atom has the atom itself below it."""
    after_atom = cut > 0 and bins.edges[cut - 1] in bins.atoms
    if below:
        return "at or below" if after_atom or cut == len(bins.edges) - 1 else "below"
    return "above" if after_atom or cut == len(bins.edges) - 1 else "at or above"


def _cut(before: NDArray[np.float64], cut: int) -> str:
    if cut == 0:
        return "the reference's smallest value"
    if cut == before.size - 1:
        return "the reference's largest value"
    return f"the reference's {100 * before[cut]:.2g} % quantile"


def _describe_categories(bins: CategoricalBins, expected: NDArray[np.float64], share: NDArray[np.float64]) -> str:
    names, change = [*bins.categories, "other"], share - expected
    order = np.argsort(-np.abs(change), kind="stable")
    gained = [i for i in order if change[i] > _NOTHING][:MAXIMUM_NAMED]
    lost = [i for i in order if change[i] < -_NOTHING][:MAXIMUM_NAMED]
    parts = [
        f"{verb} " + ", ".join(f"{names[i]} ({expected[i]:.1%} in the reference, {share[i]:.1%} now)" for i in chosen)
        for verb, chosen in (("gained", gained), ("lost", lost))
        if chosen
    ]
    return "; ".join(parts) or "no category has moved"
