"""Readings taken into the evidence of their series: all series with the same number of bets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.sequential import EProcess
from detectors.stacked import grow
from streams.evaluator.series import Reading
from streams.evaluator.state import SeriesState

CLEARING_E_VALUE = 20.0
"""The mirrored test is sure at this e-value: wrong with probability .05."""
_NUMBER = np.dtype("<f8")


def feed(states: Mapping[str, SeriesState], readings: Mapping[str, Reading]) -> frozenset[str]:
    """Take one window into the evidence of many series.

    Parameters
    ----------
    states
        By series; changed in place.
    readings
        By series, for each of `states`.

    Returns
    -------
    frozenset of str
        Series whose mirrored test has become sure: they are well again.
    """
    alike: dict[tuple[int, bool], list[str]] = {}
    for name, reading in readings.items():
        state = states[name]
        state.value = reading.value
        if reading.log_bets is None:
            continue
        n_bets = reading.log_bets.size
        if len(state.evidence) != (1 + n_bets) * (_NUMBER.itemsize if isinstance(state.evidence, bytes) else 1):
            # Another reference has other bets: what was gathered against the old one is void.
            state.evidence, state.n_since_reset = b"", 0
        alike.setdefault((n_bets, bool(state.evidence)), []).append(name)
    for (n_bets, is_old), names in alike.items():
        _feed_alike([states[n] for n in names], [readings[n] for n in names], n_bets, is_old=is_old)
    return frozenset(name for name, reading in readings.items() if _recovers(states[name], reading))


def _feed_alike(states: Sequence[SeriesState], readings: Sequence[Reading], n_bets: int, *, is_old: bool) -> None:
    bets = np.array([reading.log_bets for reading in readings])
    evidence = np.zeros((len(states), 1 + n_bets), dtype=_NUMBER)
    if is_old:
        evidence = np.frombuffer(b"".join(_packed(state.evidence) for state in states), dtype=_NUMBER)
        evidence = evidence.reshape(len(states), 1 + n_bets).copy()
    grown = grow(evidence[:, 1:] if is_old else None, bets)
    evidence[:, 0] += 1
    evidence[:, 1:] = grown.log_m
    written, size = evidence.tobytes(), evidence.strides[0]
    for i, (state, reading, statistic) in enumerate(zip(states, readings, grown.statistic.tolist(), strict=True)):
        state.evidence = written[i * size : (i + 1) * size]
        state.statistic = statistic
        state.n_since_reset += reading.n


def _packed(evidence: bytes | list[float]) -> bytes:
    """Evidence as bytes; a state of 0.1 has it as a list."""
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


def evidence_numbers(state: SeriesState) -> list[float]:
    """Return the evidence as `ShiryaevRoberts.to_list` gives it: the number of windows, then the log-components."""
    numbers: list[float] = np.frombuffer(_packed(state.evidence), dtype=_NUMBER).tolist()
    return numbers
