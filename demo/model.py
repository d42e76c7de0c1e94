"""The model: will a flight arrive more than 15 minutes late? And the same model, fed by a careless pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from demo.flights import CATEGORICAL, HOME_ZONE, NUMERIC, Flights

HOME: Final = ZoneInfo(HOME_ZONE)
TRAINED_FROM: Final = datetime(2013, 1, 1, tzinfo=HOME)
TRAINED_UNTIL: Final = datetime(2013, 1, 25, tzinfo=HOME)
DECISION: Final = 0.5
SKEWED: Final = NUMERIC.index("dep_delay")
MINUTES_PER_HOUR: Final = 60.0

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedScores:
    """Scores of every flight under both pipelines; shape (n,) each."""

    minutes: Scores
    """As v1 serves: `dep_delay` in minutes, as trained."""
    hours: Scores
    """As v2 serves: the same model, `dep_delay` sent in hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a version sends and answers, flight by flight."""

    numeric: NDArray[np.float64]
    """Features as they are sent; shape (n, len(NUMERIC))."""
    scores: Scores
    """Shape (n,)."""

    def cut(self, chosen: slice | NDArray[np.bool_]) -> Served:
        """Keep some of the flights."""
        return Served(numeric=self.numeric[chosen], scores=self.scores[chosen])


def as_hours(numeric: NDArray[np.float64]) -> NDArray[np.float64]:
    """What v2's pipeline sends: the same features, `dep_delay` in hours where minutes were trained."""
    sent = numeric.copy()
    sent[:, SKEWED] /= MINUTES_PER_HOUR
    return sent


def inputs(flights: Flights, numeric: NDArray[np.float64]) -> NDArray[np.float64]:
    """The model's matrix, shape (n, features): numbers, then categories as codes by alphabet."""
    codes = [np.unique(getattr(flights, name), return_inverse=True)[1] for name in CATEGORICAL]
    return np.column_stack([numeric, *codes]).astype(np.float64)


def train(flights: Flights, *, seed: int, until: datetime = TRAINED_UNTIL) -> HistGradientBoostingClassifier:
    """Train on what departed from 1 January to `until`: by default 1 to 24 January."""
    start_ms, end_ms = (round(moment.timestamp() * 1000) for moment in (TRAINED_FROM, until))
    chosen = flights.has_label & (flights.departure_ms >= start_ms) & (flights.departure_ms < end_ms)
    model = HistGradientBoostingClassifier(
        random_state=seed,
        learning_rate=0.08,
        max_iter=150,
        max_leaf_nodes=15,
        categorical_features=[False] * len(NUMERIC) + [True] * len(CATEGORICAL),
    )
    with threadpool_limits(1):  # threads that wait for one another spin, and starve whoever shares the cores
        return model.fit(inputs(flights, flights.numeric)[chosen], flights.is_late[chosen])


def predict(model: HistGradientBoostingClassifier, flights: Flights, numeric: NDArray[np.float64]) -> Scores:
    """Score every flight on the features that were sent for it."""
    with threadpool_limits(1):
        scores: Scores = model.predict_proba(inputs(flights, numeric))[:, 1]
    return scores


def score(flights: Flights, *, seed: int) -> ServedScores:
    """Train, and score every flight under both pipelines."""
    model = train(flights, seed=seed)
    return ServedScores(
        minutes=predict(model, flights, flights.numeric), hours=predict(model, flights, as_hours(flights.numeric))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a month's predictions were."""

    n: int
    late_ratio: float
    accuracy: float
    auc: float
    miss_rate: float


def quality(scores: Scores, is_late: NDArray[np.bool_]) -> Quality:
    """Quality of scores against the truth, both of shape (n,)."""
    called = scores >= DECISION
    return Quality(
        n=len(scores),
        late_ratio=float(is_late.mean()),
        accuracy=float((called == is_late).mean()),
        auc=float(roc_auc_score(is_late, scores)),
        miss_rate=float((~called & is_late).sum() / max(1, is_late.sum())),
    )
