"""What deployment tools are told: never a pass on too little, and a reason with every no."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from decision_samples import NOW, alert

from schemas.metrics import CanaryStatus, WindowMetrics
from streams.web.analysis import analysis, gate
from streams.web.board import Board

WHICH = ("production", "flight-delay")
FLAGGER = {"name": "x", "namespace": "y", "phase": "Progressing",
           "metadata": {"environment": "production", "model": "flight-delay"}}  # fmt: skip


def board(verdict: str | None = "no_harm", *, page: bool = False, **changes: Any) -> Board:
    made = Board()
    fields = {
        "candidate": "8", "baseline": "7", "deployment_id": "d8", "signal": "miss_rate", "since": NOW,
        "verdict": verdict, "n_pairs": 400, "difference": 0.0, "harm_lower": -0.04, "harm_upper": 0.02,
        "tolerance": 0.05, "traffic_ratio": 0.1, **changes,
    }  # fmt: skip
    canary = None if verdict is None else CanaryStatus.model_validate(fields)
    for version, status in (("7", None), ("8", canary)):
        made.apply(
            WindowMetrics(
                model_name="flight-delay", model_version=version, kind="outcomes", window_start=NOW,
                window_end=NOW + timedelta(hours=6), canary=status,
            ),
            NOW,
        )  # fmt: skip
    if page:
        made.apply(alert(), NOW)
    return made


def test_the_document_has_what_a_json_path_asks_for() -> None:
    found = analysis(board(page=True), *WHICH, NOW)
    assert found is not None
    assert (found["verdict"], found["candidate"], found["baseline"]) == ("no_harm", "8", "7")
    assert (found["pages_firing"], found["alerts_firing"]) == (1, ["miss"])
    assert found["as_of"] == (NOW + timedelta(hours=6)).isoformat()


def test_without_a_canary_it_is_inconclusive_and_of_a_stranger_nothing_is_said() -> None:
    found = analysis(board(None), *WHICH, NOW)
    assert found is not None
    assert (found["verdict"], found["n_pairs"]) == ("inconclusive", 0)
    assert analysis(board(), "production", "other", NOW) is None


@pytest.mark.parametrize(
    ("made", "is_open", "why"),
    [
        (board(), True, "no_harm, no page is firing"),
        (board("inconclusive"), True, "inconclusive, no page is firing"),
        (board(None), True, "inconclusive, no page is firing"),
        (board("harm"), False, "harm: 8"),
        (board("blocked", blocked_by=["label_coverage: 1%"]), False, "blocked: label_coverage: 1%"),
        (board(page=True), False, "1 pages are firing: miss"),
        (Board(), False, "nothing is known of production/flight-delay"),
    ],
)
def test_the_gate(made: Board, is_open: bool, why: str) -> None:
    assert gate(made, FLAGGER, NOW) == (is_open, why)


def test_the_gate_takes_name_and_namespace_and_refuses_what_names_no_model() -> None:
    assert gate(board(), {"name": "flight-delay", "namespace": "production"}, NOW)[0]
    for body in ({}, {"metadata": {"model": "m"}}, [], None, {"metadata": "x"}):
        with pytest.raises(ValueError, match=r"expected metadata\.model"):
            gate(board(), body, NOW)
