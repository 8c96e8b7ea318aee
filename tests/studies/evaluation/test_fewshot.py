"""Few-shot linear accuracy against independent computations."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from studies.evaluation.fewshot import (
    draw_shots,
    fewshot_accuracies,
    fewshot_fit,
    fewshot_predict,
)

pytestmark = pytest.mark.once


def clusters(rng, count, classes=4, dimensions=6, spread=1.0):
    labels = np.arange(count) % classes
    centres = 2.0 * np.eye(classes, dimensions)
    features = centres[labels] + spread * rng.normal(size=(count, dimensions))
    return features.astype(np.float32), labels


@pytest.mark.parametrize("count", [6, 200], ids=["fewer rows than columns", "more rows"])
def test_fewshot_weights_are_those_of_an_independent_ridge(rng, count):
    features, labels = clusters(rng, count, classes=3, dimensions=9)
    mean, scale, weights = fewshot_fit(features, labels, 3, l2=1024.0)
    x = (features - features.mean(0, dtype=np.float64)) / (features.std(0, dtype=np.float64) + 1e-5)
    x = np.hstack([x, np.full((count, 1), 100.0)])
    y = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    ridge = Ridge(alpha=1024.0, fit_intercept=False, solver="svd").fit(x, y)
    np.testing.assert_allclose(weights, ridge.coef_.T, rtol=1e-7, atol=1e-10)
    queries, _ = clusters(rng, 80, classes=3, dimensions=9)
    standard = np.hstack([(queries - mean) / scale, np.full((80, 1), 100.0)])
    np.testing.assert_array_equal(
        fewshot_predict((mean, scale, weights), queries), ridge.predict(standard).argmax(1)
    )


def test_fewshot_weights_solve_the_penalised_least_squares(rng):
    features, labels = clusters(rng, 40)
    mean, scale, weights = fewshot_fit(features, labels, 4, l2=3.0)
    x = np.hstack([(features - mean) / scale, np.full((40, 1), 100.0)])
    y = 2.0 * np.eye(4)[labels] - 1.0
    stacked = np.vstack([x, np.sqrt(3.0) * np.eye(x.shape[1])])
    solution, *_ = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((x.shape[1], 4))]), rcond=None)
    np.testing.assert_allclose(weights, solution, atol=1e-9)


def test_shots_beyond_the_smallest_class_are_left_out(rng):
    features, labels = clusters(rng, 40)
    labels[labels == 3] = 2
    labels[:5] = 3  # five images of class 3 are left
    result = fewshot_accuracies((features, labels), (features, labels), 4, [1, 5, 6, 25])
    assert list(result) == [1, 5]


def test_a_class_without_support_leaves_out_every_shot(rng):
    features, labels = clusters(rng, 40)
    assert fewshot_accuracies((features, labels), (features, labels), 5, [1, 5]) == {}


def test_shots_are_nested_balanced_and_depend_on_labels_and_seed_alone(rng):
    labels = rng.integers(0, 5, 300)
    few, many = draw_shots(labels, 5, 3, seed=1), draw_shots(labels, 5, 10, seed=1)
    assert set(few) <= set(many)
    np.testing.assert_array_equal(np.bincount(labels[many]), 10)
    np.testing.assert_array_equal(many, draw_shots(labels.copy(), 5, 10, seed=1))
    assert set(many) != set(draw_shots(labels, 5, 10, seed=2))


def test_more_shots_and_clearer_features_classify_better(rng):
    support, query = clusters(rng, 400, spread=0.7), clusters(rng, 400, spread=0.7)
    result = fewshot_accuracies(support, query, 4, [1, 25], l2=1.0)
    assert 0.25 < result[1] < result[25]
    assert result[25] > 0.9


def test_the_accuracy_is_the_mean_over_the_draws(rng):
    support, query = clusters(rng, 100), clusters(rng, 100)
    single = []
    for seed in range(4):
        chosen = draw_shots(support[1], 4, 2, seed)
        model = fewshot_fit(support[0][chosen], support[1][chosen], 4, 1024.0)
        single.append(np.mean(fewshot_predict(model, query[0]) == query[1]))
    result = fewshot_accuracies(support, query, 4, [2], seeds=4)
    assert result[2] == pytest.approx(np.mean(single))
