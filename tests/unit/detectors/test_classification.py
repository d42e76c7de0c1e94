import numpy as np
import pytest

from detectors.bounded_mean import BoundedMean
from detectors.classification import (
    LOG_LOSS_CAP,
    classification_metrics,
    encode_scores,
    score_loss_table,
    score_metrics,
)

metrics = pytest.importorskip("sklearn.metrics")


def sample(n=4000, seed=1):
    rng = np.random.default_rng(seed)
    scores = rng.beta(1.2, 3.0, n)
    actual = rng.random(n) < scores**1.3
    counts = np.zeros((2, 101), dtype=np.int64)
    np.add.at(counts, (actual.astype(int), encode_scores(scores)), 1)
    return scores, actual, counts


def test_binary_metrics_are_those_of_scikit_learn():
    scores, actual, counts = sample()
    predicted = scores > 0.4
    found = classification_metrics(metrics.confusion_matrix(actual, predicted), 1, counts)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(actual, predicted))
    assert found["error_rate"] == pytest.approx(1 - found["accuracy"])
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(actual, predicted))
    assert found["precision"] == pytest.approx(metrics.precision_score(actual, predicted))
    assert found["recall"] == pytest.approx(metrics.recall_score(actual, predicted))
    assert found["miss_rate"] == pytest.approx(1 - found["recall"])
    assert found["f1"] == pytest.approx(metrics.f1_score(actual, predicted))
    assert found["false_positive_rate"] == pytest.approx(predicted[~actual].mean())


def test_score_metrics_are_those_of_scikit_learn_within_a_bin():
    scores, actual, counts = sample()
    found = score_metrics(counts)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(actual, scores), abs=0.002)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(actual, scores), abs=0.002)
    clipped = np.clip(scores, 0.5 / 101, 1 - 0.5 / 101)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(actual, clipped), abs=0.01)
    rounded = (encode_scores(scores) + 0.5) / 101
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(actual, rounded))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(actual, rounded))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(actual, rounded))


def test_calibration_error_tells_calibrated_scores_from_others():
    rng = np.random.default_rng(2)
    scores = rng.random(20_000)
    found = []
    for truth in (scores, scores**2):
        counts = np.zeros((2, 101))
        np.add.at(counts, ((rng.random(20_000) < truth).astype(int), encode_scores(scores)), 1)
        found.append(score_metrics(counts)["ece"])
    assert found[0] < 0.02
    assert found[1] == pytest.approx(1 / 6, abs=0.02)


def test_macro_averages_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    actual = rng.integers(0, 4, 500)
    predicted = np.where(rng.random(500) < 0.6, actual, rng.integers(0, 3, 500))
    found = classification_metrics(metrics.confusion_matrix(actual, predicted, labels=range(5)))
    settings = {"average": "macro", "zero_division": 0}
    assert found["precision"] == pytest.approx(metrics.precision_score(actual, predicted, **settings))
    assert found["recall"] == pytest.approx(metrics.recall_score(actual, predicted, **settings))
    assert found["f1"] == pytest.approx(metrics.f1_score(actual, predicted, **settings))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(actual, predicted))
    assert found["miss_rate"] is None
    against_rest = classification_metrics(metrics.confusion_matrix(actual, predicted), 2)
    assert against_rest["miss_rate"] == pytest.approx((predicted[actual == 2] != 2).mean())
    assert against_rest["false_positive_rate"] == pytest.approx((predicted[actual != 2] == 2).mean())


def test_what_is_undefined_is_none():
    nothing = classification_metrics(np.zeros((2, 2)), 1, np.zeros((2, 101)))
    assert set(nothing.values()) == {None}
    assert set(classification_metrics(np.zeros((3, 3))).values()) == {None}
    negatives = classification_metrics([[10, 0], [0, 0]], 1)
    assert (negatives["accuracy"], negatives["recall"], negatives["precision"]) == (1.0, None, None)
    assert negatives["false_positive_rate"] == 0.0
    one_class = np.zeros((2, 101))
    one_class[0, 50] = 10
    assert score_metrics(one_class)["auc"] is None
    assert score_metrics(one_class)["brier"] == pytest.approx(0.25)


def test_the_positive_class_may_be_the_first():
    flipped = classification_metrics([[8, 2], [1, 9]], 0)
    assert flipped["recall"] == pytest.approx(0.8)
    assert classification_metrics([[8, 2], [1, 9]])["recall"] == pytest.approx(0.9)


def test_loss_tables_are_bounded_and_give_the_mean_loss():
    _, _, counts = sample()
    found = score_metrics(counts)
    for kind, cap in (("brier", 1.0), ("log_loss", LOG_LOSS_CAP)):
        table = score_loss_table(kind)
        assert table.shape == (2, 101)
        assert table.min() >= 0.0
        assert table.max() <= 1.0
        assert (table * counts).sum() / counts.sum() * cap == pytest.approx(found[kind])
        assert BoundedMean(m0=0.5).log_bets(table.ravel(), counts.ravel()).shape == (8,)


def test_scores_at_the_ends_have_bins():
    assert encode_scores([0.0, 1.0, 0.5, 1 / 101]).tolist() == [0, 100, 50, 1]
    assert encode_scores([]).shape == (0,)
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=r"^scores:"):
            encode_scores([bad])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (([[1]],), "confusion"),
        (([[1, 2, 3], [1, 2, 3]],), "confusion"),
        (([1, 2],), "confusion"),
        (([[1, -2], [0, 0]],), "confusion"),
        (([[1, 2], [0, 0]], 2), "positive"),
        (([[1, 2], [0, 0]], 1, np.zeros((2, 100))), "score_counts"),
    ],
)
def test_bad_tables_name_the_field(arguments, field):
    with pytest.raises(ValueError, match=f"^{field}:"):
        classification_metrics(*arguments)
    with pytest.raises(ValueError, match=r"^kind:"):
        score_loss_table("hinge")
