"""Nearest neighbours against scikit-learn's, and votes by hand."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from studies.evaluation import Inputs
from studies.evaluation.nearest_neighbours import Options, evaluate, neighbours_votes

pytestmark = pytest.mark.once


@pytest.mark.parametrize("k", [1, 20])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_votes_are_those_of_an_independent_classifier(rng, k, temperature):
    labels = rng.integers(0, 5, 300)
    features = rng.normal(size=(300, 8)) + 2 * np.eye(5, 8)[labels]
    query = rng.normal(size=(1100, 8))  # more than are held at once
    reference = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    ).fit(features, labels)
    votes = neighbours_votes((features, labels), query, 5, k, temperature)
    np.testing.assert_allclose(votes, reference.predict_proba(query), atol=1e-9)


def test_nearer_neighbours_outvote_more_of_them():
    angles = np.array([0.1, 0.9, 0.9])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels, query = np.array([0, 1, 1]), np.array([[3.0, 0.0]])  # its length does not count
    cosines = np.cos(angles)
    for temperature in (0.07, 10.0):
        weights = np.exp(cosines / temperature)
        expected = np.array([weights[0], weights[1] + weights[2]]) / weights.sum()
        votes = neighbours_votes((features, labels), query, 2, 20, temperature)
        np.testing.assert_allclose(votes, [expected])


def test_a_small_temperature_does_not_overflow():
    votes = neighbours_votes((np.eye(2), np.arange(2)), np.eye(2), 2, 2, 1e-4)
    np.testing.assert_allclose(votes, np.eye(2))


def test_accuracies_are_those_of_the_votes(rng):
    labels = np.array([0] * 30 + [1] * 10)
    features = np.eye(2)[labels] + 0.01 * rng.normal(size=(40, 2))
    query, answers = np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 1, 1])
    found = evaluate(
        Inputs(
            num_classes=2,
            labels=answers,
            features=query,
            support_labels=labels,
            support_features=features,
        ),
        Options(k=5),
    )
    assert found == {"knn_top1": 0.75, "knn_balanced": 0.75}
