"""Drawn data sets: the same for ever, nested, balanced, and independent of their number."""

import numpy as np
import pytest

from studies.data import describe, load, prepare
from studies.data.dataset import DRAWN
from studies.data.drawn import BLOCK
from studies.data.relations import Relations
from studies.data.shapes import Shapes
from studies.errors import UsageError

pytestmark = pytest.mark.once

SOURCES = [Shapes, Relations]


def test_all_of_them_are_known_by_name():
    assert tuple(source.kind for source in SOURCES) == DRAWN
    assert len({source.seed for source in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize(("kind", "size"), [("shapes", 8), ("relations", None)])
def test_an_image_does_not_depend_on_the_number_drawn(kind, size, tmp_path):
    small, large = (load(f"{kind}:{n}", size, cache=tmp_path) for n in (1000, 1250))
    few, many = (data.pools["train"] for data in (small, large))
    np.testing.assert_array_equal(few.images, many.images[:1000])
    np.testing.assert_array_equal(few.labels, many.labels[:1000])
    np.testing.assert_array_equal(small.pools["test"].images, large.pools["test"].images)
    # More images to draw from are other data: a seed draws others of them.
    assert small.info.fingerprint != large.info.fingerprint
    assert large.info.counts == {"train": 1250, "validation": 2000, "test": 5000}
    with pytest.raises(UsageError, match=f"name the data set {kind}:2000"):
        small.replicate(0).subset(2000)


@pytest.mark.parametrize("source", SOURCES)
def test_images_can_be_asked_for_in_any_parts(source):
    drawn = source()
    whole = drawn.images("train", np.arange(3 * BLOCK))
    chosen = np.array([1, BLOCK - 1, BLOCK + 7, 3 * BLOCK - 2])
    np.testing.assert_array_equal(drawn.images("train", chosen), whole[chosen])
    np.testing.assert_array_equal(drawn.labels["train"][:BLOCK], source.draw("train", 0)[1])


@pytest.mark.parametrize("source", SOURCES)
def test_every_ten_images_hold_every_class(source):
    groups = source.first_labels("train", 5000).reshape(-1, 10)
    assert (np.sort(groups, axis=1) == np.arange(10)).all()
    assert len({tuple(group) for group in groups[:50]}) == 50


@pytest.mark.parametrize("source", SOURCES)
def test_splits_and_images_differ(source):
    images = np.concatenate([source.draw(s, 0)[0] for s in ("train", "validation", "test")])
    assert images.shape == (3 * BLOCK, 32, 32, 3) and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("number", ["", "ten", "0", "999"])
def test_wrong_numbers_are_refused(kind, number, tmp_path):
    with pytest.raises(UsageError, match=f"choose {kind}, or {kind}:N"):
        describe(f"{kind}:{number}", cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_million_images_are_known_at_once_and_drawn_a_part_at_a_time(tmp_path, monkeypatch):
    source = Relations("relations:1000000")
    assert np.bincount(source.labels["train"]).tolist() == [100_000] * 10
    last = source.images("train", np.array([999_999]))
    np.testing.assert_array_equal(last[0], Relations.draw("train", 1_000_000 // BLOCK - 1)[0][-1])

    asked = []
    images = Relations.images
    monkeypatch.setattr(
        Relations, "images", lambda *args: asked.append(len(args[-1])) or images(*args)
    )
    monkeypatch.setattr(prepare, "_AT_ONCE", 500 * 32 * 32 * 3)
    source = Relations("relations:1000")
    source.labels = {split: labels[:1200] for split, labels in source.labels.items()}
    prepare.write(tmp_path, source)
    assert asked == [500, 500, 500, 500, 200, 500, 500, 200]
