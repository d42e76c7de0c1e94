"""Two columns of values compared by name of test."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from detectors.arrays import FloatArray
from detectors.categorical_bins import CategoricalBins
from detectors.numeric_bins import NumericBins
from detectors.twosample import ranks, tables
from detectors.twosample.ranks import Finding
from detectors.twosample.result import Comparison, Outcome

NUMERIC_TESTS: Final[Mapping[str, Callable[[FloatArray, FloatArray, float, int], Finding]]] = {
    "ks": ranks.ks,
    "cramer_von_mises": ranks.cramer_von_mises,
    "anderson_darling": ranks.anderson_darling,
    "wasserstein": ranks.wasserstein,
    "energy": ranks.energy,
}
"""Tests that need an order; missing and infinite values are left out of them."""
CATEGORICAL_TESTS: Final[Mapping[str, Callable[[FloatArray, FloatArray, float], Finding]]] = {
    "chi_squared": tables.chi_squared,
    "g": tables.g,
    "fisher": tables.fisher,
    "psi": tables.psi,
    "js": tables.js,
    "kl": tables.kl,
    "hellinger": tables.hellinger,
}
"""Tests of shares: of categories, or of bins cut at the reference's quantiles. Missing is a share of its own."""
_FEWEST: Final = 2


def compare(
    reference: Iterable[Any],
    current: Iterable[Any],
    *,
    tests: Sequence[str] | None = None,
    alpha: float = 0.001,
    seed: int = 7,
) -> list[Comparison]:
    """Compare what came now with a reference.

    Parameters
    ----------
    reference, current
        Values of one column, of any length: numbers, or texts; None and NaN are missing.
    tests
        Names out of `NUMERIC_TESTS` and `CATEGORICAL_TESTS`; by default all that fit the values.
    alpha
        Probability that one test says drift when nothing has changed, in [.001, .25]. It is the level of each; whoever
        asks twelve of them gets up to twelve times as many false answers.
    seed
        Of the permutations that small samples' `wasserstein` and `energy` are held against.

    Returns
    -------
    list of Comparison
        In the order of `tests`.

    Raises
    ------
    ValueError
        For a test that is not known, or a level out of range.
    """
    if not 0.001 <= alpha <= 0.25:
        raise ValueError(f"alpha: {alpha!r} given, expected a number in [.001, .25]")
    before, now = list(_plain(reference)), list(_plain(current))
    is_numeric = all(isinstance(value, float) for value in (*before, *now) if value is not None)
    known = {**NUMERIC_TESTS, **CATEGORICAL_TESTS}
    chosen = tests if tests is not None else [n for n in known if is_numeric or n in CATEGORICAL_TESTS]
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"tests: {unknown[0]!r} given, expected some of {', '.join(known)}")
    numbers = (_finite(before), _finite(now)) if is_numeric else None
    counts = _counts(before, now, is_numeric=is_numeric)
    return [
        _on_numbers(name, numbers, alpha, seed) if name in NUMERIC_TESTS else _on_counts(name, counts, alpha)
        for name in chosen
    ]


def _plain(values: Iterable[Any]) -> Iterable[float | str | None]:
    for value in values:
        if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
            yield None
        elif isinstance(value, bool | int | float | np.number | np.bool_):
            yield float(value)
        else:
            yield str(value)


def _finite(values: Sequence[float | str | None]) -> FloatArray:
    array = np.array([value for value in values if isinstance(value, float)], dtype=np.float64)
    return np.sort(array[np.isfinite(array)])


def _counts(before: Sequence[Any], now: Sequence[Any], *, is_numeric: bool) -> tuple[FloatArray, FloatArray]:
    """Counts of both samples in the reference's bins, or in categories."""
    bins: NumericBins | CategoricalBins
    if is_numeric and _finite(before).size >= _FEWEST:
        bins = NumericBins.from_sample("value", _finite(before))
        codes = [bins.encode(np.array([np.nan if v is None else v for v in each])) for each in (before, now)]
    else:
        texts = [[None if v is None else str(v) for v in each] for each in (before, now)]
        bins = CategoricalBins.from_sample("value", texts[0])
        codes = [bins.encode(each) for each in texts]
    found = [np.bincount(each, minlength=bins.n_slots).astype(np.float64) for each in codes]
    return found[0], found[1]


def _on_numbers(name: str, numbers: tuple[FloatArray, FloatArray] | None, alpha: float, seed: int) -> Comparison:
    if numbers is None:
        return Comparison(test=name, status=Outcome.NOT_APPLICABLE, why="values are texts: expected numbers")
    before, now = numbers
    if (short := _too_few(name, before.size, now.size)) is not None:
        return short
    if before[0] == now[0] == before[-1] == now[-1]:
        return _said(name, (0.0, None, 1.0), before.size, now.size, alpha)
    return _said(name, NUMERIC_TESTS[name](before, now, alpha, seed), before.size, now.size, alpha)


def _on_counts(name: str, counts: tuple[FloatArray, FloatArray], alpha: float) -> Comparison:
    before, now = counts
    if (short := _too_few(name, int(before.sum()), int(now.sum()))) is not None:
        return short
    there = (before + now) > 0.0
    if name == "fisher":
        if there.sum() > 2:
            why = f"{int(there.sum())} different values: expected two at most"
            return Comparison(test=name, status=Outcome.NOT_APPLICABLE, why=why)
        rows = before[there], now[there]
    else:
        rows = tables.pooled(before, now)
    found = CATEGORICAL_TESTS[name](*rows, alpha)
    return _said(name, found, int(before.sum()), int(now.sum()), alpha)


def _too_few(name: str, n_reference: int, n_current: int) -> Comparison | None:
    for n, where in ((n_reference, "in the reference"), (n_current, "now")):
        if n < _FEWEST:
            why = f"{n} value{'' if n == 1 else 's'} {where}: expected at least {_FEWEST}"
            return Comparison(test=name, status=Outcome.TOO_FEW, n_reference=n_reference, n_current=n_current, why=why)
    return None


def _said(name: str, found: Finding, n_reference: int, n_current: int, alpha: float) -> Comparison:
    statistic, threshold, p_value = found
    is_drift = p_value <= alpha if p_value is not None else threshold is not None and statistic > threshold
    return Comparison(
        test=name,
        status=Outcome.DRIFT if is_drift else Outcome.STABLE,
        statistic=statistic,
        threshold=threshold,
        p_value=p_value,
        n_reference=n_reference,
        n_current=n_current,
    )
