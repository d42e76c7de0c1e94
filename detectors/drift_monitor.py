"""DriftMonitor: algorithm B on columns of arrays, for a notebook or a script of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, check_at_least
from detectors.binning import CategoricalBins, FeatureBins, NumericBins
from detectors.distribution import DistributionBets
from detectors.inflation import MINIMUM_CELLS, distribution_inflation
from detectors.sequential import ShiryaevRoberts, weighted_statistic
from detectors.verdict import Status, Verdict

CARRIER_SHARE = 0.05
"""Columns with at least this share of an alarm's statistic carry it, and start again."""

Columns = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftVerdict:
    """What a window says.

    Parameters
    ----------
    whole
        Of all columns together, against the one budget that they share.
    columns
        Of each column: its own evidence, and `DRIFT` where it carries an alarm of the whole.
    """

    whole: Verdict
    columns: Mapping[str, Verdict]

    @property
    def drifted(self) -> list[str]:
        """The columns that carry an alarm, the one with the most evidence first."""
        found = [(verdict.statistic, name) for name, verdict in self.columns.items() if verdict.status is Status.DRIFT]
        return [name for _, name in sorted(found, key=lambda pair: (-pair[0], pair[1]))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    bins: FeatureBins
    n_ranked: int
    bets: DistributionBets
    evidence: ShiryaevRoberts

    def counts(self, values: npt.ArrayLike) -> FloatArray:
        codes = _encoded(self.bins, values)
        return np.bincount(codes, minlength=self.n_ranked)[: self.n_ranked].astype(np.float64)


class DriftMonitor:
    """Whether columns of numbers or categories have left the distribution of their reference.

    All columns share one budget: while nothing changes, the average number of windows between two alarms is at
    least `run_length`, however many columns there are. Missing values (NaN, None) and infinite ones are left out of
    the comparison.

    Parameters
    ----------
    reference
        Column to values, shape (n,), in order of time. A column of numbers is compared by ranks, any other one as
        categories by their text.
    window
        Events of a window of the reference: from how windows differ it is told how correlated events are.
    run_length
        Windows between two false alarms, on average and at least.
    tolerance
        A move of a score's mean that is of no practical interest; scores of ranks run from -1 to 1. Against real data
        0.1 is a good beginning: with 0 the smallest true change is found in the end.
    inflation
        How many times more windows vary than independent events would; estimated where there are at least 40 windows,
        and else to be given (1 for independent events).

    Raises
    ------
    ValueError
        Where a setting is out of range, columns differ in length, or the reference is too small for an estimate.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> def rows(n, shift=0.0):
    ...     return {"age": rng.normal(40 + shift, 10, n), "plan": rng.choice(["free", "paid"], n)}
    >>> monitor = DriftMonitor(rows(20_000), window=250, tolerance=0.05)
    >>> monitor.update(rows(250)).whole.status
    <Status.STABLE: 'stable'>
    >>> for window in range(1, 20):
    ...     verdict = monitor.update(rows(250, shift=5))
    ...     if verdict.drifted:
    ...         break
    >>> window, verdict.drifted
    (3, ['age'])
    """

    def __init__(
        self,
        reference: Columns,
        *,
        window: int,
        run_length: float = 1000.0,
        tolerance: float = 0.0,
        inflation: float | None = None,
    ) -> None:
        check_at_least("window", window, 1)
        check_at_least("run_length", run_length, 1.0)
        if not reference:
            raise ValueError("reference: no column given, expected at least one")
        sizes = {name: np.asarray(values).shape for name, values in reference.items()}
        if len(set(sizes.values())) > 1 or any(len(shape) != 1 for shape in sizes.values()):
            raise ValueError(f"reference: shapes {sizes} given, expected one axis, equally long for all")
        self._threshold = float(run_length)
        self._columns = {
            name: _column(name, values, window, len(reference), tolerance, inflation)
            for name, values in reference.items()
        }

    def update(self, window: Columns) -> DriftVerdict:
        """Take in one window.

        Parameters
        ----------
        window
            Every column of the reference to its values, shape (n,); further columns are not looked at.

        Returns
        -------
        DriftVerdict
            Where the whole is in `DRIFT`, the columns that carry it start again from nothing.

        Raises
        ------
        ValueError
            If a column is missing, or one of numbers holds something else.
        """
        missing = sorted(self._columns.keys() - window.keys())
        if missing:
            raise ValueError(f"window: no column {missing[0]!r} given, expected {', '.join(self._columns)}")
        counts = {name: column.counts(window[name]) for name, column in self._columns.items()}
        for name, column in self._columns.items():
            column.evidence.update(column.bets.log_bets(counts[name]))
        statistics = {name: column.evidence.statistic for name, column in self._columns.items()}
        weight = 1.0 / len(statistics)
        total = weighted_statistic(list(statistics.values()), [weight] * len(statistics))
        alarm = total >= self._threshold
        verdicts = {}
        for name, statistic in statistics.items():
            carries = alarm and weight * statistic >= CARRIER_SHARE * total
            verdicts[name] = self._verdict(statistic, self._threshold / weight, counts[name], drift=carries)
            if carries:
                self._columns[name].evidence.reset()
        n = max((each.sum() for each in counts.values()), default=0.0)
        return DriftVerdict(whole=self._verdict(total, self._threshold, np.array([n]), drift=alarm), columns=verdicts)

    @staticmethod
    def _verdict(statistic: float, threshold: float, counts: FloatArray, *, drift: bool) -> Verdict:
        n = int(counts.sum())
        status = Status.DRIFT if drift else Status.STABLE if n else Status.NO_DATA
        return Verdict(status=status, statistic=statistic, threshold=threshold, n=n)


def _column(
    name: str, values: npt.ArrayLike, window: int, n_series: int, tolerance: float, inflation: float | None
) -> _Column:
    array = np.asarray(values)
    ordered = array.dtype.kind in "iuf"
    bins: FeatureBins
    if ordered:
        bins = NumericBins.from_sample(name, array)
        n_ranked = bins.n_ranked
    else:
        bins = CategoricalBins.from_sample(name, _texts(array))
        n_ranked = bins.missing_slot
    codes = _encoded(bins, values)
    cells = np.arange(codes.size) // window
    table = np.zeros((int(cells[-1]) + 1 if codes.size else 0, bins.n_slots))
    np.add.at(table, (cells, codes), 1.0)
    table = table[:, :n_ranked]
    found = distribution_inflation(table, ordered=ordered) if table.sum() else None
    if found is None and inflation is None:
        full = int((table.sum(axis=1) > 0).sum())
        expected = f"at least {MINIMUM_CELLS} windows with values, or an inflation"
        raise ValueError(f"reference: {full} windows of column {name!r} given, expected {expected}")
    v = inflation if inflation is not None else found.upper if found is not None else 1.0
    build = DistributionBets.ordered if ordered else DistributionBets.categorical
    total = table.sum(axis=0)
    bets = build(total, n_effective=float(total.sum()) / v, n_series=n_series, tolerance=tolerance, inflation=v)
    return _Column(bins=bins, n_ranked=n_ranked, bets=bets, evidence=ShiryaevRoberts())


def _encoded(bins: FeatureBins, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    if isinstance(bins, NumericBins):
        try:
            numbers = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {bins.name!r}: {error}, expected numbers as in the reference") from error
        return bins.encode(numbers).astype(np.int64)
    return bins.encode(_texts(np.asarray(values))).astype(np.int64)


def _texts(array: npt.NDArray[np.generic]) -> list[str | None]:
    """Categories by their text; None and NaN are missing."""
    return [None if value is None or value != value else str(value) for value in array.tolist()]  # noqa: PLR0124
