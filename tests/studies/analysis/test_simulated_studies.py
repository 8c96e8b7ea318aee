from dataclasses import replace

import numpy as np
import pytest

from studies.analysis.coverage import limits, worlds
from studies.analysis.simulated_studies import World

pytestmark = pytest.mark.once

SMALL = World(test=60, pool=300, size=200, signal=1.0, weaker=0.5, official=False)


def test_test_sets_are_drawn_anew_or_shared(rng):
    anew = SMALL.study(3, rng)["a"]
    assert all(len(s.value) == 60 and len(set(s.group.tolist())) == 60 for s in anew)
    shared = [len(np.intersect1d(anew[0].group, other.group)) for other in anew[1:]]
    assert all(0 < number < 40 for number in shared)  # a fifth of 60 is expected
    official = replace(SMALL, official=True).study(3, rng)["a"]
    assert all(np.array_equal(official[0].group, other.group) for other in official[1:])


def test_models_are_tested_on_the_same_images(rng):
    study = SMALL.study(2, rng)
    for a, b in zip(study["a"], study["c"], strict=True):
        assert np.array_equal(a.group, b.group) and np.array_equal(a.label, b.label)


def test_groups_stay_together(rng):
    for official in (False, True):
        world = replace(SMALL, group=5, official=official)
        for seed in world.study(3, rng)["a"]:
            counts = np.unique(seed.group, return_counts=True)[1]
            assert counts.tolist() == [5] * 12
            # All images of a group have its class.
            assert len(np.unique(np.stack([seed.group, seed.label]), axis=1).T) == 12


def test_only_the_draw_differs_where_nothing_else_is_random(rng):
    whole = replace(SMALL, official=True, size=300)
    one, two = whole.study(2, rng)["a"]
    assert np.array_equal(one.value, two.value)
    one, two = replace(whole, features=16).study(2, rng)["a"]
    assert not np.array_equal(one.value, two.value)


def test_two_models_are_equally_good_and_one_is_worse(rng):
    means = {"a": [], "b": [], "c": []}
    for _ in range(150):
        for model, scores in SMALL.study(1, rng).items():
            means[model].append(scores[0].value.mean())
    error = np.std(np.subtract(means["a"], means["b"])) / np.sqrt(150)
    assert abs(np.mean(means["a"]) - np.mean(means["b"])) < 4 * error
    assert np.mean(means["c"]) < np.mean(means["a"]) - 4 * error
    assert 0.4 < np.mean(means["a"]) < 0.9  # a classifier, neither chance nor perfect


def test_rare_classes_are_not_given_up(rng):
    world = replace(SMALL, pool=900, size=700, test=150, signal=2.0, shares=(0.9, 0.1))
    assert world.uneven and not SMALL.uneven
    scores = world.study(1, rng)["a"][0]
    assert scores.value[scores.label == 1].mean() > 0.5


def test_the_worlds_are_what_is_promised():
    found = worlds()
    assert {world.test for world in found.values()} == {150, 1000, 10_000}
    assert {world.official for world in found.values()} == {False, True}
    assert any(world.group > 1 for world in found.values())
    assert any(world.uneven for world in found.values())
    assert not set(found) & set(limits())
    for world in found.values():
        assert world.size + (0 if world.official else world.test) <= world.pool
