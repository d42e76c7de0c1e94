import numpy as np
import pytest

from detectors.calibration import expected_auc, fit_calibration
from detectors.classification import encode_scores
from detectors.estimation import estimate_classification, split_scores
from detectors.exact import exact_auc

metrics = pytest.importorskip("sklearn.metrics")
N_BINS = 101


def counted(rows, scores):
    counts = np.zeros((2, N_BINS))
    np.add.at(counts, (rows.astype(int), encode_scores(scores)), 1)
    return counts


def draw(rng, n, low=1.2, high=3.0):
    scores = rng.beta(low, high, n)
    return scores, rng.random(n) < scores**1.3


def test_calibration_is_isotonic_regression_weighted_by_events():
    isotonic = pytest.importorskip("sklearn.isotonic")
    counts = counted(*draw(np.random.default_rng(1), 3000)[::-1])
    n = counts.sum(axis=0)
    seen = n > 0
    expected = isotonic.isotonic_regression(counts[1, seen] / n[seen], sample_weight=n[seen])
    assert fit_calibration(counts).probability[seen] == pytest.approx(expected)


def test_calibration_of_merged_counts_is_that_of_all_events():
    rng = np.random.default_rng(2)
    scores, actual = draw(rng, 4000)
    halves = counted(actual[:1500], scores[:1500]) + counted(actual[1500:], scores[1500:])
    assert (fit_calibration(halves).probability == fit_calibration(counted(actual, scores)).probability).all()


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, 0], [0, 0]], [[-1, 2], [1, 1]], [[np.nan, 1], [1, 1]]])
def test_calibration_refuses_what_it_cannot_be_fitted_to(counts):
    with pytest.raises(ValueError, match="outcome_counts"):
        fit_calibration(counts)


def test_intervals_cover_the_realised_metrics_under_covariate_shift():
    rng = np.random.default_rng(3)
    n_rounds, covered = 200, {}
    for _ in range(n_rounds):
        scores, actual = draw(rng, 3000)
        calibration = fit_calibration(counted(actual, scores))
        scores, actual = draw(rng, 1500, 1.6, 2.6)
        predicted = scores >= 0.4
        realised = {
            "accuracy": metrics.accuracy_score(actual, predicted),
            "precision": metrics.precision_score(actual, predicted),
            "recall": metrics.recall_score(actual, predicted),
            "f1": metrics.f1_score(actual, predicted),
            "specificity": metrics.recall_score(~actual, ~predicted),
            "auc": exact_auc(actual, scores),
            "true_positives": (actual & predicted).sum(),
        }
        found = estimate_classification(counted(predicted, scores), calibration)
        for name, value in realised.items():
            covered[name] = covered.get(name, 0) + (found[name][1] <= value <= found[name][2])
    assert min(covered.values()) / n_rounds >= 0.9


def test_business_value_is_the_matrix_times_the_confusion_table():
    calibration = fit_calibration([[3, 1], [1, 3]])
    found = estimate_classification([[8, 0], [0, 4]], calibration, values=[[1, -5], [-10, 20]])
    assert found["true_positives"][0] == pytest.approx(3.0)
    assert found["business_value"][0] == pytest.approx((6 * 1 - 5 * 1 - 10 * 2 + 20 * 3) / 12)


def test_it_cannot_see_concept_drift():
    rng = np.random.default_rng(4)
    scores, actual = draw(rng, 5000)
    calibration = fit_calibration(counted(actual, scores))
    predicted = scores >= 0.4
    found = estimate_classification(counted(predicted, scores), calibration)["accuracy"]
    assert metrics.accuracy_score(~actual, predicted) < found[1]


def test_the_split_of_marginals_is_the_joint_count_of_a_model_that_cuts_between_bins():
    rng = np.random.default_rng(5)
    scores, _ = draw(rng, 2000)
    predicted = encode_scores(scores) >= 30
    joint = counted(predicted, scores)
    assert (split_scores(joint.sum(axis=0), predicted.sum()) == joint).all()


def test_bad_input_is_named():
    calibration = fit_calibration([[3, 1], [1, 3]])
    assert estimate_classification([[0, 0], [0, 0]], calibration) == {}
    assert "precision" not in estimate_classification([[4, 4], [0, 0]], calibration)
    with pytest.raises(ValueError, match="counts"):
        estimate_classification([[1, 2, 3], [1, 2, 3]], calibration)
    with pytest.raises(ValueError, match="values"):
        estimate_classification([[1, 2], [1, 2]], calibration, values=[[1, 2]])
    with pytest.raises(ValueError, match="n_predicted_positive"):
        split_scores([1, 2], 4)


def test_exact_auc_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(6)
    scores, actual = draw(rng, 1000)
    assert exact_auc(actual, scores.round(1)) == pytest.approx(metrics.roc_auc_score(actual, scores.round(1)))
    assert exact_auc([1, 1], [0.2, 0.3]) is None
    with pytest.raises(ValueError, match="scores"):
        exact_auc([0, 1], [0.2, np.nan])


def test_the_area_of_an_isotonic_fit_is_too_large_and_what_cross_validation_finds_of_that_is_taken_off():
    rng = np.random.default_rng(7)
    midpoints = (np.arange(N_BINS) + 0.5) / N_BINS
    shares = rng.dirichlet(np.full(N_BINS, 2.0))
    probability = midpoints**1.3
    true = expected_auc(shares * probability, shares * (1.0 - probability))
    raw, corrected = [], []
    for _ in range(250):
        n = rng.multinomial(1000, shares)
        positives = rng.binomial(n, probability)
        calibration = fit_calibration([n - positives, positives])
        expected = shares * calibration.probability
        area = expected_auc(expected, shares - expected)
        raw.append(area - true)
        corrected.append(area - calibration.auc_optimism - true)
    error = np.std(raw) / 250**0.5
    assert np.mean(raw) > 3 * error
    assert abs(np.mean(corrected)) < 2 * error
    assert np.abs(corrected).mean() < np.abs(raw).mean()


def test_the_optimism_is_that_of_the_counts_alone_and_none_where_they_are_too_few():
    counts = counted(*draw(np.random.default_rng(8), 500)[::-1])
    assert fit_calibration(counts).auc_optimism == fit_calibration(counts.astype(int)).auc_optimism > 0.0
    assert fit_calibration([[3, 1], [1, 3]]).auc_optimism == 0.0
