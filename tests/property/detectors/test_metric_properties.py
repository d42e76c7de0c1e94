import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from detectors.classification import classification_metrics
from detectors.divergences import companions
from detectors.inflation import distribution_inflation

cells = st.integers(0, 1000)


@given(npst.arrays(np.int64, st.integers(2, 5).map(lambda c: (c, c)), elements=cells), st.booleans())
def test_classification_metrics_are_shares_or_none(confusion, scored):
    scores = np.zeros((2, 101))
    scores[:, 40] = confusion[:2, 0]
    found = classification_metrics(confusion, 0, scores if scored else None)
    assert all(v is None or 0.0 <= v <= (6.0 if k == "log_loss" else 1.0 + 1e-12) for k, v in found.items())


@given(st.lists(st.tuples(cells, cells), max_size=20), st.floats(0.0, 1.0), st.booleans())
def test_companions_are_finite(table, tolerance, ordered):
    reference, current = np.array(table, dtype=float).reshape(-1, 2).T
    for companion in companions(reference, current, tolerance=tolerance, ordered=ordered):
        assert np.isfinite(companion.value)
        assert companion.value >= 0.0
        assert companion.threshold is None or np.isfinite(companion.threshold)


@given(npst.arrays(np.int64, st.tuples(st.integers(0, 90), st.integers(0, 6)), elements=cells), st.booleans())
def test_an_inflation_is_at_least_one(counts, ordered):
    found = distribution_inflation(counts, ordered=ordered)
    if found is None:
        assert (counts.sum(axis=1) > 0).sum() < 40
    else:
        assert 1.0 <= found.ratio <= found.upper < np.inf
