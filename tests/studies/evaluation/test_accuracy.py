"""Top-1 and cross-entropy against hand computations and SciPy."""

import numpy as np
import pytest
from scipy.special import log_softmax

from studies.evaluation.accuracy import balanced_accuracy, cross_entropy, top1

pytestmark = pytest.mark.once


def test_top1_by_hand():
    logits = np.array([[0.1, 0.9], [2.0, 1.0], [0.0, 1.0], [5.0, 4.0]])
    assert top1(logits, np.array([1, 1, 1, 0])) == 0.75


def test_cross_entropy_is_the_mean_of_minus_log_softmax(rng):
    logits = 30 * rng.normal(size=(50, 7)).astype(np.float32)
    labels = rng.integers(0, 7, 50)
    expected = -np.mean(log_softmax(logits.astype(np.float64), axis=1)[np.arange(50), labels])
    assert cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_of_huge_logits_is_finite():
    assert cross_entropy(np.array([[1e4, -1e4]]), np.array([1])) == pytest.approx(2e4)


def test_balanced_accuracy_is_the_mean_of_recalls(rng):
    from sklearn.metrics import balanced_accuracy_score

    logits = rng.normal(size=(200, 5))
    labels = rng.choice(5, 200, p=[0.6, 0.2, 0.1, 0.1, 0.0])  # the last class does not occur
    expected = balanced_accuracy_score(labels, logits.argmax(1))
    assert balanced_accuracy(logits, labels) == pytest.approx(expected)
