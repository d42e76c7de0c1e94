"""Many series at once say what each says by itself."""

import numpy as np
import pytest

from detectors.distribution import DistributionBets
from detectors.divergences import companions, simulate_null
from detectors.measures import jensen_shannon, psi, wasserstein
from detectors.seasonal import SeasonalReference
from detectors.sequential import ShiryaevRoberts
from detectors.stacked import CategoricalBets, OrderedBets, StackedReferences, grow, statistics
from detectors.stacked_divergences import stacked_companions, wasserstein_null

N_SERIES, N_SLOTS, N_CELLS = 7, 11, 600
CONTEXTS = np.arange(N_CELLS) % 28


def references(*, ordered: bool, split: bool) -> list[SeasonalReference]:
    rng = np.random.default_rng(3)
    found = []
    for i in range(N_SERIES):
        shares = rng.dirichlet(np.full(N_SLOTS, 1.0 + i))
        if i == 2:
            shares[4] = 0.0  # a slot that the reference never saw
            shares /= shares.sum()
        table = rng.multinomial(40, shares, size=N_CELLS)
        one = SeasonalReference.of(table, CONTEXTS if split else None, ordered=ordered, cells_per_cycle=4)
        assert one is not None
        found.append(one)
    return found


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("context", [None, 5, 99])
def test_bets_are_those_of_each_series(ordered: bool, context: int | None) -> None:
    own = references(ordered=ordered, split=context is not None)
    stack = StackedReferences(own)
    held = stack.at(context)
    counts = np.random.default_rng(4).integers(0, 30, (N_SERIES, N_SLOTS)).astype(float)
    counts[1] = 0.0
    together = (OrderedBets if ordered else CategoricalBets)(held, n_series=40, tolerance=0.02).log_bets(counts)
    build = DistributionBets.ordered if ordered else DistributionBets.categorical
    for i, one in enumerate(own):
        alone = one.at(context)
        assert held.probabilities[i] == pytest.approx(alone.probabilities)
        assert held.n[i] == pytest.approx(alone.n)
        assert held.n_effective[i] == pytest.approx(np.broadcast_to(alone.n_effective, held.n_effective[i].shape))
        known = {"freedom": alone.freedom} if ordered else {}
        bets = build(
            alone.probabilities,
            n_effective=alone.n_effective,
            n_series=40,
            tolerance=0.02,
            inflation=alone.inflation,
            **known,  # type: ignore[arg-type]
        )
        assert together[i] == pytest.approx(bets.log_bets(counts[i]), rel=1e-9, abs=1e-12)
    assert stack.has(5) is (context is not None)
    assert not stack.has(99)
    assert not together[1].any()


def test_evidence_grows_as_one_series_does() -> None:
    rng = np.random.default_rng(5)
    alone = [ShiryaevRoberts() for _ in range(4)]
    log_m = np.full((4, 64), -np.inf)
    for window in range(30):
        bets = rng.normal(0.3, 1.0, (4, 64))
        if window == 20:
            bets[3] = 700.0  # beyond the cap
        log_m = grow(log_m, bets)
        found = statistics(log_m)
        for i, one in enumerate(alone):
            one.update(bets[i])
            assert (log_m[i] == one.log_m).all()
            assert found[i] == pytest.approx(one.statistic, rel=1e-12)


def test_companions_are_the_known_divergences() -> None:
    rng = np.random.default_rng(6)
    p = rng.dirichlet(np.ones(N_SLOTS), size=N_SERIES)
    n, v = rng.uniform(500, 5_000, N_SERIES), rng.uniform(1, 8, N_SERIES)
    counts = rng.integers(0, 30, (N_SERIES, N_SLOTS)).astype(float)
    null = np.array([wasserstein_null(each) for each in p])
    index, distance = stacked_companions(p, counts, n=n, inflation=v, wasserstein_null=null)
    again, js = stacked_companions(p, counts, n=n, inflation=v, wasserstein_null=None)
    assert (index.name, distance.name, js.name) == ("psi", "wasserstein", "js")
    assert (again.values == index.values).all()
    for i in range(N_SERIES):
        reference = p[i] * n[i]
        assert index.values[i] == pytest.approx(psi(reference, counts[i]))
        assert distance.values[i] == pytest.approx(wasserstein(reference, counts[i]))
        assert js.values[i] == pytest.approx(jensen_shannon(reference, counts[i]))
        limits = {c.name: c.threshold for c in companions(reference, counts[i], inflation=v[i])}
        assert index.thresholds[i] == pytest.approx(limits["psi"])
        assert js.thresholds[i] == pytest.approx(limits["js"])


def test_bridges_stand_for_simulated_samples() -> None:
    rng = np.random.default_rng(7)
    for shape in (0.3, 1.0, 20.0):
        counts = np.rint(rng.dirichlet(np.full(20, shape)) * 50_000)
        simulated = simulate_null(counts, 1).wasserstein[-1]
        assert wasserstein_null(counts) == pytest.approx(simulated, rel=0.2)
    assert wasserstein_null(np.array([12.0])) == 0.0


def test_windows_without_drift_rarely_pass_the_bridge() -> None:
    rng = np.random.default_rng(8)
    p = np.full(20, 0.05)
    counts = rng.multinomial(400, p, size=20_000).astype(float)
    reference = np.tile(p, (len(counts), 1))
    null = np.full(len(counts), wasserstein_null(p))
    _, found = stacked_companions(
        reference, counts, n=np.full(len(counts), 1e9), inflation=np.ones(len(counts)), wasserstein_null=null
    )
    share = (found.values > found.thresholds).mean()
    assert 0.0 < share < 0.002
