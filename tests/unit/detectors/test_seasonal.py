import numpy as np
import pytest

from detectors.seasonal import KAPPA, SeasonalReference

CONTEXTS = np.arange(112) % 28
N = 300


def table(rng, share_of_context):
    """Counts of ten slots, a mixture of two shapes: shape (112, 10)."""
    low, high = np.linspace(0.19, 0.01, 10), np.linspace(0.01, 0.19, 10)
    shares = np.array([s * high + (1 - s) * low for s in share_of_context[CONTEXTS]])
    return np.array([rng.multinomial(N, p / p.sum()) for p in shares])


def test_without_a_cycle_the_whole_goes_in_and_with_one_hardly_anything():
    rng = np.random.default_rng(1)
    flat = SeasonalReference.of(table(rng, np.full(28, 0.5)), CONTEXTS, ordered=True)
    cyclic = SeasonalReference.of(table(rng, rng.permutation(np.linspace(0, 1, 28))), CONTEXTS, ordered=True)
    assert flat.kappa > 1000
    assert cyclic.kappa < 50
    assert (flat.at(3).n_effective > 2 * cyclic.at(3).n_effective).all()


def test_what_a_context_is_worth_covers_its_error():
    rng = np.random.default_rng(2)
    truth = 0.5 + 0.1 * rng.permutation(np.linspace(-1, 1, 28))
    errors = []
    values = np.linspace(0, 1, 10)
    low, high = np.linspace(0.19, 0.01, 10), np.linspace(0.01, 0.19, 10)
    for _ in range(100):
        found = SeasonalReference.of(table(rng, truth), CONTEXTS, values=values)
        for context in (0, 9, 20):
            held = found.at(context)
            exact = truth[context] * high + (1 - truth[context]) * low
            sd = np.sqrt(exact @ values**2 / exact.sum() - (exact @ values / exact.sum()) ** 2)
            error = held.probabilities @ values - exact @ values / exact.sum()
            errors.append(error * np.sqrt(held.n_effective[0]) / sd)
    assert np.std(errors) < 1.3
    assert np.mean(np.abs(errors) > 3.5) < 0.01


def test_a_context_never_seen_is_known_as_badly_as_contexts_differ():
    rng = np.random.default_rng(3)
    found = SeasonalReference.of(table(rng, rng.permutation(np.linspace(0, 1, 28))), CONTEXTS, ordered=True)
    assert found.at(99).n_effective[0] < 10
    assert found.at(3).n_effective[0] > 50
    np.testing.assert_allclose(found.at(99).probabilities, found.at(None).probabilities)


def test_a_reference_too_short_for_contexts_keeps_a_fixed_weight():
    rng = np.random.default_rng(4)
    short = SeasonalReference.of(table(rng, np.full(28, 0.5))[:56], CONTEXTS[:56], ordered=True)
    assert short.kappa == KAPPA
    np.testing.assert_allclose(short.at(3).n_effective, (2 * N + KAPPA) / short.inflation)
    assert SeasonalReference.of(table(rng, np.full(28, 0.5))[:39], CONTEXTS[:39], ordered=True) is None


def test_a_loss_has_the_inflation_of_its_own_variance():
    rng = np.random.default_rng(5)
    values = np.array([0.48, 0.52])  # a twenty-fifth of a Bernoulli's standard deviation
    share = np.clip(0.5 + 0.2 * rng.standard_normal(112), 0.05, 0.95)
    hits = rng.binomial(N, share)
    counts = np.stack([N - hits, hits], axis=1)
    loss = SeasonalReference.of(counts, values=values)
    rate = SeasonalReference.of(counts, values=np.array([0.0, 1.0]))
    assert rate.inflation[0] > 20
    np.testing.assert_allclose(loss.inflation, rate.inflation)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("contexts", [None, CONTEXTS])
def test_degenerate_tables_have_defined_answers(ordered, contexts):
    one_slot = np.zeros((112, 3))
    one_slot[:, 1] = 5
    found = SeasonalReference.of(one_slot, contexts, ordered=ordered)
    held = found.at(None if contexts is None else 2)
    np.testing.assert_allclose(held.probabilities, [0, 1, 0])
    assert (held.inflation == 1.0).all()
    assert np.isfinite(held.n_effective).all()
    assert SeasonalReference.of(np.zeros((112, 3)), contexts, ordered=ordered) is None


def test_order_of_merging_does_not_matter():
    rng = np.random.default_rng(6)
    first, second = table(rng, np.full(28, 0.4)), table(rng, np.full(28, 0.6))
    one = SeasonalReference.of(first + second, CONTEXTS, ordered=True).at(5)
    other = SeasonalReference.of(second + first, CONTEXTS, ordered=True).at(5)
    np.testing.assert_array_equal(one.n_effective, other.n_effective)
