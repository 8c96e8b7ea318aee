"""Findings on a data set, on sources made by hand."""

import gc
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from studies.data import Options, check, default_image_size
from studies.data.building import build, facts_of
from studies.data.checks import Facts
from studies.errors import UsageError
from tests.studies.data.test_folder import add

pytestmark = pytest.mark.once


class Source:
    """Images of one pixel each."""

    def __init__(self, pixels, labels, groups=None):
        self.name, self.class_names, self.image_shape = "mine", ["a", "b"], (1, 1, 1)
        self.labels = {split: np.array(values) for split, values in labels.items()}
        self.pixels = pixels
        self.names = {
            split: [f"{split[0]}{i}" for i in range(len(values))]
            for split, values in labels.items()
        }
        self.groups = {split: np.array(values) for split, values in (groups or {}).items()}

    def images(self, split, indices):
        return np.array(self.pixels[split], np.uint8)[indices].reshape(-1, 1, 1, 1)


def found(tmp_path, *arguments, **options):
    (tmp_path / "prepared").mkdir()
    return facts_of(build(tmp_path / "prepared", Source(*arguments, **options)))


SPLITS = {
    "train": [0, 0, 0, 1, 1, 1],
    "validation": [0, 1],
    "test": [0, 0, 1],
}


def test_equal_pixels_in_two_splits_and_under_two_labels(tmp_path):
    pixels = {"train": [1, 1, 2, 3, 4, 2], "validation": [3, 9], "test": [1, 8, 1]}
    facts = found(tmp_path, pixels, SPLITS)
    # Equal: t0 t1 and test's 0 and 2 (a a a b); t2 and t5 (a b); t3 and v0 (b a).
    assert facts.twins == 5
    assert sorted(facts.twins_in_two_splits.first) == [
        ("train: t0", "test: t0"),
        ("train: t0", "test: t2"),
        ("train: t3", "validation: v0"),
    ]
    assert sorted(facts.twins_of_two_labels.first) == [
        ("t0 (a)", "t2 (b)"),
        ("t2 (a)", "t5 (b)"),
        ("t3 (b)", "v0 (a)"),
    ]


def test_a_long_list_begins_with_one_pair_for_each_image(tmp_path):
    blank = [0] * 300 + [7, 7] + list(range(10, 30))
    labels = {"train": [0, *[1] * 299, 0, 1] + [0, 1] * 10}
    facts = found(tmp_path, {"train": blank}, labels)
    assert facts.twins_of_two_labels.count == 300
    assert facts.twins_of_two_labels.first[:2] == [("t0 (a)", "t1 (b)"), ("t300 (a)", "t301 (b)")]
    assert len(facts.twins_of_two_labels.first) == 200


def test_counts_and_classes_without_images(tmp_path):
    labels = {"train": [0, 0, 1], "validation": [0], "test": [1, 1]}
    pixels = {"train": [1, 2, 3], "validation": [4], "test": [5, 6]}
    facts = found(tmp_path, pixels, labels)
    assert facts.counts == {"train": [2, 1], "validation": [1, 0], "test": [0, 2]}
    assert facts.lacking == {"validation": ["b"], "test": ["a"]} and facts.images == 6


def test_classes_that_are_too_small_to_be_cut(tmp_path):
    facts = found(tmp_path, {"train": range(52)}, {"train": [0] * 50 + [1] * 2})
    assert facts.counts == {"train": [50, 2]}
    assert facts.lacking == {"validation": ["b"], "test": ["b"]}


def test_groups(tmp_path):
    groups = {"train": [0, 0, 1, -1, 2, -1], "validation": [1, -1], "test": [3, 3, 3]}
    pixels = {"train": range(6), "validation": [6, 7], "test": [8, 9, 10]}
    facts = found(tmp_path, pixels, SPLITS, groups=groups)
    assert facts.groups == (3, 2, 3)  # 0 and 1 have two images, 3 has three; 2 is alone
    assert facts.groups_in_two_splits == 1 and facts.ungrouped == 3


@pytest.mark.parametrize("broken", [{}, {1: "torn"}])
def test_files_that_are_removed_are_not_mapped_any_more(tmp_path, monkeypatch, broken):
    """NFS would keep them, and their folder with them, beside what is prepared."""
    mapped = []

    class Watched(tempfile.TemporaryDirectory):
        def cleanup(self):
            maps = [o for o in gc.get_objects() if isinstance(o, np.memmap)]
            mapped.append([o for o in maps if Path(self.name) in Path(o.filename).parents])
            super().cleanup()

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Watched)
    source = Source({"train": range(6), "validation": [6, 7], "test": [8, 9, 10]}, SPLITS)
    source.broken = {"train": broken, "validation": {}, "test": {}}
    source.sizes = Counter({(1, 1): 1})
    facts = facts_of(build(tmp_path, source))
    assert facts.images == 11 - len(broken)
    assert mapped == [[]] and not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_facts_outlive_json(tmp_path):
    facts = found(tmp_path, {"train": [1, 1, *range(2, 20), 7, 8]}, {"train": [0, 1] * 11})
    assert (
        facts.twins_of_two_labels.count
        and Facts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts
    )


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a", (20, 10)), ("b", (40, 80))):
        add(tmp_path / "images" / name, 10, size=size, first=100 * (name == "b"))
    add(tmp_path / "images" / "b", 1, size=(100, 100), first=200)
    return f"folder:{tmp_path / 'images'}"


def test_sizes_of_files_and_what_a_crop_cuts_away(tmp_path, folder):
    facts = check(folder, 8, cache=tmp_path / "cache")
    assert facts.widths == (20, 40, 100) and facts.heights == (10, 80, 100)
    assert facts.cut == pytest.approx(0.5)  # of 20x10 and of 40x80 the half is a square
    assert facts.image_shape == (8, 8, 3)


@pytest.mark.parametrize("number", [1, 2, 7, 100, 101])
def test_medians_are_those_of_all_files(tmp_path, number):
    sizes = np.random.default_rng(number).integers(1, 12, (number, 2))
    source = Source({"train": list(range(9))}, {"train": [0, 1, 0] * 3})
    source.sizes = Counter(map(tuple, sizes.tolist()))
    facts = facts_of(build(tmp_path, source))
    heights, widths = sizes[:, 0], sizes[:, 1]
    assert facts.heights == (heights.min(), int(np.median(heights)), heights.max())
    assert facts.widths == (widths.min(), int(np.median(widths)), widths.max())
    assert facts.cut == np.median(1 - sizes.min(1) / sizes.max(1))  # to a square


def test_checking_does_not_stop_at_broken_images(tmp_path, folder):
    (tmp_path / "images" / "a" / "x.png").write_bytes(b"")
    (tmp_path / "images" / "a" / "y.svg").write_bytes(b"")
    for skip in (False, True):
        facts = check(folder, 8, Options(skip_broken=skip), cache=tmp_path / "cache")
        assert facts.broken.first == [("a/x.png", "the file is empty")]
        assert facts.images == 21 and facts.left_out == {".svg": 1}


def test_default_image_sizes(tmp_path, folder):
    assert default_image_size(folder) == 32  # half of them have a short side of 10, half of 40
    for file in (tmp_path / "images" / "a").iterdir():
        file.unlink()
    add(tmp_path / "images" / "a", 12, size=(70, 50))
    assert default_image_size(folder) == 64
    assert default_image_size("fashion_mnist") is None
    with pytest.raises(UsageError, match="does not exist"):
        default_image_size("folder:nowhere")
