"""What all contenders share: river's detectors for one model, and what they are told by the harness."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from river.drift import ADWIN

BROKER: Final = os.environ["BENCH_BROKER"]
PREDICTIONS: Final = os.environ["BENCH_PREDICTIONS"]
LABELS: Final = os.environ["BENCH_LABELS"]
RESULTS: Final = os.environ["BENCH_RESULTS"]
NAME: Final = os.environ["BENCH_NAME"]
FOLDER: Final = os.environ["BENCH_FOLDER"]
SAVE_EVERY: Final = int(os.environ["BENCH_SAVE_EVERY"])
"""Pairs between two savings of the detectors, and between two results."""


class Watch:
    """One ADWIN per feature and one on the errors.

    Categories become numbers in the order in which they are first seen, since river's drift detectors read numbers.
    """

    def __init__(self) -> None:
        self._features: dict[str, ADWIN] = {}
        self._errors = ADWIN()
        self._codes: dict[tuple[str, str], int] = {}
        self._drifted: list[str] = []
        self.n_pairs = 0
        self.n_errors = 0

    def take_features(self, features: Mapping[str, Any]) -> None:
        """Feed the features of one prediction."""
        for name, value in features.items():
            detector = self._features.get(name)
            if detector is None:
                detector = self._features[name] = ADWIN()
            is_text = isinstance(value, str)
            detector.update(self._codes.setdefault((name, value), len(self._codes)) if is_text else value)
            if detector.drift_detected:
                self._drifted.append(name)

    def take_outcome(self, predicted: Any, actual: Any) -> dict[str, Any] | None:
        """Feed one joined pair; returns a result where it is time for one."""
        wrong = predicted != actual
        self.n_pairs += 1
        self.n_errors += wrong
        self._errors.update(wrong)
        if self._errors.drift_detected:
            self._drifted.append("errors")
        if not self._drifted and not self.is_time:
            return None
        drifted, self._drifted = self._drifted, []
        return {"n_pairs": self.n_pairs, "n_errors": self.n_errors, "drifted": drifted}

    @property
    def is_time(self) -> bool:
        """Whether the detectors are to be saved now."""
        return self.n_pairs % SAVE_EVERY == 0


class _First:
    said = False


def note_first(_: object = None) -> None:
    """Tell the harness, once, that a record is in hand: from here on the meters count."""
    if not _First.said:
        _First.said = True
        print("bench: first record", flush=True)
