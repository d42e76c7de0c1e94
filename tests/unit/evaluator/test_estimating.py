"""Performance without labels in the evaluator: what a shift of inputs shows at once, and what only labels show."""

from typing import Any

import numpy as np
import pytest

from schemas.base import from_milliseconds
from schemas.metrics import WindowMetrics
from schemas.monitors import ModelEntry
from streams.control import layout as sections
from streams.control.blocks import Block
from streams.control.plan import Plan
from tests.unit.evaluator.world import SPEC, World, alerts, cell_ms, windows

N = sections.N_SCORE_BINS
MIDPOINTS = (np.arange(N) + 0.5) / N
FALL: dict[str, Any] = {"signal": "estimated_accuracy", "detector": "threshold", "thresholds": {"set": 0.75}}
AUDIT: dict[str, Any] = {"signal": "estimator_unreliable"}
WORTH = {"true_positive": 10.0, "false_positive": -1.0}


class ScoredWorld(World):
    """A calibrated model: `unsure` draws scores towards one half, `wrong` turns that share of the labels round."""

    def block(
        self, plan: Plan, version: str, cell: int, *, n: int = 400, unsure: float = 0.0, wrong: float = 0.0,
        labelled: bool = True, **_: Any,
    ) -> Block:  # fmt: skip
        counts = np.zeros(plan.layout.width, dtype=np.int64)
        spread = 0.3 + 8.0 * unsure
        scores = self.rng.multinomial(n, _beta(spread))
        positives = self.rng.binomial(scores, MIDPOINTS * (1 - wrong) + (1 - MIDPOINTS) * wrong)
        said = MIDPOINTS >= 0.5

        def put(name: str, values: Any) -> None:
            counts[plan.layout.slice(name)] = values

        put(sections.N_PREDICTIONS, n)
        put(sections.SCORE, [*scores, 0])
        put(sections.PREDICTION, [scores[~said].sum(), scores[said].sum()])
        if labelled:
            put(sections.N_LABELLED, n)
            put(sections.OUTCOME_SCORE, [*(scores - positives), *positives])
            fn, tp = positives[~said].sum(), positives[said].sum()
            put(sections.CONFUSION, [scores[~said].sum() - fn, scores[said].sum() - tp, fn, tp])
        return Block.from_dense(version, "__all__", cell_ms(cell), counts)


def _beta(spread: float) -> Any:
    density = MIDPOINTS ** (spread - 1) * (1 - MIDPOINTS) ** (spread - 1)
    return density / density.sum()


def played(total: int, changed_from: int, monitors: list[dict[str, Any]], **terms: Any) -> ScoredWorld:
    world = ScoredWorld(monitors, spec={**SPEC, "business_value": WORTH})
    world.deploy("v1", 0)
    for number in range(total):
        world.cell("v1", number, **(terms if number >= changed_from else {}))
    return world


def at(found: list[WindowMetrics], cell: int) -> WindowMetrics:
    return next(w for w in found if w.window_start == from_milliseconds(cell_ms(cell)))


def test_a_shift_of_inputs_shows_before_the_labels_and_the_labels_agree() -> None:
    harness = played(40, 20, [FALL, AUDIT], unsure=1.0).run()
    before, after = at(windows(harness, "inputs"), 10), at(windows(harness, "inputs"), 30)
    assert before.estimates["accuracy"].value > 0.8
    assert after.estimates["accuracy"].value < 0.7
    assert after.estimates["business_value"].value < before.estimates["business_value"].value
    (first, *_) = alerts(harness)
    assert (first.labels["alertname"], first.starts_at) == ("EstimatedAccuracy", from_milliseconds(cell_ms(21)))
    assert first.labels["severity"] == "ticket"
    for window in windows(harness, "outcomes"):
        estimate = window.estimates["accuracy"]
        assert estimate.realised == window.values["accuracy"]
    held = [
        w.estimates["accuracy"].lower <= w.values["accuracy"] <= w.estimates["accuracy"].upper
        for w in windows(harness, "outcomes")
    ]
    assert np.mean(held) > 0.85
    assert not any(a.labels["alertname"] == "EstimatorUnreliable" for a in alerts(harness))


def test_a_change_of_what_the_scores_mean_shows_in_the_self_audit_alone() -> None:
    harness = played(60, 20, [FALL, AUDIT], wrong=0.3).run()
    found = [a for a in alerts(harness) if a.status == "firing"]
    assert {a.labels["alertname"] for a in found} == {"EstimatorUnreliable"}
    assert found[0].starts_at <= from_milliseconds(cell_ms(30))
    last = windows(harness, "inputs")[-1]
    assert last.estimates["accuracy"].value > 0.8, "without labels nothing is seen"
    assert last.estimates_unreliable == [], "inputs never look at how far labels are"
    matured = windows(harness, "outcomes")[-1]
    assert matured.estimates_unreliable == ["estimator_unreliable"]
    assert matured.values["accuracy"] < 0.7
    assert matured.estimates["accuracy"].value - matured.estimates["accuracy"].realised > 0.1


def test_while_nothing_changes_nothing_is_told() -> None:
    harness = played(80, 80, [FALL, AUDIT]).run()
    assert alerts(harness) == []
    assert all(not w.estimates_unreliable for w in windows(harness, "inputs"))


def test_labels_that_are_missing_do_not_change_the_estimate() -> None:
    whole = windows(played(12, 12, []).run(), "inputs")[-1]
    without = windows(played(12, 4, [], labelled=False).run(), "inputs")[-1]
    assert without.estimates["accuracy"].value == pytest.approx(whole.estimates["accuracy"].value, abs=0.05)


def test_a_reference_without_labelled_scores_estimates_nothing() -> None:
    world = World([FALL, AUDIT])
    world.deploy("v1", 0)
    for number in range(12):
        world.cell("v1", number)
    harness = world.run()
    assert all(not w.estimates for w in windows(harness, "inputs"))
    assert alerts(harness) == []


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"monitors": [{**FALL, "severity": "page"}]}, "severity: an estimate without labels pages nobody"),
        ({"monitors": [{"signal": "estimated_accuracy"}]}, "expected detector: threshold"),
        ({"monitors": [{**FALL, "signal": "estimated_business_value"}]}, "expected business_value of the model"),
        ({"task": "multiclass", "monitors": [{**FALL, "signal": "estimated_auc"}]}, "a multiclass model has none"),
        ({"task": "regression", "monitors": [FALL]}, "a regression model has none"),
        ({"monitors": [{**FALL, "signal": "estimated_mae"}]}, "a binary model has none"),
        ({"rollback": {"evidence": "estimated_accuracy"}}, "an estimate without labels never authorises a rollback"),
        ({"rollback": {"evidence": "estimator_unreliable"}}, "an estimate without labels never authorises a rollback"),
        ({"task": "regression", "business_value": WORTH}, "business_value"),
    ],
)
def test_what_makes_no_sense_is_refused(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ModelEntry.model_validate({"name": "m", **entry})
