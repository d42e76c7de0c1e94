"""The short form of `make fuzz`: a few seconds for each reader."""

from __future__ import annotations

import pytest

from tests.fuzz import decisions
from tests.fuzz.profiler import MAX_MODELS, Run


def test_every_record_of_stage_1_is_accounted_for_and_memory_is_bounded() -> None:
    figures = Run(11, restart_every=8).feed(25_000)
    assert figures.n_records == 25_000
    assert figures.n_restarts == 3
    assert figures.n_models <= MAX_MODELS
    assert set(figures.reasons) >= {
        "not_json", "schema", "missing_field", "bad_timestamp", "future_timestamp", "too_large", "empty_value",
        "bad_key",
    }  # fmt: skip
    # It is no use if nothing gets through: every outcome is among them.
    assert {name for name, n in figures.totals.items() if n == 0} == set()
    assert figures.changelog_bytes < 10_000_000


@pytest.mark.parametrize("seed", [1, 2])
def test_garbage_between_the_stages_stops_none(seed: int) -> None:
    assert 200 < decisions.fuzz_evaluator(seed, 1_000)["n_dead"] < 900
    assert 200 < decisions.fuzz_governor(seed, 2_000)["n_dead"] < 1_800


def test_garbage_on_control_topics_is_refused_in_words_and_stops_nobody() -> None:
    assert 100 < decisions.fuzz_control(3, 300)["n_rejected"] < 290
