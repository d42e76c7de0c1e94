"""How over-dispersed the counts of a stream's cells are.

`variance_inflation` measures by how much counts per cell vary more than independent events would; every
log-bet is divided by its upper bound. That is second-order, not exact; tests with autocorrelated streams
hold it to its promise.

The inflation is the long-run variance over the variance of independent events. Long-run variance: Bartlett
kernel with bandwidth L, the larger of twice Andrews' plug-in for an AR(1), of T^(1/3) and of
`cells_per_cycle`, at most T / 3 for T cells; divided by 1 - (L + 1) / T for the estimated mean. Twice the
plug-in, because the plug-in minimises squared error and leaves a bias that an upper bound must not have. A
bandwidth of whole cycles averages a daily swing away, yet a detector that gathers evidence within half a
day meets that swing in full: so the largest of the estimates at bandwidths 0, 1, 2, 4, ..., L is taken. The
upper bound takes each estimate as chi-squared with 1.5 T / (bandwidth + 1) degrees of freedom. Under strong
autocorrelation (.9 from cell to cell) it still covers less often than it says.

References
----------
Newey, West, "A simple, positive semi-definite covariance matrix" (1987).
Andrews, "Heteroskedasticity and autocorrelation consistent covariance matrix estimation" (1991).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_at_least, check_between
from detectors.scores import legendre_scores, probabilities

MINIMUM_CELLS: Final = 40
"""Cells with events below which no inflation is estimated."""

ROUNDING: Final = 1e-12
"""A variance below this share of the mean square is taken for rounding: the score is constant."""

LARGEST_AUTOCORRELATION: Final = 0.97
"""Beyond it the plug-in bandwidth would exceed any reference."""

UNDERSMOOTHING: Final = 2.0
"""Bandwidth over the plug-in's: it takes the upper bound's coverage at AR(.5), 200 cells, from .81 to .91."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """Variance of per-cell counts relative to independent events.

    Parameters
    ----------
    ratio
        The estimate, at least 1.
    upper
        Its upper confidence bound: what log-bets are divided by.
    n_cells
        Cells with events that it rests on.
    """

    ratio: float
    upper: float
    n_cells: int


def variance_inflation(
    n1: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    contexts: npt.ArrayLike | None = None,
    cells_per_cycle: int = 1,
    confidence: float = 0.95,
) -> Inflation | None:
    """Estimate the inflation of a rate's counts.

    Residuals are e_t = n1_t - pbar n_t with pbar the share over all cells (or those of the cell's context); their
    long-run variance is divided by that of independent events, sum pbar (1 - pbar) n_t.

    Parameters
    ----------
    n1
        Shape (cells,): events with x = 1 in consecutive cells; cells without events included, as zeros.
    n
        Shape (cells,): all events.
    contexts
        Shape (cells,): each cell's context, such as the cell of the week, for a reference that is split by it.
    cells_per_cycle
        Cells in a day, or in the longest cycle that the reference does not itself model.
    confidence
        Of the upper bound, in (0, 1).

    Returns
    -------
    Inflation or None
        None with fewer than 40 cells that hold events (k contexts need k - 1 more). 1 if the rate is exactly
        0 or 1.

    Raises
    ------
    ValueError
        If shapes differ, n1 exceeds n in a cell, or a setting is out of range.
    """
    hits = as_counts(n1, name="n1")
    totals = as_counts(n, name="n")
    if hits.shape != totals.shape:
        raise ValueError(f"n1: shape {hits.shape} given, expected that of n, {totals.shape}")
    if (hits > totals).any():
        raise ValueError("n1: a cell with more hits than events given, expected n1 <= n in every cell")
    column = hits[:, None]
    return _inflation(_Residuals.of(column, column, totals, contexts), cells_per_cycle, confidence)


def distribution_inflation(
    counts: npt.ArrayLike,
    *,
    ordered: bool = True,
    contexts: npt.ArrayLike | None = None,
    cells_per_cycle: int = 1,
    confidence: float = 0.95,
) -> Inflation | None:
    """Estimate the inflation of a feature's counts: the largest over what algorithm B bets on.

    Parameters
    ----------
    counts
        Shape (cells, R): events per slot in consecutive cells, empty cells included.
    ordered
        True for slots in increasing order of value (the four Legendre scores are taken), False for categories
        (each one against the rest).
    contexts
        Shape (cells,): each cell's context, such as the cell of the week, for a reference that is split by it.
    cells_per_cycle
        Cells in a day, or in the longest cycle that the reference does not itself model.
    confidence
        Of the upper bound, in (0, 1).

    Returns
    -------
    Inflation or None
        None with fewer than 40 cells that hold events (k contexts need k - 1 more). 1 if all events fall into
        one slot.

    Raises
    ------
    ValueError
        If the shape is not two-dimensional, a count is negative, or a setting is out of range.
    """
    table = as_counts(counts, name="counts", ndim=2)
    p = probabilities(table.sum(axis=0))
    g = legendre_scores(p) if ordered else np.eye(p.size)
    residuals = _Residuals.of(table @ g, table @ (g * g), table.sum(axis=1), contexts)
    return _inflation(residuals, cells_per_cycle, confidence)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Residuals:
    """Sums of J scores per cell less what their context expects, and what independent events would do.

    `e` (cells, varying columns) is scaled to the variance of independent events, columns without variance left out;
    `varying` (J,) says which are in. `n_cells` hold events, in `n_contexts` contexts.
    """

    e: FloatArray
    n_cells: int
    n_contexts: int
    varying: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, sums: FloatArray, squares: FloatArray, totals: FloatArray, contexts: npt.ArrayLike | None
    ) -> "_Residuals":
        labels = np.zeros(totals.size, dtype=np.int64) if contexts is None else np.asarray(contexts)
        if labels.shape != totals.shape:
            raise ValueError(f"contexts: shape {labels.shape} given, expected one per cell, {totals.shape}")
        used, index = np.unique(labels[totals > 0.0], return_inverse=True)
        n = totals[totals > 0.0][:, None]
        size, mean = np.zeros((used.size, 1)), np.zeros((used.size, sums.shape[1]))
        np.add.at(size, index, n)
        np.add.at(mean, index, sums[totals > 0.0])
        mean /= size
        e = np.zeros(sums.shape)
        e[totals > 0.0] = sums[totals > 0.0] - mean[index] * n
        second = squares.sum(axis=0)
        independent = second - (size * mean * mean).sum(axis=0)
        varying = independent > ROUNDING * second
        return cls(
            e=e[:, varying] / np.sqrt(independent[varying]),
            n_cells=int(n.size),
            n_contexts=int(used.size),
            varying=varying,
        )

    @property
    def n_free(self) -> int:
        """Cells less the means that were estimated, but one."""
        return self.n_cells + 1 - self.n_contexts


def _bandwidth(residuals: FloatArray, cells_per_cycle: int) -> int:
    """Bartlett bandwidth for T cells: Andrews' AR(1) plug-in, with a floor and a ceiling."""
    n_cells = residuals.shape[0]
    power = (residuals * residuals).sum(axis=0)
    lagged = (residuals[1:] * residuals[:-1]).sum(axis=0)
    rho = np.abs(np.divide(lagged, power, out=np.zeros_like(power), where=power > 0.0)).max(initial=0.0)
    rho = min(float(rho), LARGEST_AUTOCORRELATION)
    plug_in = 1.1447 * (4.0 * rho**2 / (1.0 - rho**2) ** 2 * n_cells) ** (1.0 / 3.0)
    wanted = max(math.ceil(UNDERSMOOTHING * plug_in), math.ceil(n_cells ** (1.0 / 3.0)), cells_per_cycle)
    return int(min(wanted, n_cells // 3))


def _inflation(residuals: _Residuals, cells_per_cycle: int, confidence: float) -> Inflation | None:
    """Inflation of the column that has the largest one."""
    check_at_least("cells_per_cycle", cells_per_cycle, 1)
    check_between("confidence", confidence, 0.0, 1.0)
    if residuals.n_free < MINIMUM_CELLS:
        return None
    if not residuals.e.size:
        return Inflation(ratio=1.0, upper=1.0, n_cells=residuals.n_cells)
    ratio, upper = _long_run(residuals, residuals.e, cells_per_cycle, confidence)
    return Inflation(ratio=float(ratio.max()), upper=float(upper.max()), n_cells=residuals.n_cells)


def _long_run(
    residuals: _Residuals, e: FloatArray, cells_per_cycle: int, confidence: float
) -> tuple[FloatArray, FloatArray]:
    """Largest estimate over the bandwidths, and its upper bound, of each column of `e`; at least 1."""
    n_free = residuals.n_free
    largest = _bandwidth(e, cells_per_cycle)
    covariances = np.array([(e[lag:] * e[: e.shape[0] - lag]).sum(axis=0) for lag in range(largest + 1)])
    ratio, upper = np.ones(e.shape[1]), np.ones(e.shape[1])
    for bandwidth in {0, *(1 << i for i in range(largest.bit_length())), largest}:
        weights = 2.0 * (1.0 - np.arange(bandwidth + 1) / (bandwidth + 1.0))
        weights[0] = 1.0
        centring = (1.0 - (bandwidth + 1.0) / e.shape[0]) * n_free / residuals.n_cells
        estimate = weights @ covariances[: bandwidth + 1] / centring
        freedom = 1.5 * n_free / (bandwidth + 1.0)
        ratio = np.maximum(ratio, estimate)
        bound = freedom / (2.0 * float(special.gammaincinv(freedom / 2.0, 1.0 - confidence)))
        upper = np.maximum(upper, estimate * bound)
    return ratio, upper
