"""The drawn relations: solved from the pixels alone, and by nothing less than the relation."""

import numpy as np
import pytest

from studies.data import load
from studies.data.cropping import random_crop, random_flip
from studies.data.drawn import BLOCK
from studies.data.relations import COLOURS, KNOBS, Relations, glyphs
from studies.errors import UsageError

pytestmark = pytest.mark.once

BLOCKS = 60
RING = [[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]


@pytest.fixture(scope="module")
def drawn():
    """Images, labels, and what is read in the images' 6x6 cells: glyphs (N, 36, 4, 4), colours (N, 36)."""
    parts = [Relations.draw("train", block) for block in range(BLOCKS)]
    images, labels = (np.concatenate(part) for part in zip(*parts))
    return images, labels, *read(images)


def read(images):
    """What is lit in each cell of 4 pixels and in which colour: -1 none, 0 to 9, and 10 for white."""
    cells = images[:, 4:28, 4:28].reshape(-1, 6, 4, 6, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(-1, 36, 4, 4, 3).astype(float)
    bits = cells.max(-1) > 64  # noise stays below 32, and every colour is brighter somewhere
    shade = (cells * bits[..., None]).sum((2, 3)) / bits.sum((2, 3)).clip(1)[..., None] - 15.5
    known = np.array([*COLOURS.values(), (224, 224, 224)], float)
    colours = ((shade[:, :, None] - known) ** 2).sum(-1).argmin(-1)
    return bits, np.where(bits.any((2, 3)), colours, -1)


def solve(bits, colours):
    """The cells of query and match (or, where there is none, of the ring) of one image, and the answer."""
    (query,) = np.flatnonzero(colours == 10)
    same = (bits == bits[query]).all((1, 2)) & (colours >= 0)
    same[query] = False
    ring = (bits == np.array(RING, bool)).all((1, 2))
    (match,) = np.flatnonzero(same if same.any() else ring)
    return query, match, colours[match], not same.any()


def test_the_answer_is_in_the_picture(drawn):
    _, labels, bits, colours = drawn
    answers = [solve(*image)[2] for image in zip(bits, colours)]
    np.testing.assert_array_equal(answers, labels)


def test_knobs(drawn):
    """Distractors, the part with a ring, and how far matches are from their queries."""
    _, _, bits, colours = drawn
    number = (colours >= 0).sum(1) - 2
    least, most = KNOBS.distractors
    assert sorted(set(number)) == list(range(least, most + 1))
    solved = [solve(*image) for image in zip(bits, colours)]
    query, match, _, cued = (np.array(column) for column in zip(*solved))
    assert cued.mean() == pytest.approx(KNOBS.cued, abs=4 * 0.5 / len(cued) ** 0.5)
    apart = np.abs(np.stack(np.divmod(query, 6)) - np.stack(np.divmod(match, 6))).max(0)
    steps = np.arange(1.0, 6)
    law = steps**-KNOBS.nearness / (steps**-KNOBS.nearness).sum()
    found = np.bincount(apart, minlength=6)[1:] / len(apart)
    np.testing.assert_allclose(found, law, atol=4 * 0.5 / len(apart) ** 0.5)
    # Every colour is there; white once.
    counts = np.stack([(colours == c).sum(1) for c in range(11)], axis=1)
    assert (counts[:, 10] == 1).all() and counts[:, :10].min() == 1 and counts[:, :10].max() == 2


def linear_probe(features, labels):
    """The accuracy of least squares on the second half, fitted on the first."""
    half = len(labels) // 2
    features = np.column_stack([features, np.ones(len(labels))]).astype(float)
    targets = np.eye(10)[labels]
    weights = np.linalg.lstsq(features[:half], targets[:half], rcond=None)[0]
    return ((features[half:] @ weights).argmax(1) == labels[half:]).mean()


def test_counting_does_not_tell_the_class(drawn):
    """Colours, forms, and forms in colours, counted: all a guess where there is no ring."""
    images, labels, bits, colours = drawn
    kinds = np.unique(bits.reshape(len(bits), 36, 16) @ (1 << np.arange(16)), return_inverse=True)
    forms = kinds[1].reshape(len(bits), 36)
    both = forms * 12 + colours + 1
    ring = (bits == np.array(RING, bool)).all((2, 3))
    rings = ring.any(1)
    for cells in (colours + 1, forms, both):
        values = np.unique(cells)
        counts = np.stack([(cells == value).sum(1) for value in values], axis=1)
        assert linear_probe(counts[~rings], labels[~rings]) < 0.13
    assert linear_probe(images.mean((1, 2))[~rings], labels[~rings]) < 0.13
    # The ring is a cue: its colour, read where it is, is the class.
    np.testing.assert_array_equal(colours[ring], labels[rings])


def test_crops_and_mirrors_keep_the_class(drawn):
    """No glyph is ever cut, so what was to be seen is to be seen at another place, or mirrored."""
    images = drawn[0][:500]
    lit = (images.max(-1) > 64).sum((1, 2))
    for change in (random_crop, random_flip):
        changed = change(images, np.random.default_rng(0))
        assert (changed != images).any()
        np.testing.assert_array_equal((changed.max(-1) > 64).sum((1, 2)), lit)


def test_glyphs_are_as_bright_as_each_other_and_differ():
    forms = glyphs(40).reshape(41, 16)
    np.testing.assert_array_equal(forms[0].reshape(4, 4), RING)
    assert (forms.sum(1) == 8).all()
    apart = (forms[:, None] != forms).sum(-1)
    assert apart[~np.eye(41, dtype=bool)].min() >= 6


def test_larger_images_have_larger_bits():
    images, labels = Relations.draw("train", 0, (64, 64))
    assert images.shape == (BLOCK, 64, 64, 3)
    bits = (images.max(-1) > 64).reshape(BLOCK, 32, 2, 32, 2)
    assert (bits == bits[:, :, :1, :, :1]).all()
    small, same = Relations.draw("train", 0)
    np.testing.assert_array_equal(bits[:, :, 0, :, 0], small.max(-1) > 64)
    np.testing.assert_array_equal(labels, same)


def test_other_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be drawn in 28x28 pixels, .* a multiple of it"):
        load("relations:1000", 28, cache=tmp_path)
    assert not list(tmp_path.iterdir())
