import numpy as np
import pytest

from studies.analysis import Outcomes
from studies.analysis.confusion import balanced_accuracy, confusion_matrix, recalls

pytestmark = pytest.mark.once


def predictions(label, predicted, seed=0):
    ids, p = np.arange(len(label)), np.full(len(label), 0.5)
    return Outcomes(seed, ids, ids, np.array(label), np.array(predicted), p, p)


def test_confusion_and_recalls_by_hand():
    seeds = [predictions([0, 0, 1, 1], [0, 1, 1, 1]), predictions([0, 0, 1, 1], [0, 0, 2, 1], 1)]
    found = confusion_matrix(seeds, 3)
    assert found.tolist() == [[3, 1, 0], [0, 3, 1], [0, 0, 0]]
    assert recalls(found)[:2].tolist() == [0.75, 0.75] and np.isnan(recalls(found)[2])


def test_balanced_accuracy_weighs_classes_alike():
    # 9 of 10 and 0 of 2.
    label = [3] * 10 + [8] * 2
    one = predictions(label, [3] * 9 + [8] + [3] * 2)
    assert balanced_accuracy(one) == pytest.approx(0.45) and one.correct.mean() == 0.75


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="numbered 0 to 1; the outcomes hold 0 to 2"):
        confusion_matrix([predictions([0, 1], [0, 2])], 2)
