"""Inflations of many series at once are those of each."""

import numpy as np
import pytest

from detectors.inflation import variance_inflation
from detectors.seasonal import SeasonalReference
from detectors.stacked_inflation import score_inflations

N_SERIES, N_CELLS = 9, 240


def counts(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits and events of rates whose level wanders more from series to series; every fifth cell is empty."""
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.normal(0, 0.02, (N_SERIES, N_CELLS)), axis=1) * np.arange(N_SERIES)[:, None] / N_SERIES
    n = rng.integers(20, 60, (N_SERIES, N_CELLS)) * (np.arange(N_CELLS) % 5 > 0)
    hits = rng.binomial(n, np.clip(0.3 + level, 0.02, 0.98))
    hits[1] = 0  # a rate without variance
    return hits.astype(float), n.astype(float)


@pytest.mark.parametrize("contexts", [None, np.arange(N_CELLS) % 28])
@pytest.mark.parametrize("cells_per_cycle", [1, 4, 60])
def test_each_rate_has_its_own_variance_inflation(contexts: np.ndarray | None, cells_per_cycle: int) -> None:
    hits, n = counts(seed=11)
    settings = {"contexts": contexts, "cells_per_cycle": cells_per_cycle}
    plain = score_inflations(hits[..., None], hits[..., None], n, **settings)
    upper = score_inflations(hits[..., None], hits[..., None], n, confidence=0.9, **settings)
    for i in range(N_SERIES):
        alone = variance_inflation(hits[i], n[i], confidence=0.9, **settings)
        assert alone is not None
        assert plain.ratio[i, 0] == pytest.approx(alone.ratio)
        assert upper.ratio[i, 0] == pytest.approx(alone.upper)
    assert plain.ratio[1, 0] == 1.0
    assert plain.freedom[1, 0] == np.inf
    assert plain.ratio[-1, 0] > 3.0
    assert plain.known.all()


def test_series_with_too_few_cells_are_not_known_among_others_that_are() -> None:
    hits, n = counts(seed=12)
    hits[3, 45:] = n[3, 45:] = 0.0
    assert score_inflations(hits[..., None], hits[..., None], n).known.tolist() == [i != 3 for i in range(N_SERIES)]


@pytest.mark.parametrize("ordered", [True, False])
def test_references_of_many_series_are_those_of_each(ordered: bool) -> None:
    rng = np.random.default_rng(13)
    contexts = np.arange(N_CELLS) % 28
    tables = [rng.multinomial(40, rng.dirichlet(np.ones(6)), size=N_CELLS) for _ in range(4)]
    tables[1][60:] = 0  # enough cells for the whole, too few for 28 contexts
    tables[2][30:] = 0  # too few for either
    together = SeasonalReference.of_many(tables, contexts, ordered=ordered, cells_per_cycle=4)
    for found, table in zip(together, tables, strict=True):
        alone = SeasonalReference.of(table, contexts, ordered=ordered, cells_per_cycle=4)
        assert (found is None) is (alone is None)
        if found is not None and alone is not None:
            held, expected = found.at(5), alone.at(5)
            assert held.probabilities == pytest.approx(expected.probabilities)
            assert held.n_effective == pytest.approx(expected.n_effective)
            assert held.freedom == pytest.approx(expected.freedom)
    assert [one is None for one in together] == [False, False, True, False]


def test_contexts_are_one_for_each_cell() -> None:
    hits, n = counts(seed=14)
    with pytest.raises(ValueError, match=r"contexts: shape \(3,\) given, expected one per cell"):
        score_inflations(hits[..., None], hits[..., None], n, contexts=[0, 1, 2])
