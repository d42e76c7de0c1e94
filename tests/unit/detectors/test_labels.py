import numpy as np
import pytest

from detectors.labels import coverage, delay_quantiles, share_within
from detectors.latency import DELAY_BINS

EMPTY = np.zeros(DELAY_BINS.n_slots)


def test_coverage():
    assert coverage(0, 0) is None
    assert coverage(30, 40) == 0.75
    for bad in ((5, 4), (-1, 4)):
        with pytest.raises(ValueError, match=r"^n_labelled:"):
            coverage(*bad)


def test_delays():
    rng = np.random.default_rng(1)
    delays = rng.exponential(86_400, 20_000)
    counts = np.bincount(DELAY_BINS.encode(delays), minlength=DELAY_BINS.n_slots)
    found = delay_quantiles(counts)
    for q, delay in found.items():
        assert delay == pytest.approx(np.quantile(delays, q), rel=DELAY_BINS.relative_accuracy + 0.02)
    exact = (delays <= 86_400).mean()
    assert exact - 0.1 < share_within(counts, 86_400) <= exact


def test_no_labels():
    assert delay_quantiles(EMPTY) == {0.5: None, 0.9: None, 0.99: None}
    assert share_within(EMPTY, 10.0) is None
    with pytest.raises(ValueError, match=r"^age_seconds:"):
        share_within(EMPTY, -1.0)
