"""Readings taken into the evidence of their series: all series with the same number of bets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.sequential import EProcess, ShiryaevRoberts
from detectors.stacked import grow, statistics
from streams.evaluator.series import Reading
from streams.evaluator.state import SeriesState

CLEARING_E_VALUE = 20.0
"""The mirrored test is sure at this e-value: wrong with probability .05."""
_NUMBER = np.dtype("<f8")


def feed(states: Mapping[str, SeriesState], readings: Mapping[str, Reading], n_period: int) -> frozenset[str]:
    """Take one window into the evidence of many series.

    Parameters
    ----------
    states
        By series; changed in place.
    readings
        By series, for each of `states`.
    n_period
        Windows after which the second state of a series, `listing`, begins anew: so E[M] <= n_period there.

    Returns
    -------
    frozenset of str
        Series whose mirrored test has become sure: they are well again.
    """
    alike: dict[int, list[str]] = {}
    for name, reading in readings.items():
        states[name].value = reading.value
        if reading.log_bets is not None:
            alike.setdefault(reading.log_bets.size, []).append(name)
    for n_bets, names in alike.items():
        _feed_alike([states[n] for n in names], [readings[n] for n in names], n_bets, n_period)
    return frozenset(name for name, reading in readings.items() if _recovers(states[name], reading))


def _feed_alike(states: Sequence[SeriesState], readings: Sequence[Reading], n_bets: int, n_period: int) -> None:
    bets = np.array([reading.log_bets for reading in readings])
    evidence = _stacked([_packed(state.evidence) for state in states], n_bets)
    # Another reference has other bets: what was gathered against the old one is void.
    is_void = evidence[:, 0] == 0.0
    grown = grow(evidence[:, 1:], bets)
    packed = _unstacked(evidence[:, 0] + 1.0, grown)
    listing = _stacked([state.listing for state in states], n_bets)
    listing[listing[:, 0] >= n_period] = _fresh(n_bets)
    listed = _unstacked(listing[:, 0] + 1.0, grow(listing[:, 1:], bets))
    for i, (state, statistic, void) in enumerate(
        zip(states, statistics(grown).tolist(), is_void.tolist(), strict=True)
    ):
        state.evidence, state.listing, state.statistic = packed[i], listed[i], statistic
        state.n_since_reset = readings[i].n + (0 if void else state.n_since_reset)


def _fresh(n_bets: int) -> NDArray[np.float64]:
    """A row of evidence that begins with the next window: no windows, and M = 0."""
    return np.array([0.0, *[-np.inf] * n_bets], dtype=_NUMBER)


def _stacked(packed: Sequence[bytes], n_bets: int) -> NDArray[np.float64]:
    """Rows of evidence, shape (S, 1 + K), the number of windows first; a fresh one where there is none of this size."""
    fresh = _fresh(n_bets).tobytes()
    rows = b"".join(each if len(each) == len(fresh) else fresh for each in packed)
    return np.frombuffer(rows, dtype=_NUMBER).reshape(len(packed), 1 + n_bets).copy()


def _unstacked(n_windows: NDArray[np.float64], log_m: NDArray[np.float64]) -> list[bytes]:
    rows = np.column_stack([n_windows, log_m]).astype(_NUMBER, copy=False)
    written, size = rows.tobytes(), rows.shape[1] * _NUMBER.itemsize
    return [written[i : i + size] for i in range(0, len(written), size)]


def _packed(evidence: bytes | list[float]) -> bytes:
    """Evidence as bytes; a state of format 1 has it as a list."""
    return evidence if isinstance(evidence, bytes) else np.array(evidence, dtype=_NUMBER).tobytes()


def _recovers(state: SeriesState, reading: Reading) -> bool:
    """Feed the mirrored test of an alarm that is in force; True where it is sure now."""
    if state.clearing is None or reading.log_bets is None or reading.clearing_bets is None:
        return False
    clearing = EProcess.from_list(state.clearing) if state.clearing else EProcess()
    bets: NDArray[np.float64] = reading.clearing_bets()
    clearing.update(bets)
    state.clearing = clearing.to_list()
    return clearing.e_value >= CLEARING_E_VALUE


def evidence_numbers(evidence: bytes | list[float]) -> list[float]:
    """Return evidence as `ShiryaevRoberts.to_list` gives it: the number of windows, then the log-components."""
    numbers: list[float] = np.frombuffer(_packed(evidence), dtype=_NUMBER).tolist()
    return numbers


def statistic_of(evidence: bytes | list[float]) -> float:
    """Return the mean of the components; 0 where there was no window."""
    return ShiryaevRoberts.from_list(evidence_numbers(evidence)).statistic if evidence else 0.0
