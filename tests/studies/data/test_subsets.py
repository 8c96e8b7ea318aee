"""Subsets are nested and stratified, and missing splits are cut as documented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.data import DatasetInfo, check_sizes
from studies.data.splits import plan_splits
from studies.data.subsets import nested_order, stratified_cut
from studies.errors import UsageError

pytestmark = pytest.mark.once


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 3))
def test_every_first_part_of_the_order_is_stratified(sizes, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = nested_order(labels, [0])
    assert sorted(order) == list(range(len(labels)))
    for size in range(len(sizes), len(labels) + 1):
        counts = np.bincount(labels[order[:size]], minlength=len(sizes))
        assert counts.min() >= 1  # one image a class is in every subset that is allowed
        fair = np.array(sizes) * size / len(labels)
        assert np.abs(counts - fair).max() <= len(sizes) + 1


def test_equal_classes_fill_up_evenly():
    order = nested_order(np.repeat(np.arange(10), 50), [0])
    labels = np.repeat(np.arange(10), 50)[order]
    for start in range(0, 500, 10):
        assert sorted(labels[start : start + 10]) == list(range(10))


def test_the_order_is_the_same_every_time_and_no_other_class_changes_it():
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    order = nested_order(labels, [0])
    np.testing.assert_array_equal(order, nested_order(labels, [0]))
    without = nested_order(labels[:50], [0])
    np.testing.assert_array_equal(order[labels[order] == 1], without[labels[without] == 1])


def test_a_cut_takes_every_class_in_proportion():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 50, 10]))
    rest, cut = stratified_cut(labels, 32, entropy=[0])
    assert np.bincount(labels[cut]).tolist() == [20, 10, 2]
    assert sorted([*rest, *cut]) == list(range(160))


def test_a_cut_leaves_each_class_an_image():
    labels = np.repeat([0, 1], [1, 3])
    rest, cut = stratified_cut(labels, 4, entropy=[0])
    assert set(labels[rest]) == {0, 1} and len(cut) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(1, 60), st.integers(0, 9))
def test_groups_are_cut_whole(members, count, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(members)), members))
    labels = (groups % 3) * (rng.random(len(groups)) < 0.9)  # some groups hold two classes
    rest, cut = stratified_cut(labels, count, [seed], groups)
    assert sorted([*rest, *cut]) == list(range(len(groups)))
    assert not set(groups[rest]) & set(groups[cut])
    assert len(rest)  # something is left to train on


def test_a_cut_of_groups_comes_near_its_number():
    groups = np.repeat(np.arange(100), 5)
    labels = np.repeat([0, 1], 250)
    _, cut = stratified_cut(labels, 100, [7], groups)
    assert np.bincount(labels[cut]).tolist() == [50, 50]


def test_a_group_counts_for_its_commonest_class():
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0])
    _, cut = stratified_cut(labels, 6, [0], groups)
    assert sorted(set(groups[cut]))[0] in (0, 1) and sorted(set(groups[cut]))[1] in (2, 3)


def test_groups_larger_than_their_share_are_still_cut():
    groups = np.repeat(np.arange(6), 2)
    _, cut = stratified_cut(np.repeat([0, 1], 6), 2, [0], groups)
    assert len(cut) == 4  # a pair of each class, where a single image is the share


@pytest.mark.parametrize("seed", range(20))
def test_a_class_of_uneven_groups_is_in_every_split(seed):
    """However large the group that happens to be drawn first."""
    groups = np.repeat(np.arange(6), [60, 20, 20, 90, 5, 5])
    labels = np.repeat([0, 1], 100)
    plan = plan_splits("patients", {"train": labels}, [seed, 0], groups)
    for _, indices in plan.values():
        assert set(labels[indices]) == {0, 1}
    assert len(plan["test"][1]) <= 2 * 60  # never the larger part of both


def planned(**sizes):
    labels = {split: np.arange(n) % 5 for split, n in sizes.items()}
    plan = plan_splits("things", labels, [0])
    return {s: (origin, len(i)) for s, (origin, i) in plan.items()}, plan


def test_no_splits_are_cut_70_10_20():
    found, plan = planned(train=1000)
    assert found == {"train": ("train", 700), "validation": ("train", 100), "test": ("train", 200)}
    together = np.concatenate([indices for _, indices in plan.values()])
    assert sorted(together) == list(range(1000))


def test_a_missing_validation_is_a_tenth_of_train_at_most_10000():
    assert planned(train=1000, test=50)[0] == {
        "train": ("train", 900),
        "validation": ("train", 100),
        "test": ("test", 50),
    }
    assert planned(train=200_000, test=50)[0]["validation"] == ("train", 10_000)


def test_a_missing_test_is_a_fifth_of_train_at_most_10000():
    found, _ = planned(train=1000, validation=50)
    assert found == {
        "train": ("train", 800),
        "validation": ("validation", 50),
        "test": ("train", 200),
    }
    assert planned(train=200_000, validation=50)[0]["test"] == ("train", 10_000)


def test_given_splits_are_kept():
    found, _ = planned(train=10, validation=7, test=8)
    assert found == {"train": ("train", 10), "validation": ("validation", 7), "test": ("test", 8)}


def test_too_few_images_to_cut_from_are_refused():
    with pytest.raises(UsageError, match="things has too few images"):
        planned(train=5)


def test_sizes_that_the_data_cannot_give_are_refused():
    info = DatasetInfo(
        "things", "f", (8, 8, 3), ("a", "b", "c"), dict.fromkeys(("train", "test"), (5, 5, 6))
    )
    check_sizes(info, [3, 16])
    with pytest.raises(UsageError, match=r"size 2 is below one image a class.*from 3 to 16"):
        check_sizes(info, [3, 2])
    with pytest.raises(UsageError, match=r"size 17 is larger than the training data.*from 3 to 16"):
        check_sizes(info, [17])
