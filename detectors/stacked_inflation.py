"""Inflation of each score for itself, of many series at once: the series along the first axis.

The estimate is that of `detectors.inflation`, one array operation for all series in the place of one call for each. A
score that hardly wanders need not pay for one that does, so each column has a bandwidth of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, check_at_least, check_between
from detectors.inflation import LARGEST_AUTOCORRELATION, MINIMUM_CELLS, ROUNDING, UNDERSMOOTHING


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreInflations:
    """V of each score, and how well it is known.

    Parameters
    ----------
    ratio
        Shape (S, J): v, at least 1; 1 for a score that is constant within contexts.
    freedom
        Shape (S, J): degrees of freedom that v is known with; infinite for a constant score.
    known
        Shape (S,): whether there are enough cells; where not, `ratio` and `freedom` mean nothing.
    """

    ratio: FloatArray
    freedom: FloatArray
    known: npt.NDArray[np.bool_]


def score_inflations(
    sums: FloatArray,
    squares: FloatArray,
    totals: FloatArray,
    *,
    contexts: npt.ArrayLike | None = None,
    cells_per_cycle: int = 1,
    confidence: float | None = None,
) -> ScoreInflations:
    """Estimate the inflation of each score of each series.

    Parameters
    ----------
    sums, squares
        Shape (S, cells, J): sums of each score and of its square over a cell's events.
    totals
        Shape (S, cells): events.
    contexts
        Shape (cells,): each cell's context, such as the cell of the week, for references that are split by it.
    cells_per_cycle
        As for `variance_inflation`.
    confidence
        Of an upper bound, in (0, 1), which is then returned; the estimate itself if not given.

    Returns
    -------
    ScoreInflations
        Known where 40 cells hold events; k contexts need k - 1 more.

    Raises
    ------
    ValueError
        If a setting is out of range, or there is not one context for each cell.
    """
    check_at_least("cells_per_cycle", cells_per_cycle, 1)
    if confidence is not None:
        check_between("confidence", confidence, 0.0, 1.0)
    labels = np.zeros(totals.shape[1], dtype=np.int64) if contexts is None else np.asarray(contexts)
    if labels.shape != totals.shape[1:]:
        raise ValueError(f"contexts: shape {labels.shape} given, expected one per cell, {totals.shape[1:]}")
    place = np.unique(labels, return_inverse=True)[1]
    residuals = _Residuals.of(sums, squares, totals, place)
    ratio, freedom = _long_run(residuals, cells_per_cycle, confidence)
    return ScoreInflations(ratio=ratio, freedom=freedom, known=residuals.n_free >= MINIMUM_CELLS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Residuals:
    """Sums of scores per cell less what their context expects, and what independent events would do.

    `e` (cells, S, J) is scaled to the variance of independent events, and 0 for a column without variance; `varying`
    (S, J) says which have some. `n_cells` (S,) hold events; `n_free` (S,) is that less the means that were estimated,
    but one.
    """

    e: FloatArray
    varying: npt.NDArray[np.bool_]
    n_cells: npt.NDArray[np.int64]
    n_free: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, sums: FloatArray, squares: FloatArray, totals: FloatArray, place: npt.NDArray[np.int64]
    ) -> "_Residuals":
        is_used = totals > 0.0
        member = (place == np.arange(place.max(initial=-1) + 1)[:, None]).astype(np.float64)  # (contexts, cells)
        size = totals @ member.T
        mean = np.divide(
            member @ np.where(is_used[..., None], sums, 0.0),
            size[..., None],
            out=np.zeros((*size.shape, sums.shape[2])),
            where=size[..., None] > 0.0,
        )
        e = np.where(is_used[..., None], sums - mean[:, place] * totals[..., None], 0.0)
        second = squares.sum(axis=1)
        independent = second - (size[..., None] * mean * mean).sum(axis=1)
        varying = independent > ROUNDING * second
        unit = np.where(varying, np.sqrt(np.where(varying, independent, 1.0)), np.inf)
        n_cells = is_used.sum(axis=1)
        return cls(
            e=np.ascontiguousarray(np.moveaxis(e / unit[:, None], 1, 0)),
            varying=varying,
            n_cells=n_cells,
            n_free=n_cells + 1 - (size > 0.0).sum(axis=1),
        )


def _bandwidths(e: FloatArray, cells_per_cycle: int) -> npt.NDArray[np.int64]:
    """Bartlett bandwidth of each column: Andrews' AR(1) plug-in, with a floor and a ceiling."""
    n_cells = len(e)
    power = (e * e).sum(axis=0)
    lagged = (e[1:] * e[:-1]).sum(axis=0)
    rho = np.abs(np.divide(lagged, power, out=np.zeros_like(power), where=power > 0.0))
    rho = np.minimum(rho, LARGEST_AUTOCORRELATION)
    plug_in = 1.1447 * np.cbrt(4.0 * rho**2 / (1.0 - rho**2) ** 2 * n_cells)
    floor = max(math.ceil(n_cells ** (1.0 / 3.0)), cells_per_cycle)
    wanted = np.maximum(np.ceil(UNDERSMOOTHING * plug_in), floor)
    return np.asarray(np.minimum(wanted, n_cells // 3), dtype=np.int64)


def _long_run(residuals: _Residuals, cells_per_cycle: int, confidence: float | None) -> tuple[FloatArray, FloatArray]:
    """Largest estimate over the bandwidths, or its upper bound, and its degrees of freedom; shape (S, J) each."""
    e, n_cells = residuals.e, len(residuals.e)
    largest = _bandwidths(e, cells_per_cycle)
    lags = range(int(largest.max(initial=0)) + 1)
    covariances = np.array([np.einsum("tsj,tsj->sj", e[lag:], e[: n_cells - lag]) for lag in lags])
    free = np.maximum(residuals.n_free, 1).astype(np.float64)[:, None]
    share = np.divide(free, residuals.n_cells[:, None], out=np.ones_like(free), where=residuals.n_cells[:, None] > 0)
    ratio = np.ones(largest.shape)
    for bandwidth in {0, *(1 << i for i in range(len(lags).bit_length())), *np.unique(largest).tolist()}:
        tried = (largest == bandwidth) | ((largest > bandwidth) & (bandwidth & (bandwidth - 1) == 0))
        if not tried.any():
            continue
        weights = 2.0 * (1.0 - np.arange(bandwidth + 1) / (bandwidth + 1.0))
        weights[0] = 1.0
        centring = (1.0 - (bandwidth + 1.0) / n_cells) * share
        estimate = np.tensordot(weights, covariances[: bandwidth + 1], axes=1) / centring
        if confidence is not None:
            freedom = 1.5 * free / (bandwidth + 1.0)
            estimate = estimate * freedom / (2.0 * special.gammaincinv(freedom / 2.0, 1.0 - confidence))
        ratio = np.where(tried, np.maximum(ratio, estimate), ratio)
    return (
        np.where(residuals.varying, ratio, 1.0),
        np.where(residuals.varying, 1.5 * free / (largest + 1.0), np.inf),
    )
