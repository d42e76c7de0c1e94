import numpy as np
import pytest
from sequential_simulation import assert_keeps_its_promise, run_lengths

from detectors.distribution import DistributionBets, shrink
from detectors.inflation import distribution_inflation
from detectors.scores import legendre_scores, mid_ranks, score_tolerances

UNIFORM = np.concatenate([[0.0], np.full(20, 0.05), [0.0]])
SHIFTED = np.concatenate([[0.0], np.linspace(0.8, 1.2, 20) / 20, [0.0]])
RARE = np.array([0.9985, 0.0005, 0.0005, 0.0005])


def lengths_under(build, reference_share, current_share, *, n, threshold=100.0, limit=500, seed=1):
    rng = np.random.default_rng(seed)
    runs = 100
    matrices = np.array(
        [build(rng.multinomial(5000, reference_share), n_effective=5000, n_series=1).matrix for _ in range(runs)]
    )

    def bets(_):
        counts = rng.multinomial(n, current_share, runs)[:, None, :].astype(np.float64)
        return np.matmul(counts, matrices)[:, 0]

    return run_lengths(bets, threshold=threshold, limit=limit)


@pytest.mark.parametrize("build", [DistributionBets.ordered, DistributionBets.categorical])
@pytest.mark.parametrize("share", [UNIFORM, RARE], ids=["uniform", "rare"])
def test_the_promise_holds_with_a_reference_of_5000_rows(build, share):
    assert_keeps_its_promise(lengths_under(build, share, share, n=500), 100)


def test_without_the_tolerance_the_sampling_error_of_the_reference_is_found():
    known = lengths_under(
        lambda counts, **settings: DistributionBets.ordered(counts, n_effective=1e12, n_series=1),
        UNIFORM,
        UNIFORM,
        n=500,
    )
    assert known.mean() < 100


def test_a_shift_is_found():
    lengths = lengths_under(DistributionBets.ordered, UNIFORM, SHIFTED, n=500, threshold=1e4, limit=100)
    assert np.median(lengths) <= 10


def test_a_rare_category_that_rises_is_found():
    risen = np.array([0.9905, 0.0005, 0.0005, 0.0085])
    lengths = lengths_under(DistributionBets.categorical, RARE, risen, n=500, threshold=1e4, limit=100)
    assert np.median(lengths) <= 10


def test_a_stream_whose_location_wanders_keeps_the_promise():
    rng = np.random.default_rng(7)
    runs, n, cells = 60, 200, 100
    centres = np.linspace(-1.5, 1.5, 10)
    state = rng.normal(size=runs)

    def draw():
        nonlocal state
        state = 0.5 * state + np.sqrt(0.75) * rng.normal(size=runs)
        weights = np.exp(-0.5 * (centres - 0.3 * state[:, None]) ** 2)
        return rng.multinomial(n, weights / weights.sum(axis=1, keepdims=True)).astype(np.float64)

    reference = np.array([draw() for _ in range(cells)])
    matrices = []
    for run in range(runs):
        v = distribution_inflation(reference[:, run]).upper
        total = reference[:, run].sum(axis=0)
        matrices.append(DistributionBets.ordered(total, n_effective=total.sum() / v, n_series=1, inflation=v).matrix)
    stacked = np.array(matrices)
    lengths = run_lengths(lambda _: np.matmul(draw()[:, None, :], stacked)[:, 0], threshold=100, limit=500)
    assert_keeps_its_promise(lengths, 100)


def test_scores_are_centred_and_scaled():
    p = np.array([0.0, 0.5, 0.2, 0.3, 0.0])
    assert mid_ranks(p).tolist() == pytest.approx([0.0, 0.25, 0.6, 0.85, 1.0])
    g = legendre_scores(p)
    np.testing.assert_allclose(p @ g, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.abs(g).max(axis=0), 1.0)
    np.testing.assert_array_equal(legendre_scores(np.array([1.0])), np.zeros((1, 4)))


def test_tau_is_z_standard_errors():
    p = np.full(1000, 0.001)
    g = legendre_scores(p)
    tau = score_tolerances(p, g, n_effective=1e9, n_series=40)
    np.testing.assert_allclose(tau, 4.0 * np.sqrt(p @ g**2) / np.sqrt(1e9), rtol=0.01)


@pytest.mark.parametrize("build", [DistributionBets.ordered, DistributionBets.categorical])
def test_merged_counts_bet_the_sum_and_events_one_by_one_the_same(build):
    bets = build([50, 30, 20, 0], n_effective=100, inflation=2.0)
    counts = np.array([3, 0, 2, 1])
    np.testing.assert_allclose(
        bets.log_bets(counts), sum(n * bets.log_bets(row) for n, row in zip(counts, np.eye(4), strict=True))
    )
    np.testing.assert_allclose(bets.log_bets(counts * 2), 2 * bets.log_bets(counts))


@pytest.mark.parametrize("build", [DistributionBets.ordered, DistributionBets.categorical])
@pytest.mark.parametrize(
    ("reference", "n_effective"),
    [([0, 0, 0], 0), ([0, 5, 0], 5), ([7], 7), ([], 0), ([1, 2, 3], 0), ([0, 1e6, 0], 1e6)],
)
def test_degenerate_references_bet_finitely(build, reference, n_effective):
    bets = build(reference, n_effective=n_effective)
    counts = np.arange(len(reference)) * 1000
    assert np.isfinite(bets.log_bets(counts)).all()
    assert np.isfinite(bets.contributions(counts)).all()
    np.testing.assert_array_equal(bets.log_bets(np.zeros(len(reference))), np.zeros(bets.n_components))


@pytest.mark.parametrize("build", [DistributionBets.ordered, DistributionBets.categorical])
def test_a_reference_without_worth_never_bets(build):
    bets = build([10, 20, 30], n_effective=0)
    np.testing.assert_array_equal(bets.log_bets([0, 0, 1000]), np.zeros(bets.n_components))


def test_chosen_slots_alone_are_bet_on():
    bets = DistributionBets.categorical([100, 100, 2, 0], n_effective=202, slots=[2, 3])
    assert bets.n_components == 16
    assert bets.log_bets([0, 200, 0, 0]).max() < 0
    assert bets.log_bets([0, 150, 0, 50]).max() > 10
    assert bets.contributions([0, 150, 0, 50])[:3].max() <= 0
    assert bets.contributions([0, 150, 0, 50])[3] > 10
    with pytest.raises(ValueError, match=r"^slots:"):
        DistributionBets.categorical([1, 2], n_effective=3, slots=[2])


def test_contributions_point_at_what_moved():
    ordered = DistributionBets.ordered(UNIFORM * 5000, n_effective=5000)
    counts = UNIFORM * 500
    counts[-1] = 200
    contributions = ordered.contributions(counts)
    assert contributions.argmax() == len(counts) - 1
    assert contributions.sum() == pytest.approx(ordered.log_bets(counts).max(), rel=0.1)
    categorical = DistributionBets.categorical([500, 300, 200], n_effective=1000)
    assert categorical.contributions([100, 30, 170]).argmax() == 2


def test_shrinking_moves_a_context_to_the_whole():
    whole = np.array([600, 400])
    np.testing.assert_allclose(shrink([0, 0], whole), [0.6, 0.4])
    np.testing.assert_allclose(shrink([100, 100], whole), [0.55, 0.45])
    assert shrink([10**9, 0], whole)[0] == pytest.approx(1.0)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"^kappa:"):
            shrink([1, 1], whole, bad)
    with pytest.raises(ValueError, match=r"^context_counts:"):
        shrink([1], whole)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"n_effective": -1}, "n_effective"),
        ({"n_effective": 10, "n_series": 0}, "n_series"),
        ({"n_effective": 10, "tolerance": -0.1}, "tolerance"),
        ({"n_effective": 10, "inflation": 0.5}, "inflation"),
    ],
)
@pytest.mark.parametrize("build", [DistributionBets.ordered, DistributionBets.categorical])
def test_bad_settings_name_the_field(build, settings, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        build([1, 2, 3], **settings)
    with pytest.raises(ValueError, match=r"^counts:"):
        build([1, 2, 3], n_effective=6).log_bets([1, 2])
