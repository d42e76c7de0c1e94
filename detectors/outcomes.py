"""River's drift detectors by name, for those who want a particular one on a model's outcomes.

They read events one by one, so they do not merge, and their false alarms are not controlled; the default
detectors of this package are. What is added here: the input's domain is checked, NaN and infinities are
skipped and counted (one NaN blinds ADWIN and Page-Hinkley for good), Page-Hinkley's signal is scaled,
random ones are seeded, and an improvement is no alarm unless it is asked for.

References
----------
Montiel et al., "River: machine learning for streaming data in Python" (2021), and the papers that its
classes name.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from river import drift

Direction = Literal["increase", "decrease", "both"]
Domain = Literal["binary", "unit", "real"]
Sense = Literal["rise_only", "two_sided_test", "mode", "estimation", "window", "none"]

N_SCALE_EVENTS: Final = 100
"""Events whose standard deviation scales Page-Hinkley's signal; they are not tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How one of river's detectors is built, what it accepts, and how it tells a rise from a fall."""

    build: Callable[..., Any]
    domain: Domain
    sense: Sense
    seeded: bool = False


_KINDS: Final[Mapping[str, _Kind]] = {
    "adwin": _Kind(build=drift.ADWIN, domain="unit", sense="estimation"),
    "ddm": _Kind(build=drift.binary.DDM, domain="binary", sense="rise_only"),
    "eddm": _Kind(build=drift.binary.EDDM, domain="binary", sense="rise_only"),
    "hddm_a": _Kind(build=drift.binary.HDDMA, domain="unit", sense="two_sided_test"),
    "hddm_w": _Kind(build=drift.binary.HDDMW, domain="unit", sense="two_sided_test"),
    "kswin": _Kind(build=drift.KSWIN, domain="real", sense="window", seeded=True),
    "page_hinkley": _Kind(build=drift.PageHinkley, domain="real", sense="mode"),
    "dummy": _Kind(build=drift.DummyDriftDetector, domain="real", sense="none", seeded=True),
}
OUTCOME_DETECTORS: Final = tuple(_KINDS)

_MODES: Final[Mapping[Direction, str]] = {"increase": "up", "decrease": "down", "both": "both"}


class OutcomeDetector:
    """One of river's detectors behind the same contract as the others. Make it with `make_outcome_detector`.

    Attributes
    ----------
    name
        Its name in `OUTCOME_DETECTORS`.
    direction
        The change that is an alarm.
    n_values
        Values taken in.
    n_skipped
        NaN and infinite values left out.
    """

    def __init__(self, name: str, direction: Direction, parameters: Mapping[str, Any]) -> None:
        kind = _KINDS[name]
        settings = dict(parameters)
        if kind.seeded:
            settings.setdefault("seed", 0)
        if kind.sense == "mode":
            settings["mode"] = _MODES[direction]
        elif kind.sense == "two_sided_test":
            settings["two_sided_test"] = direction == "both"
        self.name = name
        self.direction: Direction = direction
        self.n_values = 0
        self.n_skipped = 0
        self._river = kind.build(**settings)
        self._warm_up: list[float] = []
        self._scale = 0.0

    def update(self, values: npt.ArrayLike) -> list[int]:
        """Take in values in the order of their events.

        Parameters
        ----------
        values
            Shape (n,): 0 or 1 for ddm and eddm, in [0, 1] for adwin, hddm_a and hddm_w, any unit for the
            others.

        Returns
        -------
        list of int
            Positions in `values` at which there was an alarm. The detector starts afresh after each one.

        Raises
        ------
        ValueError
            If a finite value lies outside the detector's domain; nothing is taken in then.
        """
        x = np.asarray(values, dtype=np.float64).ravel()
        finite = np.isfinite(x)
        self._check_domain(x[finite])
        self.n_skipped += int(x.size - finite.sum())
        alarms = []
        for position in np.flatnonzero(finite).tolist():
            self.n_values += 1
            if self._step(float(x[position])):
                alarms.append(position)
        return alarms

    def to_bytes(self) -> bytes:
        """Return the state, to be kept in this program's own store.

        It is a pickle of river's object, bound to the installed version of river: internal state, not a
        format of exchange.
        """
        return pickle.dumps(self.__dict__)

    @classmethod
    def from_bytes(cls, state: bytes) -> "OutcomeDetector":
        """Restore what `to_bytes` returned.

        Parameters
        ----------
        state
            From this program's own store: unpickling runs code, so bytes from elsewhere must never come here.

        Returns
        -------
        OutcomeDetector
            It continues exactly where the saved one stopped.
        """
        restored = cls.__new__(cls)
        restored.__dict__.update(pickle.loads(state))  # noqa: S301 - own state only, see above
        return restored

    def _check_domain(self, x: npt.NDArray[np.float64]) -> None:
        domain = _KINDS[self.name].domain
        if domain == "binary" and not np.isin(x, (0.0, 1.0)).all():
            raise ValueError(f"values: {x[~np.isin(x, (0.0, 1.0))][0]} given, {self.name} expects 0 or 1")
        if domain == "unit" and x.size and not (x.min() >= 0.0 and x.max() <= 1.0):
            raise ValueError(f"values: {x.min()} to {x.max()} given, {self.name} expects all in [0, 1]")

    def _step(self, x: float) -> bool:
        """Feed one value; whether it is an alarm in the direction asked for."""
        sense = _KINDS[self.name].sense
        if sense == "mode":
            return self._scaled_step(x)
        if sense in ("rise_only", "two_sided_test"):
            self._river.update(1.0 - x if self.direction == "decrease" else x)
            return bool(self._river.drift_detected)
        before = self._river.estimation if sense == "estimation" else 0.0
        window = self._river.window if sense == "window" else None
        self._river.update(x)
        if not self._river.drift_detected:
            return False
        if sense == "none" or self.direction == "both":
            return True
        rise = self._river.estimation - before if window is None else _rise(list(window), self._river.stat_size)
        return rise > 0.0 if self.direction == "increase" else rise < 0.0

    def _scaled_step(self, x: float) -> bool:
        if not self._scale:
            self._warm_up.append(x)
            if len(self._warm_up) == N_SCALE_EVENTS:
                spread = float(np.std(self._warm_up))
                self._scale = spread if 0.0 < spread < math.inf else 1.0
                self._warm_up = []
            return False
        self._river.update(x / self._scale)
        return bool(self._river.drift_detected)


def make_outcome_detector(name: str, *, direction: Direction = "increase", **parameters: Any) -> OutcomeDetector:
    """Make one of river's detectors.

    A rise alone is what ddm, eddm, hddm_a and hddm_w look for; for a decrease they are given 1 - x.
    page_hinkley has a mode of its own. adwin and kswin see any change: the mean of the recent values is
    compared with that before. dummy alarms in every direction. page_hinkley's values are divided by the
    standard deviation of the first 100, which are not tested (undivided if those are constant).

    Parameters
    ----------
    name
        adwin, ddm, eddm, hddm_a, hddm_w, kswin, page_hinkley or dummy.
    direction
        The change of the values that is an alarm: "increase" (errors, losses), "decrease" or "both".
    **parameters
        River's own, under river's names, except those that the direction sets (`mode`, `two_sided_test`). A
        `seed` that is not given is 0.

    Returns
    -------
    OutcomeDetector
        Fresh.

    Raises
    ------
    ValueError
        If the name, the direction or a parameter is not known, or ddm or eddm is asked for both directions.
    """
    kind = _KINDS.get(name)
    if kind is None:
        raise ValueError(f"name: {name!r} given, expected one of {', '.join(OUTCOME_DETECTORS)}")
    if direction not in _MODES:
        raise ValueError(f"direction: {direction!r} given, expected 'increase', 'decrease' or 'both'")
    if direction == "both" and kind.sense == "rise_only":
        raise ValueError(f"direction: 'both' given, {name} expects 'increase' or 'decrease'")
    for taken in {"mode", "two_sided_test"} & parameters.keys():
        raise ValueError(f"{taken}: {parameters[taken]!r} given, expected the direction to say it")
    try:
        return OutcomeDetector(name, direction, parameters)
    except (TypeError, ValueError) as error:
        raise ValueError(f"parameters: {parameters!r} given for {name}, expected river's own: {error}") from error


def _rise(window: list[float], n_recent: int) -> float:
    """Mean of the recent values less the mean of those before."""
    return float(np.mean(window[-n_recent:]) - np.mean(window[:-n_recent]))
