"""The scenarios of the demo: what each version sends and answers, flight by flight, and what should come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from demo.flights import NUMERIC, WEATHER, Flights
from demo.model import Served, ServedScores, as_hours, predict, train
from schemas.base import milliseconds

GOOD_VERSION: Final = "v1"
NEW_VERSION: Final = "v2"
FEED_LIVES: Final = timedelta(days=3)
"""How long after the deployment of a good v2 the weather feed still works."""
ILL_BEFORE: Final = timedelta(days=5)
"""How long before the deployment of v2 the pipeline that both share is broken."""
COARSE_MINUTES: Final = 30.0
"""To what v1's feed cuts delays, where v2 is better."""
_FOLDER: Final = Path(__file__).parent

Name = Literal[
    "skew", "placebo", "upstream", "upstream-holdback", "better", "executor-down", "unhealthy-target"
]  # fmt: skip
Serving = Mapping[str, Served]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story, and how much of the year it needs.

    Attributes
    ----------
    what, should
        What goes on, and what Plumbline should make of it: for a person.
    serve
        What each version sends and answers, of all flights, with the deployment's moment and the seed.
    start, until
        Days that the run takes, unless it is told otherwise.
    """

    what: str
    should: str
    serve: Callable[[Flights, ServedScores, datetime, int], Serving]
    start: date = date(2013, 5, 13)
    until: date = date(2013, 7, 1)
    holdback: float = 0.0
    config: Path = _FOLDER / "monitors.yaml"
    executor_is_up: bool = True


def _sound(flights: Flights, scores: ServedScores) -> Served:
    return Served(numeric=flights.numeric, scores=scores.minutes)


def _skewed(flights: Flights, scores: ServedScores) -> Served:
    return Served(numeric=as_hours(flights.numeric), scores=scores.hours)


def _skew(flights: Flights, scores: ServedScores, deploy_at: datetime, seed: int) -> Serving:
    del deploy_at, seed
    return {GOOD_VERSION: _sound(flights, scores), NEW_VERSION: _skewed(flights, scores)}


def _placebo(flights: Flights, scores: ServedScores, deploy_at: datetime, seed: int) -> Serving:
    del deploy_at, seed
    return dict.fromkeys((GOOD_VERSION, NEW_VERSION), _sound(flights, scores))


def _feed_breaks(flights: Flights, scores: ServedScores, deploy_at: datetime, seed: int) -> Serving:
    """Whoever serves, the weather is missing from some moment on; the model answers what it then answers."""
    silent = flights.departure_ms >= milliseconds(deploy_at + FEED_LIVES)
    numeric = flights.numeric.copy()
    numeric[np.ix_(silent, [NUMERIC.index(name) for name in WEATHER])] = np.nan
    hit = Served(numeric=numeric, scores=predict(train(flights, seed=seed), flights, numeric))
    return dict.fromkeys((GOOD_VERSION, NEW_VERSION), hit)


def _better(flights: Flights, scores: ServedScores, deploy_at: datetime, seed: int) -> Serving:
    """v1's feed has always cut delays to whole half hours; v2 is the same model, with the minutes as they are."""
    del deploy_at
    numeric = flights.numeric.copy()
    delay = numeric[:, NUMERIC.index("dep_delay")]
    numeric[:, NUMERIC.index("dep_delay")] = np.floor(delay / COARSE_MINUTES) * COARSE_MINUTES
    coarse = Served(numeric=numeric, scores=predict(train(flights, seed=seed), flights, numeric))
    return {GOOD_VERSION: coarse, NEW_VERSION: _sound(flights, scores)}


def _both_ill(flights: Flights, scores: ServedScores, deploy_at: datetime, seed: int) -> Serving:
    """The pipeline breaks under v1; v2 is deployed in haste, and goes through the same pipeline."""
    del seed
    broken = flights.departure_ms >= milliseconds(deploy_at - ILL_BEFORE)
    sound, skewed = _sound(flights, scores), _skewed(flights, scores)
    v1 = Served(
        numeric=np.where(broken[:, None], skewed.numeric, sound.numeric),
        scores=_where(broken, skewed.scores, sound.scores),
    )
    return {GOOD_VERSION: v1, NEW_VERSION: skewed}


def _where(
    condition: NDArray[np.bool_], chosen: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.where(condition, chosen, other)


SCENARIOS: Final[Mapping[Name, Scenario]] = {
    "skew": Scenario(
        what="v2's pipeline sends dep_delay in hours where minutes were trained",
        should="page, rollback to v1, verified",
        serve=_skew, start=date(2013, 1, 1), until=date(2014, 1, 1),
    ),
    "placebo": Scenario(
        what="v2 is v1 under another name",
        should="nothing: no rollback, and no more pages than the budget allows",
        serve=_placebo, start=date(2013, 1, 1), until=date(2014, 1, 1),
    ),
    "upstream": Scenario(
        what="v2 is as good as v1; three days after it went out the weather feed goes silent, and v1 serves nothing",
        should="page; no rollback, refused as `not_deployment_aligned`",
        serve=_feed_breaks, config=_FOLDER / "monitors-weather.yaml",
    ),
    "upstream-holdback": Scenario(
        what="the same, but a tenth of the traffic stays on v1, which reads the same weather feed",
        should="page; no rollback, refused as `upstream_cause`",
        serve=_feed_breaks, config=_FOLDER / "monitors-weather.yaml", holdback=0.1, until=date(2013, 7, 14),
    ),
    "better": Scenario(
        what="v1 gets delays in whole half hours, v2 in minutes; a fifth of the traffic stays on v1 to compare",
        should="no rollback, nothing refused, and a recommendation",
        serve=_better, holdback=0.2,
    ),
    "executor-down": Scenario(
        what="v2 is broken as in `skew`, and nobody executes what is ordered",
        should="page; every command expires and a page says so; v2 still serves all of the traffic",
        serve=_skew, executor_is_up=False,
    ),
    "unhealthy-target": Scenario(
        what="the pipeline breaks five days before v2 goes out, and v2 goes through it as well",
        should="pages on both; no rollback, refused as `no_healthy_target`",
        serve=_both_ill,
    ),
}  # fmt: skip
