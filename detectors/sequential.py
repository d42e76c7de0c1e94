"""Mixtures of e-processes: the evidence that every default detector keeps.

Two accumulators of the same log-bets. `ShiryaevRoberts` watches for a change at an unknown time: under the
null E[M_tau] <= E[tau] for every stopping time tau, so an alarm at M >= c has an average run length of at
least c windows and P(alarm by window T) <= T / c. `EProcess` tests one hypothesis from a known start: under
the null P(it ever reaches 1 / alpha) <= alpha.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2022).
Ramdas, Grunwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference" (2023).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.budget import budget_threshold, e_benjamini_hochberg, weighted_statistic

__all__ = [
    "DISTRIBUTION_GRID",
    "LOG_CAP",
    "MEAN_GRID",
    "EProcess",
    "ShiryaevRoberts",
    "budget_threshold",
    "e_benjamini_hochberg",
    "log_mean_exp",
    "log_plus_one",
    "weighted_statistic",
]

MEAN_GRID: Final[FloatArray] = np.geomspace(0.01, 0.9, 8)
DISTRIBUTION_GRID: Final[FloatArray] = np.geomspace(0.01, 0.5, 8)
MEAN_GRID.setflags(write=False)
DISTRIBUTION_GRID.setflags(write=False)

LOG_CAP: Final = math.log(1e300)
"""Evidence is capped here. A cap only lowers it, so every bound above still holds."""


def log_plus_one(log_values: FloatArray) -> FloatArray:
    """Return log(exp(x) + 1), where a small result is exact to 1e-16 and not to its own digits: bets are added to it.

    Parameters
    ----------
    log_values
        Any shape, at most `LOG_CAP`; minus infinity gives 0.

    Returns
    -------
    numpy.ndarray
        The same shape.
    """
    # A fifth of the time of np.logaddexp, which keeps the relative error small.
    grown = np.exp(log_values)
    grown += 1.0
    return np.asarray(np.log(grown, out=grown), dtype=np.float64)


def log_mean_exp(log_values: FloatArray) -> float:
    """Return log(mean(exp(log_values))) without overflow.

    Parameters
    ----------
    log_values
        Shape (K,), K >= 1, finite.

    Returns
    -------
    float
        The logarithm of the mean.
    """
    peak = float(log_values.max())
    return peak + math.log(float(np.exp(log_values - peak).mean()))


def _checked_bets(log_bets: npt.ArrayLike, n_components: int) -> FloatArray:
    bets = np.asarray(log_bets, dtype=np.float64)
    if bets.ndim != 1 or bets.size == 0 or (n_components and bets.size != n_components):
        expected = f"({n_components},)" if n_components else "(K,) with K >= 1"
        raise ValueError(f"log_bets: shape {bets.shape} given, expected {expected}")
    if not np.isfinite(bets).all():
        raise ValueError("log_bets: a NaN or infinite value given, expected finite log-bets")
    return bets


class ShiryaevRoberts:
    """The e-detector M <- (M + 1) exp(log-bet), one component for each bet of a mixture, in log space.

    The number of components K is taken from the first update. Fresh or reset, the statistic is 0.
    """

    __slots__ = ("log_m", "n_windows")

    def __init__(self) -> None:
        self.log_m: FloatArray = np.empty(0)
        self.n_windows: int = 0

    def update(self, log_bets: npt.ArrayLike) -> None:
        """Take in one window.

        Parameters
        ----------
        log_bets
            Shape (K,): the log of each component's bet on this window; zeros for a window without events.

        Raises
        ------
        ValueError
            If K differs from the first update's, or a value is not finite.
        """
        bets = _checked_bets(log_bets, self.log_m.size)
        grown = log_plus_one(self.log_m) + bets if self.log_m.size else bets
        self.log_m = np.minimum(grown, LOG_CAP)
        self.n_windows += 1

    @property
    def log_statistic(self) -> float:
        """Log of `statistic`; minus infinity while there was no window."""
        return log_mean_exp(self.log_m) if self.log_m.size else -math.inf

    @property
    def statistic(self) -> float:
        """The mean of the components, between 0 and 1e300: compare it with a number of windows."""
        return math.exp(self.log_statistic)

    def reset(self) -> None:
        """Forget everything, as after an alarm."""
        self.log_m = np.empty(0)
        self.n_windows = 0

    def to_list(self) -> list[float]:
        """Return the state as finite numbers: the number of windows, then the K log-components."""
        return [float(self.n_windows), *self.log_m.tolist()]

    @classmethod
    def from_list(cls, state: Sequence[float]) -> "ShiryaevRoberts":
        """Restore what `to_list` returned.

        Parameters
        ----------
        state
            Length 1 + K.

        Returns
        -------
        ShiryaevRoberts
            It continues exactly where the saved one stopped.

        Raises
        ------
        ValueError
            If the state is empty.
        """
        if not state:
            raise ValueError("state: an empty list given, expected what to_list returned")
        restored = cls()
        restored.n_windows = int(state[0])
        restored.log_m = np.array(state[1:], dtype=np.float64)
        return restored


class EProcess:
    """The e-process M <- M exp(log-bet) from M = 1, with its running minimum.

    The minimum dates an onset: evidence falls on average before a change and rises after it, so the change
    is most likely in the first window after the last minimum, `n_since_minimum` windows ago.
    """

    __slots__ = ("log_m", "minimum", "n_since_minimum", "n_windows")

    def __init__(self) -> None:
        self.log_m: FloatArray = np.empty(0)
        self.minimum: float = 0.0
        self.n_since_minimum: int = 0
        self.n_windows: int = 0

    def update(self, log_bets: npt.ArrayLike) -> None:
        """Take in one window.

        Parameters
        ----------
        log_bets
            Shape (K,): the log of each component's bet on this window; zeros for a window without events.

        Raises
        ------
        ValueError
            If K differs from the first update's, or a value is not finite.
        """
        bets = _checked_bets(log_bets, self.log_m.size)
        grown = self.log_m + bets if self.log_m.size else bets
        self.log_m = np.minimum(grown, LOG_CAP)
        self.n_windows += 1
        level = self.log_e_value
        if level <= self.minimum:
            self.minimum = level
            self.n_since_minimum = 0
        else:
            self.n_since_minimum += 1

    @property
    def log_e_value(self) -> float:
        """Log of `e_value`; 0 while there was no window."""
        return log_mean_exp(self.log_m) if self.log_m.size else 0.0

    @property
    def e_value(self) -> float:
        """The mean of the components, between 0 and 1e300: compare it with 1 / alpha."""
        return math.exp(self.log_e_value)

    def reset(self) -> None:
        """Start again from an e-value of 1."""
        self.log_m = np.empty(0)
        self.minimum = 0.0
        self.n_since_minimum = 0
        self.n_windows = 0

    def to_list(self) -> list[float]:
        """Return the state as finite numbers: windows, windows since the minimum, the minimum, then log_m."""
        return [float(self.n_windows), float(self.n_since_minimum), self.minimum, *self.log_m.tolist()]

    @classmethod
    def from_list(cls, state: Sequence[float]) -> "EProcess":
        """Restore what `to_list` returned.

        Parameters
        ----------
        state
            Length 3 + K.

        Returns
        -------
        EProcess
            It continues exactly where the saved one stopped.

        Raises
        ------
        ValueError
            If the state has fewer than three numbers.
        """
        if len(state) < 3:
            raise ValueError(f"state: {len(state)} numbers given, expected what to_list returned (at least 3)")
        restored = cls()
        restored.n_windows = int(state[0])
        restored.n_since_minimum = int(state[1])
        restored.minimum = float(state[2])
        restored.log_m = np.array(state[3:], dtype=np.float64)
        return restored
