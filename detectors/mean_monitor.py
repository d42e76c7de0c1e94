"""MeanMonitor: algorithm A on arrays, for a notebook or a script of one's own."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, check_at_least
from detectors.baseline import Baseline, estimate_baseline
from detectors.bounded_mean import BoundedMean
from detectors.sequential import ShiryaevRoberts
from detectors.verdict import Status, Verdict

BASELINE_LEVEL = 0.01
"""Error probability of the baseline's confidence bound."""


class MeanMonitor:
    """Whether the mean of a quantity in [0, 1] has left its reference: an error rate, a miss rate, a scaled loss.

    The null is that the mean is no worse than the upper confidence bound of the reference, plus `tolerance`. While
    it holds the average number of windows between two alarms is at least `run_length`.

    Parameters
    ----------
    reference
        Shape (n,): values in [0, 1] in order of time; NaN is missing, and left out.
    window
        Events of a window of the reference: from how windows differ it is told how correlated events are.
    run_length
        Windows between two false alarms, on average and at least.
    tolerance
        A shift that is of no practical interest, in the unit of the values.
    side
        `upper` where a rise is the harm, `lower` where a fall is.
    inflation
        How many times more windows vary than independent events would; estimated where there are at least 40 windows,
        and else to be given (1 for independent events).

    Raises
    ------
    ValueError
        Where a setting or value is out of range, or the reference is too small for an estimate.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors import MeanMonitor
    >>> rng = np.random.default_rng(0)
    >>> wrong = rng.random(20_000) < 0.10
    >>> monitor = MeanMonitor(wrong, window=200, run_length=1_000, tolerance=0.02)
    >>> monitor.update(rng.random(200) < 0.10).status
    <Status.STABLE: 'stable'>
    >>> for window in range(1, 20):
    ...     verdict = monitor.update(rng.random(200) < 0.25)
    ...     if verdict.status == "drift":
    ...         break
    >>> window, verdict.direction
    (2, 'increase')
    """

    def __init__(
        self,
        reference: npt.ArrayLike,
        *,
        window: int,
        run_length: float = 1000.0,
        tolerance: float = 0.0,
        side: Literal["upper", "lower"] = "upper",
        inflation: float | None = None,
    ) -> None:
        check_at_least("window", window, 1)
        check_at_least("run_length", run_length, 1.0)
        values = _bounded(reference, name="reference")
        if not values.size:
            raise ValueError("reference: no value that is not NaN given, expected some")
        starts = np.arange(0, values.size, window)
        sums = np.add.reduceat(values, starts)
        sizes = np.diff(np.append(starts, values.size)).astype(np.float64)
        self.baseline: Baseline = estimate_baseline(sums, sizes, level=BASELINE_LEVEL, default_inflation=inflation)
        build, bound = (
            (BoundedMean.for_upper, self.baseline.upper)
            if side == "upper"
            else (BoundedMean.for_lower, self.baseline.lower)
        )
        self._bets = build(bound, tolerance, self.baseline.inflation)
        self._direction = "increase" if side == "upper" else "decrease"
        self._threshold = float(run_length)
        self._evidence = ShiryaevRoberts()

    def update(self, values: npt.ArrayLike) -> Verdict:
        """Take in one window.

        Parameters
        ----------
        values
            Shape (n,): values in [0, 1]; NaN is missing, and left out.

        Returns
        -------
        Verdict
            `DRIFT` where the evidence has reached `run_length`: it then starts again from nothing. `NO_DATA` for a
            window without values.

        Raises
        ------
        ValueError
            If a value lies outside [0, 1].
        """
        known = _bounded(values, name="values")
        self._evidence.update(self._bets.log_bets(known, np.ones(known.size)))
        statistic = self._evidence.statistic
        status = Status.DRIFT if statistic >= self._threshold else Status.STABLE if known.size else Status.NO_DATA
        if status is Status.DRIFT:
            self._evidence.reset()
        return Verdict(
            status=status,
            statistic=statistic,
            threshold=self._threshold,
            n=int(known.size),
            direction=self._direction if status is Status.DRIFT else "",
        )


def _bounded(values: npt.ArrayLike, *, name: str) -> FloatArray:
    """Values that are not NaN, shape (n,)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: shape {array.shape} given, expected one axis")
    known = array[~np.isnan(array)]
    if known.size and not (known.min() >= 0.0 and known.max() <= 1.0):
        raise ValueError(f"{name}: {known.min()} to {known.max()} given, expected all in [0, 1]")
    return known
