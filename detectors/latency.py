"""Logarithmic bins for latencies, costs and delays: mergeable, with quantiles of a stated accuracy.

A quantile from bins that grow by gamma is within (gamma - 1) / (gamma + 1) of the exact one: 4.8 % for
`LATENCY_BINS` (gamma 1.1, 173 slots), 9.1 % for `COST_BINS` (1.2, 130), 13 % for `DELAY_BINS` (1.3, 61).
The share above the reference's p50, p95 or p99 needs no model of the tail: it is a count of slots, for
algorithm A.

References
----------
Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees"
(2019).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import CodeArray, FloatArray, as_counts, check_between, code_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBins:
    """Slots: 0 for values up to the minimum (zero and below included), the log bins, overflow, missing.

    Log bin i, slot i from 1, holds (minimum gamma^(i-1), minimum gamma^i].

    Parameters
    ----------
    minimum
        Values up to here share the first slot; positive, in the unit of the values.
    maximum
        Values above the last bin, which reaches at least to here, overflow.
    gamma
        Growth of the bins, above 1.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    minimum: float
    maximum: float
    gamma: float

    def __post_init__(self) -> None:
        check_between("minimum", self.minimum, 0.0, math.inf)
        check_between("maximum", self.maximum, self.minimum, math.inf)
        check_between("gamma", self.gamma, 1.0, math.inf)

    @property
    def n_log_bins(self) -> int:
        """Bins between minimum and maximum."""
        return math.ceil(math.log(self.maximum / self.minimum) / math.log(self.gamma))

    @property
    def overflow_slot(self) -> int:
        """The slot of values above the last bin, plus infinity included."""
        return self.n_log_bins + 1

    @property
    def missing_slot(self) -> int:
        """The slot of NaN."""
        return self.n_log_bins + 2

    @property
    def n_slots(self) -> int:
        """All slots."""
        return self.n_log_bins + 3

    @property
    def relative_accuracy(self) -> float:
        """Largest relative error of a quantile between minimum and maximum."""
        return (self.gamma - 1.0) / (self.gamma + 1.0)

    def encode(self, values: npt.ArrayLike) -> CodeArray:
        """Return the slot of each value.

        Parameters
        ----------
        values
            Shape (n,), in the unit of `minimum`; NaN is missing.

        Returns
        -------
        numpy.ndarray
            Shape (n,), uint8, or uint16 with more than 256 slots.
        """
        x = np.asarray(values, dtype=np.float64)
        within = np.clip(x, self.minimum, self.maximum * self.gamma)
        positions = np.ceil(np.log(within / self.minimum) / math.log(self.gamma))
        positions = np.minimum(positions, self.overflow_slot)
        positions = np.where(x == np.inf, self.overflow_slot, positions)
        return np.where(np.isnan(x), self.missing_slot, positions).astype(code_dtype(self.n_slots))

    def representatives(self) -> FloatArray:
        """Return the value that stands for each slot but the missing one, shape (n_slots - 1,).

        0 for the first slot, the end of the last bin for overflow, otherwise the point whose relative error
        is least.
        """
        ends = self.minimum * self.gamma ** np.arange(1, self.n_log_bins + 1)
        return np.concatenate([[0.0], ends * (2.0 / (1.0 + self.gamma)), ends[-1:]])

    def quantile_slot(self, counts: npt.ArrayLike, q: float) -> int | None:
        """Return the slot of the lower q-quantile of the values that are not missing.

        Parameters
        ----------
        counts
            Shape (n_slots,).
        q
            In (0, 1).

        Returns
        -------
        int or None
            None without values.

        Raises
        ------
        ValueError
            If the shape or q is wrong.
        """
        check_between("q", q, 0.0, 1.0)
        n = self._checked(counts)
        cumulated = np.cumsum(n[:-1])
        if not cumulated[-1] > 0.0:
            return None
        rank = max(1.0, math.ceil(q * cumulated[-1]))
        return int(np.searchsorted(cumulated, min(rank, cumulated[-1])))

    def quantile(self, counts: npt.ArrayLike, q: float) -> float | None:
        """Return the q-quantile of the values that are not missing, within `relative_accuracy`.

        Parameters
        ----------
        counts
            Shape (n_slots,).
        q
            In (0, 1).

        Returns
        -------
        float or None
            In the unit of `minimum`: 0 for the first slot, the last bin's end for overflow, None without
            values.

        Raises
        ------
        ValueError
            If the shape or q is wrong.
        """
        slot = self.quantile_slot(counts, q)
        return None if slot is None else float(self.representatives()[slot])

    def exceedance_slots(self, counts: npt.ArrayLike, q: float) -> int:
        """Return the first slot strictly above the bin of a reference's q-quantile.

        Parameters
        ----------
        counts
            Shape (n_slots,): the reference.
        q
            In (0, 1).

        Returns
        -------
        int
            The events above the quantile are `counts[first:missing_slot]`; the missing slot itself, so that
            nothing exceeds, if the quantile overflows or the reference is empty.

        Raises
        ------
        ValueError
            If the shape or q is wrong.
        """
        slot = self.quantile_slot(counts, q)
        return self.missing_slot if slot is None else slot + 1

    def exceedance(self, counts: npt.ArrayLike, first_slot: int) -> tuple[int, int]:
        """Count the events of a window above and not above a reference's quantile; missing ones are neither.

        Parameters
        ----------
        counts
            Shape (n_slots,): the window.
        first_slot
            What `exceedance_slots` returned for the reference.

        Returns
        -------
        tuple of int
            (n1, n0), for `BoundedMean.bernoulli_log_bets`.

        Raises
        ------
        ValueError
            If the shape is wrong.
        """
        n = self._checked(counts)
        return int(n[first_slot : self.missing_slot].sum()), int(n[: min(first_slot, self.missing_slot)].sum())

    def _checked(self, counts: npt.ArrayLike) -> FloatArray:
        n = as_counts(counts, name="counts")
        if n.size != self.n_slots:
            raise ValueError(f"counts: shape {n.shape} given, expected ({self.n_slots},)")
        return n


LATENCY_BINS: Final = LogBins(minimum=1e-4, maximum=1e3, gamma=1.1)
"""Latencies in seconds."""

COST_BINS: Final = LogBins(minimum=1e-7, maximum=1e3, gamma=1.2)
"""Costs in US dollars."""

DELAY_BINS: Final = LogBins(minimum=1.0, maximum=4e6, gamma=1.3)
"""Delays of labels in seconds, up to 46 days."""
