"""Effects and contrasts of effects: by hand, and whether their intervals hold a known truth."""

import numpy as np
import pandas as pd
import pytest

from studies.analysis.by_size import Source
from studies.analysis.effects import Change, find_effects
from studies.analysis.intervals import contrast, difference
from studies.analysis.outcomes import Outcomes, weighted_rights

pytestmark = pytest.mark.once

VIT = Change("scramble", "7", "vit 7", "vit whole", "vit")
BIT = Change("scramble", "7", "bit 7", "bit whole", "bit")


def outcomes(seed, right, image=None):
    """Class 0 is right, class 1 is wrong."""
    right = np.asarray(right, bool)
    image = np.arange(len(right)) if image is None else np.asarray(image)
    ones = np.ones(len(right))
    return Outcomes(seed, image, image, np.zeros(len(right), int), (~right).astype(int), ones, ones)


def test_a_contrast_is_weighed_image_by_image_in_whatever_order_they_come():
    a = [outcomes(0, [1, 1, 0, 1])]
    b = [outcomes(0, [0, 1, 0, 1])]
    c = [outcomes(0, [0, 0, 1, 1], image=[3, 2, 1, 0])]  # images 0 to 3: 1, 1, 0, 0
    d = [outcomes(0, [1, 0, 0, 0])]
    (scores,) = weighted_rights([a, b, c, d], [1, -1, -1, 1])
    assert scores.value.tolist() == [1 - 0 - 1 + 1, 1 - 1 - 1 + 0, 0, 1 - 1 - 0 + 0]


def test_only_seeds_that_all_have_count():
    a = [outcomes(seed, [1, 0, 1]) for seed in (0, 1, 2)]
    b = [outcomes(seed, [0, 0, 1]) for seed in (1, 2, 3)]
    assert [each.seed for each in weighted_rights([a, b], [1, -1])] == [1, 2]
    with pytest.raises(ValueError, match="no seed in common"):
        contrast([a[:1], b], [1, -1])


def test_with_two_models_it_is_the_verdict_s_difference():
    rng = np.random.default_rng(1)
    a, b = ([outcomes(s, rng.random(200) < p) for s in range(3)] for p in (0.8, 0.7))
    one, two = contrast([a, b], [1, -1]), difference(a, b)
    assert (one.mean, one.low, one.high) == (two.mean, two.low, two.high)


def study(rng, costs, seeds=3, images=400):
    """Outcomes by arm: images of different hardness, seeds that shift an arm, known mean costs."""
    hard = rng.normal(0, 0.15, images)
    arms = {}
    for model in ("vit", "bit"):
        for level, cost in (("whole", 0.0), ("7", costs[model])):
            chance = 0.75 - cost + hard
            arms[f"{model} {level}"] = [
                outcomes(s, rng.random(images) < np.clip(chance + rng.normal(0, 0.02), 0, 1))
                for s in range(seeds)
            ]
    return arms


def test_the_interval_of_a_contrast_holds_a_known_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    costs, held, number = {"vit": 0.02, "bit": 0.10}, 0, 300
    names, weights = ("vit 7", "vit whole", "bit 7", "bit whole"), (1, -1, -1, 1)
    means = []
    for _ in range(number):
        arms = study(rng, costs)
        found = contrast([arms[name] for name in names], weights)
        held += found.low <= 0.08 <= found.high
        means.append(found.mean)
    assert np.mean(means) == pytest.approx(0.08, abs=0.004)
    # 300 draws of 0.9 have a standard deviation of 0.017; wide is no fault but is bounded.
    assert 0.85 <= held / number <= 0.985


class TestFound:
    def frame(self):
        arms = {"vit whole": 0.9, "vit 7": 0.88, "bit whole": 0.92, "bit 7": 0.8}
        rows = [(m, 500, s, "jax", v + 0.001 * s) for m, v in arms.items() for s in range(3)]
        return pd.DataFrame(rows, columns=["model", "size", "seed", "backend", "test_top1"])

    def test_from_accuracies_alone(self):
        alone, other, both = find_effects(
            self.frame(), [(VIT, None), (BIT, None), (VIT, BIT)], "test_top1", {}
        )
        assert alone.estimate.mean == pytest.approx(-0.02)
        assert other.estimate.mean == pytest.approx(-0.12)
        assert both.estimate.mean == pytest.approx(0.10) and both.estimate.paired

    def test_signs_where_told_apart_and_none_where_barred_or_of_one_seed(self):
        frame = self.frame()
        frame["test_top1"] += np.tile([0.0, 0.002, -0.001], 4) * np.repeat([1, -1, 2, -2], 3)
        (effect,) = find_effects(frame, [(VIT, BIT)], "test_top1", {})
        assert effect.sign == 1
        barred = {("bit 7", 500): ("undertrained",)}
        (effect,) = find_effects(frame, [(VIT, BIT)], "test_top1", barred)
        assert effect.sign == 0 and effect.barred == {"bit 7": ("undertrained",)}
        (effect,) = find_effects(frame[frame["seed"] == 0], [(VIT, BIT)], "test_top1", {})
        assert effect.sign == 0

    def test_outcomes_are_read_of_all_four_arms(self):
        arms = study(np.random.default_rng(3), {"vit": 0.0, "bit": 0.2})
        source = Source(lambda model, backend, size: arms[model], pool=50_000)
        (effect,) = find_effects(self.frame(), [(VIT, BIT)], "test_top1", {}, source=source)
        expected = sum(
            sign * np.mean([o.correct.mean() for o in arms[name]])
            for sign, name in ((1, "vit 7"), (-1, "vit whole"), (-1, "bit 7"), (1, "bit whole"))
        )
        assert effect.estimate.mean == pytest.approx(expected)
        assert effect.estimate.variance is not None and effect.sign == 1
