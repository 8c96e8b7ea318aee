"""The drawn relations: solved from the pixels alone, and by nothing less than the relation."""

import numpy as np
import pytest

from studies.data import load
from studies.data.cropping import random_crop, random_flip
from studies.data.drawn import BLOCK
from studies.data.relations import COLOURS, KNOBS, Relations, glyphs
from studies.data.shapes import Shapes
from studies.errors import UsageError

pytestmark = pytest.mark.once

BLOCKS = 60


@pytest.fixture(scope="module")
def drawn():
    """Images, labels, which are puzzles, and what is read in the images' 6x6 cells, see `read`."""
    parts = [Relations.draw("train", block) for block in range(BLOCKS)]
    images, labels = (np.concatenate(part) for part in zip(*parts))
    # Figures lie on a ground that fills the image; a puzzle's margin is dark.
    puzzle = images[:, :4].max((1, 2, 3)) < 32
    return images, labels, puzzle, *read(images)


def read(images):
    """Forms (N, 36, 4, 4) and colours (N, 36) of the cells, and the queries' cells (N,).

    Colours are those of the lit bits: 0 to 9, or -1 where there is none; of a query those that are not white.
    """
    cells = images[:, 4:28, 4:28].reshape(-1, 6, 4, 6, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(-1, 36, 4, 4, 3).astype(float)
    white = cells.min(-1) >= 224
    query = white.sum((2, 3)).argmax(1)
    bits = cells.max(-1) > 64  # noise stays below 32, and every colour is brighter somewhere
    rows = np.arange(len(cells))
    bits[rows, query] = ~white[rows, query]
    shade = (cells * bits[..., None]).sum((2, 3)) / bits.sum((2, 3)).clip(1)[..., None] - 15.5
    known = np.array([*COLOURS.values(), (0, 0, 0)], float)
    colours = ((shade[:, :, None] - known) ** 2).sum(-1).argmin(-1)
    return bits, np.where(bits.any((2, 3)) & (colours < 10), colours, -1), query


def matches(bits, query):
    """(N,) the cell that has the query's form, (N,) how many have."""
    rows = np.arange(len(bits))
    same = (bits == bits[rows, query][:, None]).all((2, 3))
    same[rows, query] = False
    return same.argmax(1), same.sum(1)


def test_the_answer_is_in_the_picture(drawn):
    _, labels, puzzle, *cells = drawn
    bits, colours, query = (part[puzzle] for part in cells)
    match, number = matches(bits, query)
    assert (number == 1).all()
    rows = np.arange(len(bits))
    np.testing.assert_array_equal(colours[rows, match], labels[puzzle])
    told = colours[rows, query] >= 0
    np.testing.assert_array_equal(colours[rows, query][told], labels[puzzle][told])


def test_knobs(drawn):
    """Figures, distractors, queries that tell, and how far matches are from their queries."""
    _, _, puzzle, *cells = drawn
    assert puzzle.mean() == pytest.approx(1 - KNOBS.figures, abs=4 * 0.5 / len(puzzle) ** 0.5)
    bits, colours, query = (part[puzzle] for part in cells)
    rows = np.arange(len(bits))
    told = colours[rows, query] >= 0
    assert told.mean() == pytest.approx(KNOBS.told, abs=4 * 0.5 / len(told) ** 0.5)
    match, _ = matches(bits, query)
    apart = np.abs(np.stack(np.divmod(query, 6)) - np.stack(np.divmod(match, 6))).max(0)
    steps = np.arange(1.0, 6)
    law = steps**-KNOBS.nearness / (steps**-KNOBS.nearness).sum()
    found = np.bincount(apart, minlength=6)[1:] / len(apart)
    np.testing.assert_allclose(found, law, atol=4 * 0.5 / len(apart) ** 0.5)
    # Outside the query, every colour is there, once or twice.
    colours[rows, query] = -1
    number = (colours >= 0).sum(1) - 1
    least, most = KNOBS.distractors
    assert sorted(set(number)) == list(range(least, most + 1))
    counts = np.stack([(colours == c).sum(1) for c in range(10)], axis=1)
    assert counts.min() == 1 and counts.max() == 2


def test_figures_are_those_of_shapes(drawn):
    """The figure of a class, drawn as in `shapes`: a linear probe of theirs reads ours as well as its own."""
    images, labels, puzzle, *_ = drawn
    images, labels = images[~puzzle], labels[~puzzle]
    theirs = [Shapes.draw("train", block) for block in range(2 * BLOCKS)]
    x, y = (np.concatenate(part) for part in zip(*theirs))

    def features(images):
        small = images.reshape(-1, 8, 4, 8, 4, 3).mean((2, 4, 5)).reshape(-1, 64)
        return np.column_stack([small, small**2, np.ones(len(small))])

    weights = np.linalg.lstsq(features(x), np.eye(10)[y], rcond=None)[0]
    right = [((features(a) @ weights).argmax(1) == b).mean() for a, b in ((x, y), (images, labels))]
    assert right[1] > 0.2 and right[1] == pytest.approx(right[0], abs=0.05)
    counts = np.bincount(labels, minlength=10) / len(labels)
    np.testing.assert_allclose(counts, 0.1, atol=4 * 0.3 / len(labels) ** 0.5)


def linear_probe(features, labels):
    """The accuracy of least squares on the second half, fitted on the first."""
    half = len(labels) // 2
    features = np.column_stack([features, np.ones(len(labels))]).astype(float)
    targets = np.eye(10)[labels]
    weights = np.linalg.lstsq(features[:half], targets[:half], rcond=None)[0]
    return ((features[half:] @ weights).argmax(1) == labels[half:]).mean()


def test_counting_does_not_tell_the_class(drawn):
    """Colours, forms, and forms in colours, counted: all a guess where the query does not tell."""
    images, labels, puzzle, bits, colours, query = drawn
    rows = np.arange(len(bits))
    asked = puzzle & (colours[rows, query] < 0)
    kinds = np.unique(bits.reshape(len(bits), 36, 16) @ (1 << np.arange(16)), return_inverse=True)
    forms = kinds[1].reshape(len(bits), 36)
    for cells in (colours + 1, forms, forms * 12 + colours + 1):
        values = np.unique(cells[asked])
        counts = np.stack([(cells[asked] == value).sum(1) for value in values], axis=1)
        assert linear_probe(counts, labels[asked]) < 0.13
    assert linear_probe(images[asked].mean((1, 2)), labels[asked]) < 0.13


def test_crops_and_mirrors_keep_the_class(drawn):
    """No glyph is ever cut, so what was to be seen is to be seen at another place, or mirrored."""
    images = drawn[0][drawn[2]][:500]
    lit = (images.max(-1) > 64).sum((1, 2))
    for change in (random_crop, random_flip):
        changed = change(images, np.random.default_rng(0))
        assert (changed != images).any()
        np.testing.assert_array_equal((changed.max(-1) > 64).sum((1, 2)), lit)


def test_glyphs_are_as_bright_as_each_other_and_differ():
    forms = glyphs(40).reshape(40, 16)
    assert (forms.sum(1) == 8).all()
    apart = (forms[:, None] != forms).sum(-1)
    assert apart[~np.eye(40, dtype=bool)].min() >= 6


def test_larger_images_have_larger_bits():
    images, labels = Relations.draw("train", 0, (64, 64))
    assert images.shape == (BLOCK, 64, 64, 3)
    puzzle = images[:, :8].max((1, 2, 3)) < 32
    bits = (images[puzzle].max(-1) > 64).reshape(-1, 32, 2, 32, 2)
    assert puzzle.any() and (bits == bits[:, :, :1, :, :1]).all()
    small, same = Relations.draw("train", 0)
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(puzzle, small[:, :4].max((1, 2, 3)) < 32)
    found = (images[puzzle].max(-1) > 64)[:, ::2, ::2]
    np.testing.assert_array_equal(found, small[puzzle].max(-1) > 64)


def test_other_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be drawn in 28x28 pixels, .* a multiple of it"):
        load("relations:1000", 28, cache=tmp_path)
    assert not list(tmp_path.iterdir())
