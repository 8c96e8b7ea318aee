import numpy as np
import pytest

from studies.analysis import Outcomes
from studies.analysis.calibration import calibration

pytestmark = pytest.mark.once


def sure(confidence, correct, seed=0):
    ids, label = np.arange(len(correct)), np.zeros(len(correct), dtype=int)
    confidence = np.asarray(confidence, dtype=np.float32)
    return Outcomes(seed, ids, ids, label, 1 - np.asarray(correct, int), confidence, confidence)


def test_expected_calibration_error_by_hand():
    # Two bins: below 0.5 confidences 0.2 and 0.4, one right: |0.5 - 0.3| = 0.2; above 0.9, 0.9,
    # 0.6, two right: |2/3 - 0.8| = 0.1333. (2 x 0.2 + 3 x 0.1333) / 5 = 0.16.
    found = calibration([sure([0.2, 0.4, 0.9, 0.9, 0.6], [1, 0, 1, 1, 0])], bins=2)
    assert found.error == pytest.approx(0.16, abs=1e-6)
    assert found.count.tolist() == [2, 3]
    assert found.accuracy.tolist() == pytest.approx([0.5, 2 / 3])
    assert found.confidence.tolist() == pytest.approx([0.3, 0.8])


def test_fifteen_bins_hold_their_upper_edge_and_may_be_empty():
    found = calibration([sure([0.0666, 1.0, 0.0], [0, 1, 0])])
    assert len(found.count) == 15 and found.count[0] == 2 and found.count[14] == 1
    assert np.isnan(found.accuracy[5])


def test_seeds_errors_do_not_cancel():
    timid, bold = sure([0.7] * 10, [1] * 10), sure([0.9] * 10, [1] * 6 + [0] * 4, 1)
    assert calibration([timid, bold]).error == pytest.approx(0.3, abs=1e-6)


def test_a_calibrated_model_has_hardly_any_error(rng):
    p = rng.uniform(0.3, 1.0, 200_000)
    assert calibration([sure(p, rng.random(len(p)) < p)]).error < 0.006
