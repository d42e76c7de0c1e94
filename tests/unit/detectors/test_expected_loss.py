import numpy as np
import pytest

from detectors.expected_loss import ExpectedLoss


def cells(rng: np.random.Generator, n_cells: int, weights: list[float], *, n: int = 200, scale: float = 1.0):
    """Counts and sums of an exponential loss whose mean is 1, 2 and 4 in three bins."""
    counts = rng.multinomial(n, weights, size=n_cells)
    sums = rng.gamma(np.maximum(counts, 1), np.array([1.0, 2.0, 4.0]) * scale) * (counts > 0)
    return counts, sums


def test_it_sees_that_answers_come_more_often_where_the_model_errs_more() -> None:
    rng = np.random.default_rng(1)
    counts, sums = cells(rng, 60, [0.6, 0.3, 0.1])
    loss = ExpectedLoss.fit(sums, counts)
    assert loss is not None
    value, lower, upper = loss.estimate([20, 60, 120])
    assert value == pytest.approx((20 + 120 + 480) / 200, rel=0.05)
    assert lower < value < upper


def test_the_interval_holds_what_cells_of_the_reference_turn_out_to_be() -> None:
    rng = np.random.default_rng(2)
    counts, sums = cells(rng, 80, [0.6, 0.3, 0.1])
    loss = ExpectedLoss.fit(sums, counts)
    assert loss is not None
    later_counts, later_sums = cells(rng, 400, [0.3, 0.3, 0.4])
    held = [
        lower <= of.sum() / n.sum() <= upper
        for n, of in zip(later_counts, later_sums, strict=True)
        for _, lower, upper in [loss.estimate(n)]
    ]
    assert 0.9 < np.mean(held) < 0.99


def test_it_is_the_sum_of_cells_that_counts() -> None:
    rng = np.random.default_rng(3)
    counts, sums = cells(rng, 40, [0.5, 0.3, 0.2])
    whole, merged = ExpectedLoss.fit(sums, counts), ExpectedLoss.fit(sums[::-1], counts[::-1])
    assert whole is not None
    assert merged is not None
    assert np.allclose(whole.by_bin, merged.by_bin)


def test_what_cannot_be_known_is_none_and_a_bin_without_events_has_the_mean_of_all() -> None:
    assert ExpectedLoss.fit([[0.0, 0.0]], [[0, 0]]) is None
    loss = ExpectedLoss.fit([[30.0, 0.0]], [[10, 0]])
    assert loss is not None
    assert loss.by_bin.tolist() == [3.0, 3.0]
    assert loss.estimate([0, 0]) is None
    assert loss.estimate([0, 5]) == (3.0, None, None)
    with pytest.raises(ValueError, match="sums"):
        ExpectedLoss.fit([[1.0]], [[1, 2]])
    with pytest.raises(ValueError, match="counts"):
        loss.estimate([1])
