"""Divergences shown beside a verdict, each with a threshold that knows the sample sizes.

With s = 1/N + 1/M and no drift, PSI, 8 JS, 8 H^2 and Pearson's sum (q - p)^2 / p are all about s chi2 with
B - 1 degrees of freedom, so a fixed rule such as PSI > .1 says more about M than about drift. Where one of
them has to decide, Pearson's does (the tail of PSI is off for small samples). W1 and KS have a simulated
null.

References
----------
Yurdakul, "Statistical properties of population stability index" (2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.arrays import FloatArray, as_counts, check_at_least
from detectors.measures import (
    comparable,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    pair,
    pearson,
    psi,
    steps,
    wasserstein,
)
from detectors.scores import probabilities

__all__ = [
    "NULL_LEVELS",
    "N_DRAWS",
    "Companion",
    "NullQuantiles",
    "companions",
    "hellinger",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "pearson",
    "psi",
    "simulate_null",
    "wasserstein",
]

N_DRAWS: Final = 2000
NULL_LEVELS: Final = (0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999)
_SIMULATED_EVENTS: Final = (1000, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A divergence, its value and the value it exceeds with probability alpha when nothing has changed.

    `threshold` is None where no null is known (W1 and KS without a simulated one).
    """

    name: str
    value: float
    threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NullQuantiles:
    """Quantiles, at `NULL_LEVELS`, of W1 / sqrt(s) and KS / sqrt(s) when nothing has changed."""

    wasserstein: tuple[float, ...]
    kolmogorov_smirnov: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the quantiles as JSON-safe values."""
        return {"wasserstein": list(self.wasserstein), "kolmogorov_smirnov": list(self.kolmogorov_smirnov)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NullQuantiles":
        """Return the quantiles that `to_dict` described, equal to the original."""
        return cls(
            wasserstein=tuple(map(float, data["wasserstein"])),
            kolmogorov_smirnov=tuple(map(float, data["kolmogorov_smirnov"])),
        )


def simulate_null(reference_counts: npt.ArrayLike, seed: int, *, values: npt.ArrayLike | None = None) -> NullQuantiles:
    """Simulate W1 and KS when nothing has changed, once per reference: 2,000 multinomial samples.

    Parameters
    ----------
    reference_counts
        Shape (R,).
    seed
        Of the random generator.
    values
        As for `wasserstein`.

    Returns
    -------
    NullQuantiles
        Scaled by sqrt(s), so that they serve every sample size. All 0 for a reference in a single slot.

    Raises
    ------
    ValueError
        If a count is negative.
    """
    n = as_counts(reference_counts, name="reference_counts")
    p = probabilities(n)
    size = int(np.clip(n.sum(), *_SIMULATED_EVENTS))
    draws = np.random.default_rng(seed).multinomial(size, p, size=N_DRAWS) if p.size else np.zeros((1, 0))
    gaps = np.abs(np.cumsum(draws / size - p, axis=1)) * np.sqrt(size)
    return NullQuantiles(
        wasserstein=_quantiles(gaps[:, :-1] @ steps(p, values)),
        kolmogorov_smirnov=_quantiles(gaps.max(axis=1, initial=0.0)),
    )


def companions(
    reference_counts: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    alpha: float = 0.001,
    tolerance: float = 0.0,
    n_effective: float | None = None,
    inflation: float = 1.0,
    ordered: bool = True,
    null: NullQuantiles | None = None,
    values: Sequence[float] | None = None,
) -> list[Companion]:
    """Return the divergences of a window from its reference, with their thresholds.

    Parameters
    ----------
    reference_counts, counts
        Shape (R,) each.
    alpha
        Probability that one of them exceeds its threshold when nothing has changed, in [.001, .5].
    tolerance
        Divergence that is of no interest, in the unit of PSI; for W1 and KS it is not used.
    n_effective
        Independent events the reference is worth; its counts divided by `inflation` if not given.
    inflation
        v >= 1, by which the window's number of events is divided.
    ordered
        Whether the slots have an order; without one there is no W1 and no KS.
    null
        From `simulate_null` of the same reference and values.
    values
        As for `wasserstein`.

    Returns
    -------
    list of Companion
        "pearson", "psi", "js", "hellinger", and for ordered slots "wasserstein" and "kolmogorov_smirnov".
        Empty if the reference or the window is, or is worth nothing.

    Raises
    ------
    ValueError
        If shapes differ or a setting is out of range.
    """
    _check_settings(alpha, tolerance, inflation)
    n, m = pair(reference_counts, counts)
    worth = float(n.sum()) / inflation if n_effective is None else n_effective
    check_at_least("n_effective", worth, 0.0)
    if not comparable(n, m) or not worth:
        return []
    s = 1.0 / worth + inflation / float(m.sum())
    limit = s * _chi_squared_quantile(alpha, int(((n + m) > 0.0).sum()) - 1, tolerance / s)
    result = [
        Companion(name="pearson", value=pearson(n, m), threshold=limit),
        Companion(name="psi", value=psi(n, m), threshold=limit),
        Companion(name="js", value=jensen_shannon(n, m), threshold=limit / 8.0),
        Companion(name="hellinger", value=hellinger(n, m), threshold=float(np.sqrt(limit / 8.0))),
    ]
    if not ordered:
        return result
    for name, value, quantiles in (
        ("wasserstein", wasserstein(n, m, values), null.wasserstein if null else None),
        ("kolmogorov_smirnov", kolmogorov_smirnov(n, m), null.kolmogorov_smirnov if null else None),
    ):
        threshold = None if quantiles is None else float(np.interp(1 - alpha, NULL_LEVELS, quantiles) * s**0.5)
        result.append(Companion(name=name, value=value, threshold=threshold))
    return result


def _check_settings(alpha: float, tolerance: float, inflation: float) -> None:
    if not 0.001 <= alpha <= 0.5:
        raise ValueError(f"alpha: {alpha!r} given, expected a number in [.001, .5]")
    check_at_least("tolerance", tolerance, 0.0)
    check_at_least("inflation", inflation, 1.0)


def _quantiles(draws: FloatArray) -> tuple[float, ...]:
    return tuple(np.quantile(draws, NULL_LEVELS).tolist())


def _chi_squared_quantile(alpha: float, freedom: int, noncentrality: float) -> float:
    """Upper quantile of a (noncentral) chi-squared distribution; 0 without freedom, as in a single slot."""
    if freedom < 1:
        return 0.0
    if not noncentrality:
        return float(special.chdtri(freedom, alpha))
    return float(special.chndtrix(1.0 - alpha, freedom, noncentrality))
