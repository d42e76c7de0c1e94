"""River's detectors as contestants, each with the one parameter that sets how readily it fires."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detectors.arrays import FloatArray
from detectors.evaluate.e_detector import BoolArray
from detectors.evaluate.hddm import hddm_a_alarms, hddm_w_alarms
from detectors.evaluate.kswin import kswin_alarms, kswin_p_values
from detectors.evaluate.sample import Kind, Sample
from detectors.outcomes import Direction, make_outcome_detector

BOTH_KINDS: Final[tuple[Kind, ...]] = ("errors", "values")
_CHUNK: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RiverDetector:
    """One of river's detectors.

    Parameters
    ----------
    name
        As in `OUTCOME_DETECTORS`.
    parameter
        River's name of the parameter that is calibrated.
    strict, loose
        Its range, from hardly ever firing to firing all the time; it is searched on a logarithmic scale.
    kinds
        Streams that it can read.
    scaled
        Whether values have to be brought into [0, 1] first: by the reference's range, clipped.
    """

    name: str
    parameter: str
    strict: float
    loose: float
    kinds: tuple[Kind, ...] = BOTH_KINDS
    scaled: bool = False

    def on(self, sample: Sample) -> Callable[[float | None], BoolArray]:
        """Return what gives the alarms at a setting of the parameter; None is river's default.

        Parameters
        ----------
        sample
            The repetitions.

        Returns
        -------
        Callable
            From a setting to booleans of shape (R, watched events). A repetition is read until its change is found.
        """
        values = _to_unit(sample) if self.scaled and sample.kind == "values" else sample.values

        def alarms(setting: float | None) -> BoolArray:
            given = {} if setting is None else self._settings(setting)
            found = np.zeros((sample.n_runs, sample.n_watched), dtype=np.bool_)
            for row, out in zip(values, found, strict=True):
                self._read(row, sample, given, out)
            return found

        return alarms

    def _settings(self, setting: float) -> dict[str, Any]:
        if self.name == "dummy":
            return {self.parameter: max(round(setting), 1)}
        if self.name == "eddm":
            return {self.parameter: setting, "alpha": max(0.95, setting)}
        return {self.parameter: setting}

    def _read(self, row: FloatArray, sample: Sample, settings: Mapping[str, Any], out: BoolArray) -> None:
        direction: Direction = "increase" if sample.kind == "errors" else "both"
        detector = make_outcome_detector(self.name, direction=direction, **settings)
        detector.update(row[: sample.n_reference])
        watched = row[sample.n_reference :]
        stop = watched.size if sample.change is None else sample.change - sample.n_reference
        for start in range(0, watched.size, _CHUNK):
            for position in detector.update(watched[start : start + _CHUNK]):
                out[start + position] = True
            if start + _CHUNK > stop and out[stop : start + _CHUNK].any():
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Kswin:
    """River's KSWIN, whose p-values are calculated for all repetitions at once (see `detectors.evaluate.kswin`)."""

    name: str = "kswin"
    parameter: str = "alpha"
    strict: float = 1e-12
    loose: float = 0.5
    kinds: tuple[Kind, ...] = BOTH_KINDS

    def on(self, sample: Sample) -> Callable[[float | None], BoolArray]:
        """Return what gives the alarms at a level alpha; None is river's default.

        Parameters
        ----------
        sample
            The repetitions.

        Returns
        -------
        Callable
            From alpha to booleans of shape (R, watched events).
        """
        p_values = kswin_p_values(sample.values, sample.n_reference, rises_only=sample.kind == "errors")
        return lambda setting: kswin_alarms(p_values, 0.005 if setting is None else setting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hddm:
    """River's HDDM_A or HDDM_W, for all repetitions at once (see `detectors.evaluate.hddm`)."""

    name: str
    of: Callable[[FloatArray, float], BoolArray]
    parameter: str = "drift_confidence"
    strict: float = 1e-12
    loose: float = 0.9
    kinds: tuple[Kind, ...] = ("errors",)

    def on(self, sample: Sample) -> Callable[[float | None], BoolArray]:
        """Return what gives the alarms at a confidence; None is river's default.

        Parameters
        ----------
        sample
            The repetitions.

        Returns
        -------
        Callable
            From the confidence to booleans of shape (R, watched events).
        """
        return lambda setting: self.of(sample.values, 0.001 if setting is None else setting)[:, sample.n_reference :]


def _to_unit(sample: Sample) -> FloatArray:
    reference = sample.values[:, : sample.n_reference]
    low = np.nanmin(reference, axis=1, keepdims=True)
    width = np.nanmax(reference, axis=1, keepdims=True) - low
    return np.asarray(np.clip((sample.values - low) / np.where(width > 0.0, width, 1.0), 0.0, 1.0), dtype=np.float64)


RIVER: Final[tuple[RiverDetector | Kswin | Hddm, ...]] = (
    RiverDetector(name="adwin", parameter="delta", strict=1e-12, loose=0.999, scaled=True),
    RiverDetector(name="ddm", parameter="drift_threshold", strict=30.0, loose=1.0, kinds=("errors",)),
    RiverDetector(name="eddm", parameter="beta", strict=0.2, loose=0.999, kinds=("errors",)),
    Hddm(name="hddm_a", of=hddm_a_alarms),
    Hddm(name="hddm_w", of=hddm_w_alarms),
    Kswin(),
    RiverDetector(name="page_hinkley", parameter="threshold", strict=1e3, loose=0.5),
    RiverDetector(name="dummy", parameter="t_0", strict=1e6, loose=2.0),
)
