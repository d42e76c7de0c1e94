"""The e-detector as a contestant: many repetitions side by side, event by event.

A stream of errors is bet on by algorithm A, one of values by algorithm B. Baseline, bins and inflation are estimated
from the reference alone, as a worker does. The bets are the library's own; only the recursion M <- (M + 1) exp(bet) is
written here for all repetitions at once, and a test holds it to `ShiryaevRoberts`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.baseline import clopper_pearson_upper
from detectors.bounded_mean import BoundedMean
from detectors.distribution import DistributionBets
from detectors.evaluate.sample import Kind, Sample
from detectors.inflation import distribution_inflation, variance_inflation
from detectors.numeric_bins import NumericBins
from detectors.scores import BASELINE_ERROR
from detectors.sequential import MEAN_GRID

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

SHARE_FOR_BINS = 0.2
"""Of the reference: bins are cut from it and the rest is counted, so that no value decides where its own bin ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EDetector:
    """The mixture e-detector; its setting is the threshold c, in events.

    Parameters
    ----------
    budget
        False alarms allowed in 10,000 events; the default threshold is 10,000 / budget.
    """

    budget: float

    name: ClassVar[str] = "e-detector"
    parameter: ClassVar[str] = "threshold"
    strict: ClassVar[float] = 1e9
    loose: ClassVar[float] = 2.0
    kinds: ClassVar[tuple[Kind, ...]] = ("errors", "values")

    @property
    def default(self) -> float:
        """What the budget itself says."""
        return 1e4 / self.budget

    def on(self, sample: Sample) -> Callable[[float | None], BoolArray]:
        """Learn the references, and return what gives the alarms at a threshold; None is the default.

        Parameters
        ----------
        sample
            The repetitions.

        Returns
        -------
        Callable
            From a threshold to booleans of shape (R, watched events).
        """
        bets, codes = error_bets(sample) if sample.kind == "errors" else value_bets(sample)

        def alarms(setting: float | None) -> BoolArray:
            return sequential_alarms(bets, codes, self.default if setting is None else setting)

        return alarms


def sequential_alarms(bets: FloatArray, codes: IntArray, threshold: float) -> BoolArray:
    """Run the Shiryaev-Roberts recursion over every repetition; an alarm starts it afresh.

    Parameters
    ----------
    bets
        Shape (R, C, K): the log-bets of an event with each code.
    codes
        Shape (R, T).
    threshold
        c, at least 1, in events.

    Returns
    -------
    numpy.ndarray
        Shape (R, T).
    """
    factors = np.exp(bets)
    rows = np.arange(codes.shape[0])
    m = np.zeros((codes.shape[0], bets.shape[2]))
    alarms = np.zeros(codes.shape, dtype=np.bool_)
    total = threshold * bets.shape[2]
    for t, code in enumerate(codes.T):
        m += 1.0
        m *= factors[rows, code]
        hit = m.sum(axis=1) >= total
        if hit.any():
            alarms[:, t] = hit
            m[hit] = 0.0
    return alarms


def error_bets(sample: Sample) -> tuple[FloatArray, IntArray]:
    """Return algorithm A's log-bets for no error and for an error in each context, and the codes of watched events.

    Parameters
    ----------
    sample
        Of kind "errors".

    Returns
    -------
    tuple
        Shapes (R, 2 contexts, 8) and (R, watched).
    """
    n_ref, n_contexts = sample.n_reference, sample.cells_per_cycle
    tables = [_error_table(row[:n_ref], sample) for row in sample.values]
    position = np.arange(n_ref, sample.values.shape[1])
    context = position // sample.cell % n_contexts
    return np.array(tables), (2 * context + sample.values[:, n_ref:]).astype(np.int64)


def _error_table(reference: FloatArray, sample: Sample) -> FloatArray:
    n_cells = reference.size // sample.cell
    n1 = reference[: n_cells * sample.cell].reshape(n_cells, sample.cell).sum(axis=1)
    contexts = np.arange(n_cells) % sample.cells_per_cycle
    found = variance_inflation(n1, np.full(n_cells, sample.cell), contexts=contexts)
    v = 1.0 if found is None else found.ratio
    table = []
    for context in range(sample.cells_per_cycle):
        here = contexts == context
        n = float(here.sum() * sample.cell) / v
        level = BASELINE_ERROR / sample.cells_per_cycle
        m0 = clopper_pearson_upper(min(float(n1[here].sum()) / v, n), n, level)
        if m0 >= 1.0:
            table += [np.zeros(MEAN_GRID.size)] * 2
            continue
        test = BoundedMean(m0=m0, inflation=v)
        table += [test.bernoulli_log_bets(0, 1), test.bernoulli_log_bets(1, 0)]
    return np.array(table)


def value_bets(sample: Sample) -> tuple[FloatArray, IntArray]:
    """Return algorithm B's log-bets of each slot, and the slots of watched events.

    Parameters
    ----------
    sample
        Of kind "values"; NaN and infinite values are no bet.

    Returns
    -------
    tuple
        Shapes (R, slots, 64) and (R, watched).
    """
    found = [_value_table(row, sample) for row in sample.values]
    n_slots = max(len(table) for table, _ in found)
    tables = np.zeros((len(found), n_slots, found[0][0].shape[1]))
    for i, (table, _) in enumerate(found):
        tables[i, : len(table)] = table
    return tables, np.array([codes for _, codes in found], dtype=np.int64)


def _value_table(row: FloatArray, sample: Sample) -> tuple[FloatArray, npt.NDArray[np.integer]]:
    """Bets of one repetition, with rows of zeros for the two indicators, and the codes of its watched events."""
    n_cut = int(sample.n_reference * SHARE_FOR_BINS)
    bins = NumericBins.from_sample("value", row[:n_cut])
    codes = bins.encode(row[n_cut:])
    n_counted = sample.n_reference - n_cut
    n_cells = n_counted // sample.cell
    one_hot = np.eye(bins.n_slots)[codes[: n_cells * sample.cell], : bins.n_ranked]
    counts = one_hot.reshape(n_cells, sample.cell, bins.n_ranked).sum(axis=1)
    inflation = distribution_inflation(counts)
    v = 1.0 if inflation is None else inflation.ratio
    whole = np.bincount(codes[:n_counted], minlength=bins.n_slots)[: bins.n_ranked]
    bets = DistributionBets.ordered(whole, n_effective=whole.sum() / v, n_series=1, inflation=v)
    matrix = np.zeros((bins.n_slots, bets.n_components))
    matrix[: bins.n_ranked] = bets.matrix
    return matrix, codes[n_counted:]
