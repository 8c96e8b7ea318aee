"""The linear probe against scikit-learn's logistic regression, and its penalty's choice."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from studies.evaluation import Inputs
from studies.evaluation.linear_probe import Options, choose_penalty, evaluate, fit, held_back

pytestmark = pytest.mark.once


def clusters(rng, count, spread=1.0):
    labels = np.arange(count) % 3
    return 2.0 * np.eye(3, 5)[labels] + spread * rng.normal(size=(count, 5)), labels


@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_weights_are_those_of_an_independent_regression(rng, l2):
    features, labels = clusters(rng, 150)
    weights = fit(features, labels, 3, l2)
    # C weighs the summed loss against half the squared weights.
    reference = LogisticRegression(C=1 / (l2 * len(labels)), tol=1e-8, max_iter=5000)
    reference.fit(features, labels)
    np.testing.assert_allclose(weights[:-1], reference.coef_.T, atol=1e-3)
    probabilities = reference.predict_proba(features)
    logits = features @ weights[:-1] + weights[-1]
    ours = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(ours, probabilities, atol=1e-3)


def test_without_features_it_gives_the_classes_shares():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    intercept = fit(np.zeros((10, 2)), labels, 3, 1.0)[-1]
    shares = np.exp(intercept) / np.exp(intercept).sum()
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=1e-4)


def test_the_penalty_is_the_one_that_does_best_on_what_was_held_back(rng):
    """Few images with many features of noise: the weakest penalties fit the noise."""
    labels = np.arange(400) % 2
    features = rng.normal(size=(400, 150))
    features[:, 0] += 2.0 * labels
    features -= features.mean(0)
    penalties = [1e-6, 1e-1, 1.0, 1e4]
    back = held_back(labels, 0.4, 0)
    right = {}
    for l2 in penalties:
        weights = fit(features[~back], labels[~back], 2, l2)
        logits = features[back] @ weights[:-1] + weights[-1]
        right[l2] = np.mean(logits.argmax(1) == labels[back])
    chosen = choose_penalty((features, labels), 2, penalties, held=0.4)
    assert right[chosen] == max(right.values()) > min(right.values())
    assert chosen == max(l2 for l2, share in right.items() if share == max(right.values()))


def test_a_fifth_of_every_class_is_held_back_and_never_all_of_it():
    labels = np.array([0] * 50 + [1] * 10 + [2])
    back = held_back(labels, 0.2, 3)
    np.testing.assert_array_equal(np.bincount(labels[back], minlength=3), [10, 2, 0])
    np.testing.assert_array_equal(back, held_back(labels, 0.2, 3))
    assert (back != held_back(labels, 0.2, 4)).any()
    assert not held_back(np.arange(4), 0.9, 0).any()


def test_it_learns_whatever_the_scale_of_the_features(rng):
    support, query = clusters(rng, 300, spread=0.5), clusters(rng, 300, spread=0.5)
    scale = np.array([1.0, 1e3, 1e-3, 1.0, 0.0])  # the last feature is constant
    found = evaluate(
        Inputs(
            num_classes=3,
            labels=query[1],
            features=(query[0] * scale).astype(np.float32),
            support_labels=support[1],
            support_features=(support[0] * scale).astype(np.float32),
        ),
        Options(),
    )
    assert found["probe_top1"] > 0.95 and found["probe_balanced"] > 0.95
    assert found["probe_l2"] in Options().penalties
