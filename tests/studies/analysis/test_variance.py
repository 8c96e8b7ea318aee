import numpy as np
import pytest

from studies.analysis.outcomes import right, right_minus_right
from studies.analysis.variance import DRAW_SHARE, Variance, variance
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once


def test_two_seeds_by_hand():
    # Values 0.75 and 0.25: variance between them 0.125. Deviations from the seeds' means, each
    # times sqrt(4/3) / 4: (.25 .25 -.75 .25) and (-.25 -.25 -.25 .75). Mean over the seeds
    # (0 0 -.5 .5): squares sum to 0.5, times 1/12: 0.0416667. Half squared differences
    # (.5 .5 -.5 -.5): 0.5 / 12 = 0.0416667, times the median of chi square with one degree of
    # freedom, 0.4549364: 0.1060443 of the 0.125 is the seeds' own.
    # Half an image at 0 and half a one at 1 add 0.5 (0.25 + 0.25) / 16 = 0.015625.
    found = variance(right([outcomes([1, 1, 0, 1]), outcomes([0, 0, 0, 1], seed=1)]))
    assert found.mean == 0.5 and found.smooth == 0.5 and found.groups == 4
    assert found.between == pytest.approx(0.125)
    assert found.within == pytest.approx(0.0416667, abs=1e-7)
    assert found.seed_effect == pytest.approx(0.1060443, abs=1e-7)
    assert found.images == pytest.approx(0.0416667 + 0.015625, abs=1e-7)
    assert found.total == pytest.approx(0.0572917 + 0.1060443 / 2, abs=1e-7)
    # t(3; 95 %) = 2.353363 for the images: 5.538318 x 0.0572917 = 0.317299. t(1; 95 %) = 6.313752
    # for the seeds: 39.863461 x 0.0530222 = 2.113646. The root of the sum is 1.559149.
    assert found.images_freedom == pytest.approx(3)
    assert found.half_width(0.9) == pytest.approx(1.559149, abs=1e-5)


def test_seeds_that_share_training_images_count_for_fewer():
    scores = right([outcomes([1, 1, 0, 1]), outcomes([0, 0, 0, 1], seed=1)])
    found = variance(scores, overlap=0.4 / DRAW_SHARE)  # a correlation of 0.4
    # 1/2 + 0.4 / 0.6 = 1.1666667 times the seeds' 0.1060443, and the images' 0.0572917.
    assert found.total == pytest.approx(0.0572917 + 1.1666667 * 0.1060443, abs=1e-6)


def test_nadeau_and_bengio_are_the_special_case_without_images():
    # Ten splits with a fifth of the images for testing: the variance of the mean is S^2 times
    # 1/10 + n_test / n_train = 0.1 + 0.25.
    found = Variance(
        0.8, 0.8, 10, 10**6, 0.04, 0.0, 0.0, 10**6, 0.2, tested=10**6, tested_groups=10**6
    )
    assert found.total == pytest.approx(0.04 * 0.35)
    # t(9; 95 %) = 1.833113 times the root of 0.014.
    assert found.half_width(0.9) == pytest.approx(1.833113 * 0.1183216, abs=1e-5)


def test_images_tested_by_all_seeds_are_the_units(rng):
    # An independent computation: the variance of the images' means over seeds, divided by n.
    hits = rng.random((3, 50)) < 0.7
    found = variance(right([outcomes(row, seed) for seed, row in enumerate(hits)]))
    plain = hits.mean(axis=0).var(ddof=1) / 50
    p = hits.mean()
    assert found.images == pytest.approx(plain + 0.5 * (p**2 + (1 - p) ** 2) / 50**2)


def test_disjoint_test_sets_are_one_large_one(rng):
    hits = rng.random((4, 500)) < 0.8
    seeds = [outcomes(row, s, image=np.arange(500) + 500 * s) for s, row in enumerate(hits)]
    found = variance(right(seeds))
    p = hits.mean(axis=1)
    assert found.images == pytest.approx(np.sum(p * (1 - p)) / 500 / 16, rel=0.02)
    assert found.within == pytest.approx(np.mean(p * (1 - p)) / 500, rel=0.01)


def test_seeds_that_err_on_each_others_images_prove_nothing():
    # The two differ on every image, so that their mean is the same everywhere: chance. By hand:
    # deviations -0.5 and 0.5, times sqrt(4 / 3) / 4; half their squared differences sum to
    # 4 x 0.5 / 12 = 0.1666667, of which each seed brings half to the mean.
    found = variance(right([outcomes([1, 0, 1, 0]), outcomes([0, 1, 0, 1], seed=1)]))
    assert found.within == pytest.approx(0.1666667) and found.images == pytest.approx(0.0833333)
    assert found.common == pytest.approx(0.0) and found.planned(0.9, 100)[0] > 0.0


def test_copies_in_a_group_add_nothing(rng):
    hits = rng.random((2, 40)) < 0.6
    single = variance(right([outcomes(row, s) for s, row in enumerate(hits)]))
    groups = np.repeat(np.arange(40), 3)
    copied = variance(
        right([outcomes(np.repeat(row, 3), s, group=groups) for s, row in enumerate(hits)])
    )
    for name in ("mean", "between", "images", "within", "images_freedom", "groups"):
        assert getattr(copied, name) == pytest.approx(getattr(single, name)), name


def test_balanced_accuracy_is_the_mean_of_independent_recalls(rng):
    label = np.repeat([0, 1], [400, 20])
    hits = rng.random(420) < np.where(label == 0, 0.9, 0.6)
    found = variance(right([outcomes(hits, label=label)]), balanced=True)
    recall, count = np.array([hits[:400].mean(), hits[400:].mean()]), np.array([400, 20])
    assert found.mean == pytest.approx(recall.mean())
    # Each recall's variance p (1 - p) / (n - 1), and a quarter of an image right, a quarter wrong.
    parts = recall * (1 - recall) / (count - 1)
    parts += 0.25 * (recall**2 + (1 - recall) ** 2) / count**2
    assert found.images == pytest.approx(parts.sum() / 4)
    # The 20 images decide: nearly all of the variance has 19 degrees of freedom.
    assert 19 < found.images_freedom < 21
    assert variance(right([outcomes(hits, label=label)])).mean == pytest.approx(hits.mean())


def test_classes_that_one_seed_did_not_test():
    seeds = [outcomes([1, 0, 1], 0, label=[0, 0, 1]), outcomes([1, 1], 1, image=[7, 8])]
    found = variance(right(seeds), balanced=True)
    assert found.mean == pytest.approx((0.75 + 1.0) / 2)
    assert found.images > 0 and np.isfinite(found.total)


def test_what_more_seeds_and_images_would_bring(rng):
    difficulty = rng.random(300)
    seeds = [outcomes(rng.random(300) < difficulty, s) for s in range(4)]
    found = variance(right(seeds))
    assert found.planned(0.9, 4) == pytest.approx((found.total, found.half_width(0.9)))
    many = found.planned(0.9, 10**6)[0]
    common = found.images - found.within / 4
    assert many == pytest.approx(common, rel=1e-3)  # what images have in common does not average
    twice = found.planned(0.9, 4, images=2.0)[0]
    assert twice == pytest.approx(found.images / 2 + found.seed_effect / 4)
    one = variance(right(seeds[:1]))
    assert one.planned(0.9, 1, images=4.0)[0] == pytest.approx(one.total / 4)


def test_one_seed_has_the_test_sets_error_alone():
    found = variance(right([outcomes([1, 0, 1, 1, 0, 1])]), overlap=1.0)
    assert np.isnan(found.between) and found.seed_effect == 0.0
    assert found.total == found.images and found.images_freedom == pytest.approx(5)


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(ValueError, match="one seed or more"):
        variance([])
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got 1.5"):
        variance(right([outcomes([1, 0])]), overlap=1.5)


def test_a_difference_has_half_an_image_added_on_both_sides():
    a, b = [outcomes([1, 1, 1, 0])], [outcomes([1, 1, 1, 0])]
    found = variance(right_minus_right(a, b), lowest=-1.0)
    # No discordant image at all: 0.5 + 0.5 over 4^2.
    assert found.mean == 0.0 and found.images == pytest.approx(1 / 16)


def test_what_seeds_have_in_common_is_what_more_of_them_leave(rng):
    hits = np.tile(rng.random(400) < 0.8, (3, 1))  # the same images, and every seed says the same
    shared = variance(right([outcomes(row, seed) for seed, row in enumerate(hits)]))
    assert shared.common == pytest.approx(shared.total) and shared.common > 0
    # By hand, from the two seeds above: 0.0572917 - 0.0416667 / 2 of the images, and of the seeds'
    # 0.1060443 the part 0.4 / 0.6 that a correlation of 0.4 makes.
    scores = right([outcomes([1, 1, 0, 1]), outcomes([0, 0, 0, 1], seed=1)])
    assert variance(scores).common == pytest.approx(0.0364583, abs=1e-6)
    found = variance(scores, overlap=0.4 / DRAW_SHARE)
    assert found.common == pytest.approx(0.0364583 + 0.0706962, abs=1e-6)
