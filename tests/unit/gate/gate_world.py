"""Recorded traffic of a binary model with two numeric features, a category, a group and a segment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from schemas.events import LabelEvent, PredictionEvent
from schemas.gate import GateResult, GateTerms
from schemas.models import ModelSpec
from streams.gate.judging import judge
from streams.gate.traffic import Recorded, count

START = datetime(2026, 3, 2, tzinfo=UTC)
SPEC = ModelSpec.model_validate(
    {
        "name": "m", "task": "binary", "classes": ["no", "yes"], "positive_class": "yes", "cell": "6h",
        "segments": ["region"], "groups": ["sex"], "rollback": {"evidence": "error_rate"},
    }
)  # fmt: skip
Change = Callable[[dict[str, Any], np.random.Generator], None]


def recorded(
    version: str, n: int, *, seed: int, wrong: float = 0.15, change: Change | None = None, latency: float = 0.02,
    labelled: float = 1.0, wrong_in: dict[str, float] | None = None, failing: float = 0.0, cost: float = 0.001,
) -> Recorded:  # fmt: skip
    """Traffic in which a share of the answers is wrong, in some regions perhaps another one."""
    rng = np.random.default_rng(seed)
    predictions, labels = [], []
    for i in range(n):
        region = str(rng.choice(["north", "south", "west"]))
        features: dict[str, Any] = {
            "minutes": float(rng.lognormal(2.5, 1.0)), "age": float(rng.normal(40, 8)), "region": region,
            "sex": str(rng.choice(["f", "m"])),
        }  # fmt: skip
        says = bool(rng.random() < 0.4)
        row = {"features": features, "says": says}
        if change is not None:
            change(row, rng)
        at = START + timedelta(seconds=45 * i)
        says = row["says"]
        is_wrong = rng.random() < (wrong_in or {}).get(region, wrong)
        predictions.append(
            PredictionEvent(
                prediction_id=f"{version}-{i}", model_name="m", model_version=version, prediction_timestamp=at,
                features=features, prediction_label="yes" if says else "no",
                prediction_score=float(rng.uniform(0.5, 1.0) if says else rng.uniform(0.0, 0.5)),
                latency_seconds=latency * float(rng.lognormal(0, 0.3)), cost_usd=cost,
                error="timeout" if rng.random() < failing else None,
            )
        )  # fmt: skip
        if rng.random() < labelled:
            actual = says != is_wrong
            labels.append(
                LabelEvent(
                    prediction_id=f"{version}-{i}", model_name="m", label_timestamp=at + timedelta(hours=1),
                    actual_label="yes" if actual else "no",
                )
            )  # fmt: skip
    return predictions, labels


def judged(candidate: Recorded, *, champion: Recorded | None = None, **terms: Any) -> GateResult:
    """The gate's result against a champion of 3,000 predictions."""
    before = champion or recorded("v1", 3_000, seed=1)
    return judge(count(SPEC, before, candidate, reference=None), GateTerms.model_validate({"max_harm": 0.05, **terms}))
