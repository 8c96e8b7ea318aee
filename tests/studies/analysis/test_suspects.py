import numpy as np
import pytest

from studies.analysis import Outcomes
from studies.analysis.suspects import suspect_labels

pytestmark = pytest.mark.once


def trial(rng, seed, image, label, truth):
    """A good model: nearly sure of the true class of nearly all images."""
    sure = 1 - 0.3 * rng.random(len(image)) ** 4
    given = np.where(label == truth, sure, (1 - sure) / 2)
    return Outcomes(seed, image, image, label, truth, sure, given)


def test_swapped_labels_are_found(rng):
    truth = rng.integers(0, 3, 300)
    label = truth.copy()
    label[[5, 77, 200]] = (label[[5, 77, 200]] + 1) % 3
    trials = []
    for seed in range(4):
        image = rng.permutation(300)[:250]
        trials.append(trial(rng, seed, image, label[image], truth[image]))
    found = suspect_labels(trials)
    tested = {i for i in (5, 77, 200) if sum(i in t.image for t in trials) >= 3}
    # Two thirds of a class's images are surer than its mean: one of the three may be missed, but
    # none is accused that is right.
    assert len(found) and set(found["image"]) <= tested
    for row in found.to_dict("records"):
        assert row["suggested"] == truth[row["image"]] and row["label"] == label[row["image"]]
    assert list(found) == ["image", "label", "suggested", "trials", "contradicted", "margin"]


def test_by_hand():
    # Class means of the label's probability: class 0 (0.8 + 0.6 + 0.1) / 3 = 0.5, class 1 0.9.
    image, label = np.arange(4), np.array([0, 0, 0, 1])
    given = np.array([0.8, 0.6, 0.1, 0.9])
    sure = np.array([0.8, 0.6, 0.95, 0.9])
    trials = [
        Outcomes(s, image, image, label, np.array([0, 0, 1, 1]), sure, given) for s in range(3)
    ]
    (row,) = suspect_labels(trials).to_dict("records")
    assert (row["image"], row["label"], row["suggested"]) == (2, 0, 1)
    assert (row["trials"], row["contradicted"]) == (3, 3)
    assert row["margin"] == pytest.approx(0.85)
    unsure = np.array([0.8, 0.6, 0.89, 0.9])  # less than class 1's own 0.9
    trials[1:] = [
        Outcomes(s, image, image, label, np.array([0, 0, 1, 1]), unsure, given) for s in (1, 2)
    ]
    assert suspect_labels(trials).empty


def test_few_trials_accuse_nobody():
    image, label = np.arange(2), np.array([0, 1])
    p = np.array([0.9, 0.9])
    wrong = [
        Outcomes(s, image, image, label, np.array([1, 1]), p, np.array([0.1, 0.9])) for s in (0, 1)
    ]
    assert suspect_labels(wrong).empty and suspect_labels([]).empty


def test_a_predicted_class_without_test_images_has_no_threshold():
    image, label = np.arange(2), np.array([0, 0])
    p = np.array([0.9, 0.9])
    trials = [
        Outcomes(s, image, image, label, np.array([7, 0]), p, np.array([0.1, 0.9]))
        for s in range(3)
    ]
    assert suspect_labels(trials).empty
